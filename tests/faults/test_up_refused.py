"""`up` against clouds that refuse, on existing clusters: the failure has a name, and what is right then comes up.

On CoreWeave one environment is up for the whole file, and what is refused is added to it. `test_aws_story` has
what AWS refuses.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from meshctl.engine.failures import HINTS
from meshctl.platforms import coreweave
from tests.faults.small_mesh import ENVIRONMENTS, MESH, declared, faults, take_down
from tests.faults.started import kill_when
from tests.lab_fixture import RunningLab

pytestmark = pytest.mark.lab
# never ready: its model is not there
CRASHING = "vllm/vllm-openai:v0.11.0"
# loads for longer than its health check lets it
SLOW = """\
  slow:
    kind: service
    pool: web
    image: ghcr.io/acme/grpc-server:1.0
    args: [--load-seconds, "600"]
    ports: {grpc: 50051}
    health: {port: grpc, protocol: grpc, startup: 5s}
"""


@pytest.fixture(scope="module")
def warm(lab: RunningLab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    """The mesh, up on CoreWeave."""
    here = declared(lab, tmp_path_factory.mktemp("small"))
    here.meshctl("up", "cw", "--yes")
    yield here
    take_down(here)


@pytest.fixture
def on_cw(warm: RunningLab) -> Iterator[RunningLab]:
    """The mesh as it is up on CoreWeave, and so again after the test."""
    yield warm
    faults(warm)
    (warm.folder / "mesh.yaml").write_text(MESH)
    warm.meshctl("up", "cw", "--yes")


def with_workloads(here: RunningLab, more: str = "", **images: str) -> None:
    """The mesh with more workloads like its own, by name, and `more` for the last one."""
    site = MESH[MESH.index("  site:") :]
    workloads = [
        site.replace("site:", f"{name}:", 1).replace("ghcr.io/acme/site:1.0", image) for name, image in images.items()
    ]
    (here.folder / "mesh.yaml").write_text(MESH + "".join(workloads) + more)


def failures(here: RunningLab, *options: str) -> tuple[set[tuple[str, str]], str]:
    """Subject and code of what an `up` says has failed, and its hint."""
    failed = here.meshctl("--output", "json", "up", "cw", "--yes", *options, check=False)
    assert failed.returncode == 3, failed.stdout
    error = json.loads(failed.stdout)["error"]
    return {(failure["subject"], failure["code"]) for failure in error["failures"]}, error["hint"]


@pytest.mark.exhaustive
def test_pods_that_cannot_run_are_each_named(on_cw: RunningLab) -> None:
    """In one `up`, which goes on with what doesn't need them."""
    health = "    health: {path: /health, port: http}\n"
    images = {"image": "ghcr.io/acme/site:does-not-exist", "crash": CRASHING, "unhealthy": CRASHING}
    with_workloads(on_cw, health + SLOW, **images)
    named, hint = failures(on_cw, "--timeout", "30s")
    [image] = [code for subject, code in named if subject == "workload/image"]
    assert image in ("ImagePull", "ImagePullBackOff", "ErrImagePull")
    assert named - {("workload/image", image)} == {
        ("workload/crash", "CrashLoop"),
        ("workload/unhealthy", "CrashLoop"),
        ("workload/slow", "HealthCheck"),
    }
    assert hint in {HINTS["CrashLoop"], HINTS["ImagePull"], HINTS["HealthCheck"]}, "that of the first"
    status = on_cw.json("status", "cw")["environments"]["cw"]
    [slow] = [workload for workload in status["workloads"] if workload["name"] == "slow"]
    assert "the health check did not pass within `health.startup`" in slow["reason"]
    assert "if a start takes longer, raise `health.startup`" in slow["reason"]

    file = on_cw.folder / "mesh.yaml"
    mended = file.read_text().replace("site:does-not-exist", "site:1.0").replace(CRASHING, "ghcr.io/acme/site:1.0")
    file.write_text(mended.replace(health, "").replace(SLOW, ""))
    on_cw.meshctl("up", "cw", "--yes")


def test_a_pool_without_quota_is_named(on_cw: RunningLab) -> None:
    faults(on_cw, {"operation": "NodePool", "error": "NotSet"})
    more = "  more: {role: general, nodes: 1, cpu: {cores: 4, memory: 16GiB}}\nstorage:\n"
    (on_cw.folder / "mesh.yaml").write_text(MESH.replace("storage:\n", more))
    assert failures(on_cw) == ({("pool/more", "Quota")}, coreweave.PLATFORM.words.failure_hints["Quota"])

    faults(on_cw)
    on_cw.meshctl("up", "cw", "--yes")


@pytest.mark.exhaustive
def test_an_object_of_kubernetes_that_a_kill_left_is_deleted_once_the_mesh_lacks_it(on_cw: RunningLab) -> None:
    with_workloads(on_cw, other=CRASHING)
    kill_when(on_cw, "workload/other deployment: ", "up", "cw", "--yes")
    deployments = ("get", "deployments", "-n", "small", "-o", "name")
    assert on_cw.kubectl("cw", *deployments).split() == ["deployment.apps/other", "deployment.apps/site"]
    (on_cw.folder / "mesh.yaml").write_text(MESH)
    on_cw.meshctl("up", "cw", "--yes")
    assert on_cw.kubectl("cw", *deployments).split() == ["deployment.apps/site"]


