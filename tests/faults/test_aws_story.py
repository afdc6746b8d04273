"""Environments on AWS that are refused, told to end, killed and changed by hand on their way up and down.

Several of these in one environment, since an EKS environment takes longest to come up and go. `nox -s tests` has the
two kills. Each kill at each moment is in `test_up_killed` (`nox -s faults`), and in `test_random_stops` against an API
of the test's own.
"""

from __future__ import annotations

import json
import signal

import httpx2
import pytest

from meshctl.dns.lookup import address_of
from tests.faults.by_hand import Stack
from tests.faults.small_mesh import BEGUN, ENVIRONMENTS, MESH, WHOLE, counts, faults
from tests.faults.started import kill_when, started
from tests.lab_fixture import RunningLab

pytestmark = pytest.mark.lab

SCARCE = """
  scarce: {role: general, nodes: 1, cpu: {cores: 8, memory: 32GiB}}
storage:
"""
WORKLOADS = """
  asks:
    {kind: service, pool: scarce, replicas: 1, image: ghcr.io/acme/site:1.0, ports: {http: 8080}}
  chat:
    kind: inference
    pool: web
    replicas: 1
    image: vllm/vllm-openai:v0.11.0
    args: [--model, /models]
    ports: {http: 8000}
    health: {path: /health, port: http}
    mounts: {assets: {path: /models, readOnly: true}}
endpoints:
  chat: {host: scarce.example.com, workload: chat, port: http, access: public}
"""


def test_up_and_destroy_go_on_after_a_kill(small: RunningLab) -> None:
    killed_while_the_cluster_is_made(small)
    small.meshctl("up", "aws-east", "--yes", timeout_s=400)
    assert counts(small) == WHOLE
    assert small.json("plan", "aws-east")["changes"] == []
    killed_in_destroy(small)
    assert set(counts(small).values()) == {0}


@pytest.mark.exhaustive
def test_a7_up_goes_on_once_there_are_machines(small: RunningLab, monkeypatch: pytest.MonkeyPatch) -> None:
    """One pool without machines, alone and while the rest comes up with its names."""
    told_to_end_at_its_beginning(small)
    no_capacity_for_the_pool(small)
    small.meshctl("up", "aws-east", "--yes", timeout_s=400)
    assert counts(small) == WHOLE
    one_pool_without_machines(small, monkeypatch)


