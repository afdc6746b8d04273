"""What the engine said becomes an error with a code, a reason and a hint."""

import jmespath  # type: ignore[import-untyped]
import pytest

from meshctl.engine.failures import HINTS, error_of, failure_of, lock_owner, resource_failures
from meshctl.errors import (
    CredentialsError,
    EngineError,
    LockedError,
    ResourceFailure,
    ResourcesFailedError,
    UnreachableError,
)
from meshctl.platforms import registry
from providers.aws.rows.eks import NODEGROUP

URN = "urn:pulumi:aws-east::llm-prod::meshaws:eks:Nodegroup::pool/train:nodegroup"


def said(message: str, urn: str = URN) -> list[tuple[str, str, str]]:
    return [(urn, "error", message)]


def test_the_apis_code_is_taken_out_of_the_message() -> None:
    failure = failure_of(URN, "no p5.48xlarge in us-east-1a [code=InsufficientInstanceCapacity]", "aws")
    assert (failure.subject, failure.code) == ("pool/train", "InsufficientInstanceCapacity")
    assert failure.message == "no p5.48xlarge in us-east-1a"
    assert "reserve capacity" in failure.hint


@pytest.mark.parametrize(
    ("reason", "hint"),
    [
        ("InsufficientInstanceCapacity - We currently do not have sufficient p5.48xlarge capacity", "reserve"),
        ("VcpuLimitExceeded - You have requested more vCPU capacity than your current limit of 0", "raise the quota"),
        ("ReservationCapacityExceeded - The requested reservation does not have", "describe-capacity-reservations"),
        ("InvalidCapacityReservationId.NotFound - The capacity reservation", "describe-capacity-reservations"),
        ("AuthFailure.ServiceLinkedRoleCreationNotPermitted - The provided credentials", "spot.amazonaws.com"),
    ],
)
def test_the_code_of_ec2_is_read_out_of_the_text_that_eks_passes_on(reason: str, hint: str) -> None:
    """finding A5, in the form of eksctl issue 4732; finding B6, in that of terraform-aws-eks issue 2565"""
    text = f"Could not launch On-Demand Instances. {reason}. Launching EC2 instance failed."
    failure = failure_of(URN, f"{text} [code=AsgInstanceLaunchFailures]", "aws")
    assert failure.code == reason.partition(" ")[0]
    assert hint in failure.hint
    assert failure.message == text


@pytest.mark.parametrize("launch_first", [True, False])
def test_a5_nodes_that_do_not_join_have_a_hint_and_missing_machines_go_before_them(*, launch_first: bool) -> None:
    """The two issues of eksctl issue 4732, whichever EKS lists first."""
    join = {"code": "NodeCreationFailure", "message": "Instances failed to join the kubernetes cluster"}
    launch = {"code": "AsgInstanceLaunchFailures", "message": "InsufficientInstanceCapacity - We currently do not have"}

    def failure(*issues: dict[str, str]) -> ResourceFailure:
        poll, described = NODEGROUP.ready, {"health": {"issues": list(issues)}}
        assert poll is not None
        code, reason = (jmespath.search(path, described) for path in (poll.code, poll.reason))
        return failure_of(URN, f"Nodegroup CREATE_FAILED: {reason} [code={code}]", "aws")

    both = failure(*((launch, join) if launch_first else (join, launch)))
    assert (both.code, "reserve capacity" in both.hint) == ("InsufficientInstanceCapacity", True)
    alone = failure(join)
    assert (alone.code, "get-console-output" in alone.hint) == ("NodeCreationFailure", True)


def test_a_zone_without_the_machine_has_a_hint() -> None:
    """finding A1"""
    text = "Your requested instance type (p5en.48xlarge) is not supported in your requested Availability Zone (x)."
    failure = failure_of(URN, f"{text} [code=InvalidRequestException]", "aws")
    assert failure.code == "NotOffered"
    assert "differs from account to account" in failure.hint


@pytest.mark.parametrize(
    ("message", "platform", "hint"),
    [
        (
            "IssuedCertificate arn:aws:acm:us-east-1:1:certificate/a is still PENDING_VALIDATION after 1800 s; ACM has"
            " not seen the CNAME _a.api.example.com -> _b.acm-validations.aws in public DNS"
            " [code=CertificateNotIssued]",
            "aws",
            "`dig NS`",
        ),
        (
            "Certificate m/api-gateway-certificate is not ready after 900 s: condition Ready is not True: Secret does"
            " not exist; Issuing: The certificate request has failed [code=Timeout]",
            "coreweave",
            "kubectl describe certificates,certificaterequests,orders,challenges",
        ),
    ],
)
def test_a_certificate_that_is_not_issued_in_time_has_a_code_and_a_hint(message: str, platform: str, hint: str) -> None:
    failure = failure_of(URN, message, platform)
    assert failure.code == "CertificateNotIssued"
    assert hint in failure.hint
    assert failure.message == message.partition(" [code=")[0]


def test_a_certificate_that_is_never_issued_has_the_reason_of_acm() -> None:
    failure = failure_of(URN, "IssuedCertificate FAILED: its state is FAILED [code=CAA_ERROR]", "aws")
    assert failure.code == "CAA_ERROR"
    assert "amazon.com" in failure.hint


def test_a_401_of_an_eks_cluster_may_be_a_missing_access_entry() -> None:
    """finding A2"""
    assert "`kubernetes.admins`" in failure_of(URN, "Unauthorized [code=Unauthorized]", "aws").hint
    assert "aws sso login" in failure_of(URN, "Unauthorized [code=Unauthorized]", "coreweave").hint


