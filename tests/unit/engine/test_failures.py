"""What the engine said becomes an error with a code, a reason and a hint."""

import pytest

from meshctl.engine.failures import error_of, failure_of, lock_owner, resource_failures
from meshctl.errors import CredentialsError, EngineError, LockedError, ResourcesFailedError, UnreachableError

URN = "urn:pulumi:aws-east::llm-prod::meshaws:eks:Nodegroup::pool/train:nodegroup"


def said(message: str, urn: str = URN) -> list[tuple[str, str, str]]:
    return [(urn, "error", message)]


def test_the_apis_code_is_taken_out_of_the_message() -> None:
    failure = failure_of(URN, "no p5.48xlarge in us-east-1a [code=InsufficientInstanceCapacity]")
    assert (failure.subject, failure.code) == ("pool/train", "InsufficientInstanceCapacity")
    assert failure.message == "no p5.48xlarge in us-east-1a"
    assert "reserve capacity" in failure.hint


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("Back-off pulling image: ImagePullBackOff", "ImagePull"),
        ("container trainer: CrashLoopBackOff (exit code 1)", "CrashLoop"),
        ("0/6 nodes are available: insufficient nvidia.com/gpu", "Unschedulable"),
        (
            "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support "
            "resize [code=Forbidden]",
            "VolumeExpansion",
        ),
        (
            "spec.resources.requests.storage: Forbidden: field can not be less than status.capacity [code=Invalid]",
            "VolumeShrink",
        ),
        (
            "spec: Forbidden: spec is immutable after creation except resources.requests and "
            "volumeAttributesClassName for bound claims [code=Invalid]",
            "VolumeUnbound",
        ),
        ("0/6 nodes are available: pod has unbound immediate PersistentVolumeClaims", "ProvisioningFailed"),
        ('object is being deleted: jobs.batch "pretrain" already exists [code=AlreadyExists]', "BeingDeleted"),
        ("Job saver/pretrain is still there; it waits for foregroundDeletion [code=NotGone]", "NotGone"),
    ],
)
def test_what_a_pod_or_a_claim_suffers_has_a_code(message: str, code: str) -> None:
    failure = failure_of(URN, message)
    assert failure.code == code
    assert failure.hint


def test_nobody_is_told_to_remove_what_is_saving_its_work() -> None:
    said_by_kubernetes = 'object is being deleted: jobs.batch "pretrain" already exists [code=AlreadyExists]'
    hint = failure_of(URN, said_by_kubernetes).hint
    assert "not made by this mesh" not in hint
    assert "nothing is to be removed by hand" in hint


def test_a_wait_that_ran_out_has_the_code_of_what_it_waited_for() -> None:
    text = "Deployment site: timed out [code=Timeout]; pod site-1: ImagePullBackOff [code=ImagePullBackOff]"
    assert failure_of(URN, text).code == "ImagePull"
    assert failure_of(URN, "Service site: no address [code=Timeout]").code == "Timeout"
    assert failure_of(URN, "timed out [code=Timeout]; no quota [code=VcpuLimitExceeded]").code == "VcpuLimitExceeded"


def test_failed_resources_keep_their_own_words() -> None:
    error = error_of("aws-east", "up", "", said("quota [code=VcpuLimitExceeded]"), [URN])
    assert isinstance(error, ResourcesFailedError)
    assert error.exit_code == 3
    assert [failure.code for failure in error.failures] == ["VcpuLimitExceeded"]


def test_credentials_and_unreachable_apis_are_named_as_such() -> None:
    assert isinstance(error_of("cw", "up", "", said("token expired [code=ExpiredToken]"), [URN]), CredentialsError)
    assert isinstance(error_of("cw", "up", "", said("no answer [code=Unreachable]"), [URN]), UnreachableError)


def test_the_engines_own_echo_is_no_failure() -> None:
    assert resource_failures(said("update failed"), []) == []


def test_what_the_cluster_refuses_is_told() -> None:
    text = "resource x was not successfully created by the Kubernetes API server: already exists [code=AlreadyExists]"
    (failure,) = resource_failures(said(text), [URN])
    assert failure.code == "AlreadyExists"
    assert "already exists" in failure.message


def test_a_lock_says_who_and_since_when() -> None:
    stderr = (
        "error: the stack is currently locked by 1 lock(s).\n"
        "  file:///s/.pulumi/locks/x.json: created by ann@build-7 (pid 4711) at 2026-11-24T10:00:00Z"
    )
    assert lock_owner(stderr) == ("ann", "build-7", 4711, "2026-11-24T10:00:00Z")
    error = error_of("cw", "up", stderr, [], [])
    assert isinstance(error, LockedError)
    assert "ann" in error.what
    assert "--break-lock" in error.hint


def test_an_engine_that_fails_as_a_whole_says_why() -> None:
    error = error_of("cw", "plan", "error: could not read backend", [], [])
    assert isinstance(error, EngineError)
    assert error.why == "could not read backend"


def test_what_the_engine_says_is_one_line() -> None:
    said = "\n code: 1\n stdout: \n stderr: error: get stack secrets manager: incorrect passphrase\n"
    error = error_of("cw", "destroy", said, [], [])
    assert (error.what, error.why) == ("destroy cw failed", "get stack secrets manager: incorrect passphrase")
    assert "PULUMI_CONFIG_PASSPHRASE" in error.hint
    assert error_of("cw", "up", "\n code: 2\n stdout: \n stderr: \n", [], []).why == "code: 2 stdout: stderr:"
