"""`up` against clouds that refuse, and `up` that is killed: what was made is kept, nothing is made twice."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab_fixture import RunningLab

pytestmark = pytest.mark.lab

MESH = """
apiVersion: meshctl/v1
kind: Mesh
name: small
pools:
  web: {role: general, nodes: 1, cpu: {cores: 4, memory: 16GiB}}
storage:
  assets: {kind: object, size: 10GiB}
workloads:
  site:
    kind: service
    pool: web
    replicas: 1
    image: ghcr.io/acme/site:1.0
    ports: {http: 8080}
    mounts: {assets: {path: /assets}}
"""
ENVIRONMENTS = """
apiVersion: meshctl/v1
kind: Environments
environments:
  aws-east: {provider: aws, region: us-east-1, zones: [us-east-1a, us-east-1b]}
  cw: {provider: coreweave, region: US-EAST-04A, kubernetes: {context: cw}, objectStorage: {profile: coreweave}}
  dc1:
    provider: onprem
    kubernetes: {context: dc1}
    objectStorage: {profile: dc1}
    storageClasses: {filesystem: nfs, block: local-path}
"""


@pytest.fixture
def small(lab: RunningLab, tmp_path: Path) -> Iterator[RunningLab]:
    """A mesh of one pool, one bucket, one workload, in a folder of its own; whatever is up is taken down again."""
    (tmp_path / "mesh.yaml").write_text(MESH)
    (tmp_path / "environments.yaml").write_text(ENVIRONMENTS)
    here = lab.at(tmp_path)
    faults(here)
    yield here
    faults(here)
    stacks = tmp_path / ".meshctl/state/.pulumi/stacks/small"
    for environment in ("aws-east", "cw", "dc1"):
        if (stacks / f"{environment}.json").exists():
            here.meshctl("destroy", environment, "--yes", timeout_s=300)


def faults(here: RunningLab, *planned: dict[str, object]) -> None:
    (here.lab.root / "faults.json").write_text(json.dumps(planned))


def counts(here: RunningLab) -> dict[str, int]:
    """How many of each kind of resource AWS has of this mesh."""
    ec2, tagged = here.boto3("ec2"), [{"Name": "tag:meshctl.dev/mesh", "Values": ["small"]}]
    buckets = [b["Name"] for b in here.boto3("s3").list_buckets()["Buckets"]]
    roles = [r["RoleName"] for r in here.boto3("iam").list_roles()["Roles"]]
    nats = ec2.describe_nat_gateways(Filter=tagged)["NatGateways"]
    return {
        "vpcs": len(ec2.describe_vpcs(Filters=tagged)["Vpcs"]),
        "subnets": len(ec2.describe_subnets(Filters=tagged)["Subnets"]),
        "nat gateways": sum(nat["State"] != "deleted" for nat in nats),
        "launch templates": len(ec2.describe_launch_templates(Filters=tagged)["LaunchTemplates"]),
        "clusters": sum(name.startswith("small-") for name in here.boto3("eks").list_clusters()["clusters"]),
        "buckets": sum(name.startswith("small-") for name in buckets),
        "roles": sum(name.startswith("small-") for name in roles),
    }


WHOLE = {
    "vpcs": 1,
    "subnets": 4,
    "nat gateways": 2,
    "launch templates": 1,
    "clusters": 1,
    "buckets": 1,
    "roles": 3,
}


def test_missing_capacity_has_a_name_and_a_hint_and_the_next_up_goes_on(small: RunningLab) -> None:
    fault = {"operation": "CreateNodegroup", "error": "InsufficientInstanceCapacity", "message": "no m7i in us-east-1a"}
    faults(small, {**fault, "times": 1, "async": True})
    failed = small.meshctl("--output", "json", "up", "aws-east", "--yes", check=False)
    assert failed.returncode == 3
    error = json.loads(failed.stdout)["error"]
    assert error["code"] == "resources"
    assert [(f["subject"], f["code"]) for f in error["failures"]] == [("pool/web", "InsufficientInstanceCapacity")]
    assert "reserve" in error["hint"]
    found = small.json("status", "aws-east")["environments"]["aws-east"]
    assert found["state"] == "degraded"
    assert "no m7i in us-east-1a" in found["error"]
    assert "aws-east" in (small.folder / ".meshctl/kubeconfig").read_text()  # the cluster is up
    faults(small)
    small.meshctl("up", "aws-east", "--yes")
    assert counts(small) == WHOLE
    assert small.json("plan", "aws-east")["changes"] == []


def test_throttling_is_waited_out(small: RunningLab) -> None:
    faults(small, {"operation": "CreateSubnet", "error": "RequestLimitExceeded", "times": 3})
    small.meshctl("up", "aws-east", "--yes")
    assert counts(small) == WHOLE


def test_an_expired_token_stops_a_destroy_and_forgets_nothing(small: RunningLab) -> None:
    small.meshctl("up", "aws-east", "--yes")
    faults(small, {"operation": "DeleteNodegroup", "error": "ExpiredTokenException", "times": 1000})
    refused = small.meshctl("--output", "json", "destroy", "aws-east", "--yes", check=False)
    assert refused.returncode in (1, 3)
    assert json.loads(refused.stdout)["error"]["code"] == "credentials"
    assert counts(small)["clusters"] == 1
    faults(small)
    small.meshctl("destroy", "aws-east", "--yes")
    assert set(counts(small).values()) == {0}


BEGUN = {
    "Vpc": "creating  network vpc",
    "Cluster": "creating  cluster eks",
    "Nodegroup": "creating  pool/web nodegroup",
}


def kill_up(here: RunningLab, environment: str, when: str) -> None:
    """`kill -9` of meshctl, the engine and its providers together, in the middle of the call that `when` begins."""
    command = [sys.executable, "-m", "meshctl.cli.main", "-v", "up", environment, "--yes"]
    process = subprocess.Popen(
        command, cwd=here.folder, env=here.env, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    assert process.stderr is not None
    said = next((line for line in process.stderr if when in line), None)
    time.sleep(0.3)  # in the middle of the call
    for pid in [*children(process.pid), process.pid]:
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            os.kill(pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert said is not None, f"up ended without saying {when!r}"


@pytest.mark.parametrize("after", ["Vpc", "Cluster", "Nodegroup"])
def test_up_goes_on_after_a_kill(small: RunningLab, after: str) -> None:
    kill_up(small, "aws-east", BEGUN[after])
    small.meshctl("up", "aws-east", "--yes", timeout_s=400)
    assert counts(small) == WHOLE
    assert small.json("plan", "aws-east")["changes"] == []


@pytest.mark.parametrize("after", ["Vpc", "Cluster", "Nodegroup"])
def test_destroy_after_a_kill_leaves_nothing(small: RunningLab, after: str) -> None:
    kill_up(small, "aws-east", BEGUN[after])
    assert small.json("status", "aws-east")["environments"]["aws-east"]["state"] == "degraded"
    said = small.meshctl("destroy", "aws-east", "--yes", timeout_s=400).stderr
    assert "looking for what it did" in said
    assert "  updated  " not in said  # what was found out is no change
    assert set(counts(small).values()) == {0}


def test_an_object_of_kubernetes_that_a_kill_left_is_deleted_once_the_mesh_lacks_it(small: RunningLab) -> None:
    crashing = MESH.replace("ghcr.io/acme/site:1.0", "vllm/vllm-openai:v0.11.0")  # never ready: its model is not there
    (small.folder / "mesh.yaml").write_text(crashing)
    kill_up(small, "cw", "workload/site deployment: ")
    deployments = ("get", "deployments", "-n", "small", "-o", "name")
    assert small.kubectl("cw", *deployments).split() == ["deployment.apps/site"]
    (small.folder / "mesh.yaml").write_text(MESH[: MESH.index("workloads:")] + "workloads: {}\n")
    small.meshctl("up", "cw", "--yes")
    assert small.kubectl("cw", *deployments).split() == []


def test_an_update_that_was_killed_and_then_undone_in_the_mesh_is_undone(small: RunningLab) -> None:
    small.meshctl("up", "aws-east", "--yes")
    (small.folder / "mesh.yaml").write_text(MESH.replace("nodes: 1", "nodes: 2"))
    throttled = "kept waiting until the kill"
    faults(small, {"operation": "DescribeUpdate", "error": "ThrottlingException", "message": throttled, "times": 1000})
    kill_up(small, "aws-east", throttled)
    faults(small)
    (small.folder / "mesh.yaml").write_text(MESH)
    small.meshctl("up", "aws-east", "--yes")
    eks = small.boto3("eks")
    cluster = next(name for name in eks.list_clusters()["clusters"] if name.startswith("small-"))
    group = eks.describe_nodegroup(clusterName=cluster, nodegroupName="web")["nodegroup"]
    assert group["scalingConfig"]["desiredSize"] == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_at_a_safe_point_and_the_next_up_goes_on(small: RunningLab, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "meshctl.cli.main", "-v", "up", "aws-east", "--yes"]
    process = subprocess.Popen(
        command, cwd=small.folder, env=small.env, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line
        if "creating  cluster eks" in line:
            process.send_signal(number)
    assert process.wait() == 130, said
    assert "finishing what is in flight" in said
    assert "`meshctl up aws-east` goes on from there" in said
    small.meshctl("up", "aws-east", "--yes")
    assert counts(small) == WHOLE


def test_a_terminal_that_is_closed_stops_at_a_safe_point(small: RunningLab) -> None:
    """It takes the output with it: every further write fails."""
    command = [sys.executable, "-m", "meshctl.cli.main", "-v", "up", "aws-east", "--yes"]
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(small.folder)
        os.execve(sys.executable, command, small.env)  # noqa: S606 (the test is to be its terminal)
    said = b""
    while BEGUN["Cluster"].encode() not in said:
        said += os.read(terminal, 4096)
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 130
    state = json.loads((small.folder / ".meshctl/state/.pulumi/stacks/small/aws-east.json").read_text())
    assert not state["checkpoint"]["latest"].get("pending_operations")
    small.meshctl("up", "aws-east", "--yes")
    assert counts(small) == WHOLE


def test_missing_credentials_are_named(small: RunningLab) -> None:
    nothing = {"AWS_CONFIG_FILE": "/nonexistent", "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent"}
    failed = small.meshctl("--output", "json", "up", "aws-east", "--yes", check=False, **nothing)
    assert failed.returncode == 1
    error = json.loads(failed.stdout)["error"]
    assert error["code"] == "credentials"
    assert "AWS_PROFILE" in error["hint"]


def children(pid: int) -> list[int]:
    import psutil

    return [child.pid for child in psutil.Process(pid).children(recursive=True)]


def test_a_pool_without_quota_says_so(small: RunningLab) -> None:
    faults(small, {"operation": "NodePool", "error": "NotSet"})
    failed = small.meshctl("--output", "json", "up", "cw", "--yes", check=False)
    assert failed.returncode == 3
    (failure,) = json.loads(failed.stdout)["error"]["failures"]
    assert (failure["subject"], failure["code"]) == ("pool/web", "Quota")
    faults(small)
    small.meshctl("up", "cw", "--yes")


def test_an_image_that_cannot_be_pulled_is_named(small: RunningLab) -> None:
    (small.folder / "mesh.yaml").write_text(MESH.replace("acme/site:1.0", "acme/site:does-not-exist"))
    failed = small.meshctl("--output", "json", "up", "cw", "--yes", "--timeout", "20s", check=False)
    assert failed.returncode == 3
    (failure,) = json.loads(failed.stdout)["error"]["failures"]
    assert failure["code"] in ("ImagePull", "ImagePullBackOff", "ErrImagePull")
    assert failure["subject"] == "workload/site"
    (small.folder / "mesh.yaml").write_text(MESH)
    small.meshctl("up", "cw", "--yes")


@pytest.mark.parametrize("health", ["    health: {path: /health, port: http}\n", ""], ids=["health", "no-health"])
def test_a_container_that_ends_again_and_again_is_named(small: RunningLab, health: str) -> None:
    crashing = MESH.replace("ghcr.io/acme/site:1.0", "vllm/vllm-openai:v0.11.0") + health  # its model is not there
    (small.folder / "mesh.yaml").write_text(crashing)
    failed = small.meshctl("--output", "json", "up", "cw", "--yes", "--timeout", "30s", check=False)
    assert failed.returncode == 3
    error = json.loads(failed.stdout)["error"]
    assert [(f["subject"], f["code"]) for f in error["failures"]] == [("workload/site", "CrashLoop")]
    assert "kubectl logs" in error["hint"]
    (small.folder / "mesh.yaml").write_text(MESH)
    small.meshctl("up", "cw", "--yes")
    assert small.json("plan", "cw")["changes"] == []


def with_scratch(here: RunningLab, kind: str, storage_class: str) -> None:
    """The mesh with one more storage of that kind, from that class at dc1."""
    mesh = MESH.replace("storage:\n", f"storage:\n  scratch: {{kind: {kind}, size: 10GiB}}\n")
    (here.folder / "mesh.yaml").write_text(mesh.replace("mounts: {", "mounts: {scratch: {path: /scratch}, "))
    classes = "{filesystem: nfs, block: local-path}"
    changed = ENVIRONMENTS.replace(classes, f"{{filesystem: {storage_class}, block: {storage_class}}}")
    (here.folder / "environments.yaml").write_text(changed)


@pytest.mark.parametrize(("kind", "good"), [("filesystem", "nfs"), ("block", "local-path")])
def test_a_claim_that_cannot_bind_is_named_and_what_it_holds_later_is_kept(
    small: RunningLab, kind: str, good: str
) -> None:
    with_scratch(small, kind, "nsf")
    failed = small.meshctl("--output", "json", "up", "dc1", "--yes", "--timeout", "20s", check=False)
    assert failed.returncode == 3
    error = json.loads(failed.stdout)["error"]
    subject = {"filesystem": "storage/scratch", "block": "workload/site"}[kind]  # a block belongs to a pod
    assert [(f["subject"], f["code"]) for f in error["failures"]] == [(subject, "ProvisioningFailed")]
    assert 'storageclass.storage.k8s.io "nsf" not found' in error["failures"][0]["message"]
    assert "storage class" in error["hint"]
    with_scratch(small, kind, good)
    if kind == "block":  # Kubernetes keeps the claims of a stateful set, wrong class and all
        small.meshctl("destroy", "dc1", "--yes")
    small.meshctl("up", "dc1", "--yes")  # nothing was ever written to the claim: it is replaced without asking
    assert small.json("plan", "dc1")["changes"] == []
    refused = small.meshctl("--output", "json", "destroy", "dc1", "--yes", check=False)
    assert refused.returncode == 1
    assert "storage/scratch" in json.loads(refused.stdout)["error"]["what"]
    small.meshctl("destroy", "dc1", "--yes", "--allow-data-loss", "--confirm", "dc1")


def test_up_replaces_no_volume_that_may_hold_data_unless_told_to(small: RunningLab) -> None:
    with_scratch(small, "filesystem", "nfs")
    small.meshctl("up", "dc1", "--yes")
    with_scratch(small, "filesystem", "local-path")
    refused = small.meshctl("--output", "json", "up", "dc1", "--yes", check=False)
    assert refused.returncode == 1
    assert json.loads(refused.stdout)["error"]["code"] == "protected"
    claim = "-o=jsonpath={.items[*].spec.storageClassName}"
    assert small.kubectl("dc1", "get", "pvc", "-n", "small", claim) == "nfs"
    small.meshctl("up", "dc1", "--yes", "--allow-data-loss", "--confirm", "dc1")
    assert small.kubectl("dc1", "get", "pvc", "-n", "small", claim) == "local-path"
    assert small.json("plan", "dc1")["changes"] == []
    small.meshctl("destroy", "dc1", "--yes", "--allow-data-loss", "--confirm", "dc1")


def test_a_bucket_name_that_is_taken_is_named_and_the_bucket_left_alone(small: RunningLab) -> None:
    s3 = small.boto3("s3", "dc1")
    small.meshctl("up", "dc1", "--yes", "--object-storage-only")
    (name,) = [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]
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