@pytest.mark.parametrize("code", ["AccessDenied", "AccessDeniedException", "UnauthorizedOperation"])
def test_a_missing_right_leads_to_the_policy(code: str) -> None:
    """finding A12"""
    text = f"User: x is not authorized to perform: logs:CreateLogGroup [code={code}]"
    assert "--iam-policy" in failure_of(URN, text, "aws").hint


@pytest.mark.parametrize(
    "code",
    ["InvalidSubnetID.NotFound", "Ec2SubnetNotFound", "InvalidParameterException", "InvalidRequestException"],
)
def test_a_subnet_that_went_after_the_preflight_has_a_hint(code: str) -> None:
    failure = failure_of(URN, f"The subnet ID 'subnet-1' does not exist [code={code}]", "aws")
    assert "run `up` again, which makes it anew" in failure.hint


@pytest.mark.parametrize("code", ["AddressLimitExceeded", "VpcLimitExceeded", "NatGatewayLimitExceeded"])
def test_quotas_of_the_network_have_a_hint(code: str) -> None:
    assert "Service Quotas" in failure_of(URN, f"The maximum number has been reached. [code={code}]", "aws").hint


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("Back-off pulling image: ImagePullBackOff", "ImagePull"),
        ("container trainer: CrashLoopBackOff (exit code 1)", "CrashLoop"),
        (
            "Deployment n/chat failed: exceeded its progress deadline [code=ProgressDeadlineExceeded]; pod chat-1: the "
            "health check does not pass yet; the last answer was: connection refused [code=HealthCheck]",
            "HealthCheck",
        ),
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
        ("Service nolb/api-public is not ready: no address has been assigned yet [code=Timeout]", "NoAddress"),
        (
            "2 errors occurred: * resource nolb/api-public was successfully created, but the Kubernetes API server "
            "reported that it failed to fully initialize or become live: 'api-public' timed out waiting to be Ready * "
            "Service was not allocated an IP address; does your cloud provider support this?",
            "NoAddress",
        ),
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
    assert "did not make" not in hint
    assert "remove nothing by hand" in hint


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


def test_a_certificate_that_is_refused_is_no_silence() -> None:
    text = "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: certificate has expired"
    error = error_of("cw", "up", "", said(f"{text} [code=Unreachable]"), [URN])
    assert isinstance(error, CredentialsError)
    assert "check the certificate" in error.hint
    backend = (
        'error: Get "https://s3.example/state": tls: failed to verify certificate: x509: expired, send request failed'
    )
    assert isinstance(error_of("cw", "up", backend, [], []), CredentialsError)
    webhook = "failed calling webhook: x509: certificate signed by unknown authority [code=InternalError]"
    assert type(error_of("cw", "up", "", said(webhook), [URN])) is ResourcesFailedError


@pytest.mark.parametrize(
    "said_of_the_backend",
    [
        "could not list stacks: blob (code=Unknown): RequestError: send request failed",
        'Get "https://s3.us-east-1.amazonaws.com/state": dial tcp: lookup s3.us-east-1.amazonaws.com: no such host',
        "https response error StatusCode: 503, api error SlowDown: Please reduce your request rate.",
        'Post "https://api.pulumi.com/api": net/http: TLS handshake timeout',
    ],
)
def test_a_state_backend_that_does_not_answer_is_named_as_such(said_of_the_backend: str) -> None:
    error = error_of("cw", "migrate", f"error: {said_of_the_backend}", [], [])
    assert isinstance(error, UnreachableError)
    assert error.why == said_of_the_backend


def test_a_provider_s_program_that_ended_is_no_network() -> None:
    text = (
        "error: rpc error: code = Unavailable desc = connection error: "
        'desc = "transport: Error while dialing: dial tcp 127.0.0.1:1: connect: connection refused"'
    )
    assert type(error_of("cw", "up", text, [], [])) is EngineError


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


OFFICIAL_CONFLICT = (
    "Server-Side Apply field conflict detected. See https://www.pulumi.com/registry/packages/kubernetes/how-to-guides/"
    "managing-resources-with-server-side-apply/#handle-field-conflicts-on-existing-resources for troubleshooting "
    'help.\nThe resource managed by field manager "pulumi-kubernetes-0e168a03" had an apply conflict: Apply failed '
    'with 1 conflict: conflict with "kubectl" with subresource "scale" using apps/v1: .spec.replicas'
)
OURS = (
    'Apply failed with 1 conflict: conflict with "kubectl" with subresource "scale" using apps/v1: .spec.replicas:'
    " another program has set these fields [code=FieldConflict]"
)


@pytest.mark.parametrize("message", [OFFICIAL_CONFLICT, OURS], ids=["official", "stand-in"])
def test_a_conflict_of_fields_names_the_owner_and_nothing_of_the_engine(message: str) -> None:
    failure = failure_of(URN, message)
    assert failure.code == "FieldConflict"
    assert 'conflict with "kubectl"' in failure.message
    assert "pulumi.com" not in failure.message + failure.hint
    assert "run the command again" in failure.hint


def test_no_hint_names_the_engines_annotations() -> None:
    own = registry.merged(lambda platform: platform.words.failure_hints)
    assert not [hint for hint in (*HINTS.values(), *own.values()) if "pulumi" in hint.lower()]


def test_the_hints_of_one_platform_are_not_given_for_another() -> None:
    message = "the node pool is not filled [code=Quota]"
    assert "ask support" in failure_of(URN, message, "coreweave").hint
    assert failure_of(URN, message, "aws").hint == failure_of(URN, message).hint == ""