@pytest.mark.exhaustive
def test_what_is_changed_behind_its_back_is_mended(small: RunningLab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deleted by hand, left in an update that nobody wants any more, and refused while it is taken down."""
    small.meshctl("up", "aws-east", "--yes", timeout_s=400)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, small.env[name])  # for the AWS provider in this process
    deleted_by_hand(small)
    killed_in_an_update_that_is_undone(small)
    token_expires_in_destroy(small)
    small.meshctl("destroy", "aws-east", "--yes", timeout_s=400)
    assert set(counts(small).values()) == {0}


def told_to_end_at_its_beginning(small: RunningLab) -> None:
    with started(small, "-v", "up", "aws-east", "--yes") as up:
        up.wait_for(BEGUN["Vpc"])
        up.process.send_signal(signal.SIGTERM)
        assert up.ended() == 130, up.said()
    assert "finishing what is in flight" in up.said()
    assert "`meshctl up aws-east` goes on from there" in up.said()
    made = counts(small)
    assert (made["vpcs"], made["clusters"]) == (1, 0)


def killed_while_the_cluster_is_made(small: RunningLab) -> None:
    """After subnets that had to wait for the API's rate limit."""
    faults(small, {"operation": "CreateSubnet", "error": "RequestLimitExceeded", "times": 3})
    kill_when(small, BEGUN["Cluster"], "up", "aws-east", "--yes")
    faults(small)
    assert counts(small)["subnets"] == WHOLE["subnets"]
    assert small.json("status", "aws-east")["environments"]["aws-east"]["state"] == "degraded"


def no_capacity_for_the_pool(small: RunningLab) -> None:
    fault = {"operation": "CreateNodegroup", "error": "InsufficientInstanceCapacity"}
    faults(small, {**fault, "times": 1, "async": True})
    failed = small.meshctl("--output", "json", "up", "aws-east", "--yes", check=False, timeout_s=400)
    assert failed.returncode == 3, failed.stdout
    error = json.loads(failed.stdout)["error"]
    assert error["code"] == "no-capacity"
    assert [(f["subject"], f["code"]) for f in error["failures"]] == [("pool/web", "InsufficientInstanceCapacity")]
    assert "for pool web, try " in error["hint"]
    assert "--wait-for-capacity 6h" in error["hint"]
    status = small.json("status", "aws-east")["environments"]["aws-east"]
    assert status["state"] == "degraded"
    assert "We currently do not have sufficient" in status["error"]
    assert "aws-east" in (small.folder / ".meshctl/kubeconfig").read_text()  # the cluster is up
    faults(small)


def one_pool_without_machines(small: RunningLab, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second pool, for which AWS has no machines: the rest comes up with its names, and the next `up` goes on."""
    (small.folder / "environments.yaml").write_text(ENVIRONMENTS + "dns: {provider: route53, zone: example.com}\n")
    s3 = small.boto3("s3")
    [bucket] = [each["Name"] for each in s3.list_buckets()["Buckets"] if each["Name"].startswith("small-aws-east-")]
    weights = {"Bucket": bucket, "Key": "weights.bin"}
    version = s3.put_object(**weights, Body=b"weights")["VersionId"]
    (small.folder / "mesh.yaml").write_text(MESH.replace("\nstorage:\n", SCARCE) + WORKLOADS)
    faults(small, {"operation": "CreateNodegroup", "error": "InsufficientInstanceCapacity", "async": True})
    failed = small.meshctl("--output", "json", "up", "aws-east", "--yes", check=False, timeout_s=400)
    assert failed.returncode == 3, failed.stdout + failed.stderr
    error = json.loads(failed.stdout)["error"]
    assert (error["code"], [each["subject"] for each in error["failures"]]) == ("no-capacity", ["pool/scarce"])
    status = small.json("status", "aws-east")["environments"]["aws-east"]
    (endpoint,) = status["endpoints"]
    assert endpoint["points_at"] == "aws-east"
    monkeypatch.setenv("MESHCTL_DNS_SERVER", small.env["MESHCTL_DNS_SERVER"])
    url = f"http://{address_of('scarce.example.com')}:8000/v1/models"
    assert httpx2.get(url, trust_env=False).json()["data"]
    faults(small)
    small.meshctl("up", "aws-east", "--yes", timeout_s=400)
    assert small.json("plan", "aws-east")["changes"] == []

    (small.folder / "mesh.yaml").write_text(MESH)
    small.meshctl("up", "aws-east", "--yes", timeout_s=400)
    (small.folder / "environments.yaml").write_text(ENVIRONMENTS)
    s3.delete_object(**weights, VersionId=version)
    assert counts(small) == WHOLE


def deleted_by_hand(small: RunningLab) -> None:
    stack = Stack(small, "small", "aws-east")
    before = stack.urns()
    assert stack.outside() == set()
    gone = stack.deleted(stack.leaves())
    assert any("meshaws:" in urn for urn in gone)
    assert any("kubernetes:" in urn for urn in gone)
    stack.assert_made_again(gone, before)


def killed_in_an_update_that_is_undone(small: RunningLab) -> None:
    (small.folder / "mesh.yaml").write_text(MESH.replace("nodes: 1", "nodes: 2"))
    throttled = "kept waiting until the kill"
    faults(small, {"operation": "DescribeUpdate", "error": "ThrottlingException", "message": throttled, "times": 1000})
    kill_when(small, throttled, "up", "aws-east", "--yes")
    faults(small)
    (small.folder / "mesh.yaml").write_text(MESH)
    small.meshctl("up", "aws-east", "--yes")
    eks = small.boto3("eks")
    cluster = next(name for name in eks.list_clusters()["clusters"] if name.startswith("small-"))
    group = eks.describe_nodegroup(clusterName=cluster, nodegroupName="web")["nodegroup"]
    assert group["scalingConfig"]["desiredSize"] == 1


def token_expires_in_destroy(small: RunningLab) -> None:
    faults(small, {"operation": "DeleteNodegroup", "error": "ExpiredTokenException", "times": 1000})
    refused = small.meshctl("--output", "json", "destroy", "aws-east", "--yes", check=False)
    assert refused.returncode in (1, 3)
    assert json.loads(refused.stdout)["error"]["code"] == "credentials"
    assert counts(small)["clusters"] == 1
    faults(small)


def killed_in_destroy(small: RunningLab) -> None:
    kill_when(small, "deleting  cluster eks", "destroy", "aws-east", "--yes")
    state = small.json("status", "aws-east")["environments"]["aws-east"]["state"]
    assert state in ("degraded", "unknown")  # a cluster that is on its way out may answer no more
    small.meshctl("destroy", "aws-east", "--yes", timeout_s=400)