def test_missing_credentials_are_named(small: RunningLab) -> None:
    nothing: dict[str, Any] = {"AWS_CONFIG_FILE": "/nonexistent", "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent"}
    failed = small.meshctl("--output", "json", "up", "aws-east", "--yes", check=False, **nothing)
    assert failed.returncode == 1
    error = json.loads(failed.stdout)["error"]
    assert error["code"] == "credentials"
    assert "AWS_PROFILE" in error["hint"]


def with_scratch(here: RunningLab, kind: str, storage_class: str) -> None:
    """The mesh with one more storage of that kind, from that class at dc1."""
    mesh = MESH.replace("storage:\n", f"storage:\n  scratch: {{kind: {kind}, size: 10GiB}}\n")
    (here.folder / "mesh.yaml").write_text(mesh.replace("mounts: {", "mounts: {scratch: {path: /scratch}, "))
    classes = "{filesystem: nfs, block: local-path}"
    changed = ENVIRONMENTS.replace(classes, f"{{filesystem: {storage_class}, block: {storage_class}}}")
    (here.folder / "environments.yaml").write_text(changed)


def assert_claim_fails(here: RunningLab, subject: str) -> None:
    failed = here.meshctl("--output", "json", "up", "dc1", "--yes", "--timeout", "20s", check=False)
    assert failed.returncode == 3
    error = json.loads(failed.stdout)["error"]
    assert [(f["subject"], f["code"]) for f in error["failures"]] == [(subject, "ProvisioningFailed")]
    assert 'storageclass.storage.k8s.io "nsf" not found' in error["failures"][0]["message"]
    assert "storage class" in error["hint"]


def assert_destroy_asks(here: RunningLab) -> None:
    refused = here.meshctl("--output", "json", "destroy", "dc1", "--yes", check=False)
    assert refused.returncode == 1
    assert "storage/scratch" in json.loads(refused.stdout)["error"]["what"]
    here.meshctl("destroy", "dc1", "--yes", "--allow-data-loss", "--confirm", "dc1")


@pytest.mark.exhaustive
def test_a_block_claim_that_cannot_bind_is_named_and_what_it_holds_later_is_kept(small: RunningLab) -> None:
    with_scratch(small, "block", "nsf")
    assert_claim_fails(small, "workload/site")  # it belongs to a pod
    with_scratch(small, "block", "local-path")
    small.meshctl("destroy", "dc1", "--yes")  # Kubernetes keeps the claims of a stateful set, wrong class and all
    small.meshctl("up", "dc1", "--yes")
    assert small.json("plan", "dc1")["changes"] == []
    assert_destroy_asks(small)


@pytest.mark.exhaustive
def test_a_claim_that_could_not_bind_is_replaced_and_one_that_may_hold_data_only_when_told_to(
    small: RunningLab,
) -> None:
    with_scratch(small, "filesystem", "nsf")
    assert_claim_fails(small, "storage/scratch")
    with_scratch(small, "filesystem", "nfs")
    small.meshctl("up", "dc1", "--yes")  # nothing was ever written to the claim: it is replaced without asking
    assert small.json("plan", "dc1")["changes"] == []
    claim = ("get", "pvc", "-n", "small", "-o=jsonpath={.items[*].spec.storageClassName}")

    with_scratch(small, "filesystem", "local-path")
    refused = small.meshctl("--output", "json", "up", "dc1", "--yes", check=False)
    assert refused.returncode == 1
    assert json.loads(refused.stdout)["error"]["code"] == "protected"
    assert small.kubectl("dc1", *claim) == "nfs"
    small.meshctl("up", "dc1", "--yes", "--allow-data-loss", "--confirm", "dc1")
    assert small.kubectl("dc1", *claim) == "local-path"
    assert small.json("plan", "dc1")["changes"] == []
    assert_destroy_asks(small)


def test_a_bucket_name_that_is_taken_is_named_and_the_bucket_left_alone(small: RunningLab) -> None:
    s3 = small.boto3("s3", "dc1")
    small.meshctl("up", "dc1", "--yes", "--object-storage-only")
    (name,) = [bucket["Name"] for bucket in s3.list_buckets()["Buckets"] if "-dc1-assets-" in bucket["Name"]]
    small.meshctl("destroy", "dc1", "--yes")
    s3.create_bucket(Bucket=name)
    s3.put_object(Bucket=name, Key="theirs", Body=b"theirs")
    try:
        failed = small.meshctl("--output", "json", "up", "dc1", "--yes", check=False)
        assert failed.returncode == 3
        error = json.loads(failed.stdout)["error"]
        assert [(f["subject"], f["code"]) for f in error["failures"]] == [("storage/assets", "BucketAlreadyOwnedByYou")]
        assert s3.get_object(Bucket=name, Key="theirs")["Body"].read() == b"theirs"
    finally:
        s3.delete_object(Bucket=name, Key="theirs")
        s3.delete_bucket(Bucket=name)
    small.meshctl("up", "dc1", "--yes")
