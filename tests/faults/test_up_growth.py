"""A pool that grows beyond what EC2 has: the rest serves on, the next `up` goes on, and it can be made smaller."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.faults.small_mesh import MESH
from tests.faults.started import started
from tests.lab_fixture import RunningLab

pytestmark = [pytest.mark.lab, pytest.mark.exhaustive]  # the provider's part is against moto, the lab's over HTTP


def nodes(small: RunningLab, count: int) -> None:
    (small.folder / "mesh.yaml").write_text(MESH.replace("nodes: 1", f"nodes: {count}"))


def group(small: RunningLab) -> dict[str, Any]:
    eks = small.boto3("eks")
    [cluster] = eks.list_clusters()["clusters"]
    return dict(eks.describe_nodegroup(clusterName=cluster, nodegroupName="web")["nodegroup"])


def machines(small: RunningLab) -> list[str]:
    """Of the cluster's nodes, in order of their numbers."""
    listed = json.loads(small.kubectl("aws-east", "get", "nodes", "-o", "json"))["items"]
    return [each["metadata"]["labels"]["node.kubernetes.io/instance-type"] for each in listed]


def available(small: RunningLab, *counts: int) -> None:
    """How many machines EC2 has of each type that the group may start, in their order; none of those that follow."""
    types = group(small)["instanceTypes"]
    assert len(types) > 1
    has = dict.fromkeys(types, 0) | dict(zip(types, counts, strict=False))
    (small.lab.root / "capacity.json").write_text(json.dumps(has))


def test_a7_a_pool_that_grows_beyond_what_there_is(small: RunningLab) -> None:
    small.meshctl("up", "aws-east", "--yes", timeout_s=400)
    try:
        first, second = group(small)["instanceTypes"][:2]
        available(small, 1, 1)
        nodes(small, 3)
        for _ in range(2):  # also once the group has the sizes that it is to have
            refused = small.meshctl("--output", "json", "up", "aws-east", "--yes", check=False, timeout_s=400)
            assert refused.returncode == 3, refused.stdout + refused.stderr
            error = json.loads(refused.stdout)["error"]
            assert error["code"] == "no-capacity"
            failures = [(each["subject"], each["code"]) for each in error["failures"]]
            assert failures == [("pool/web", "InsufficientInstanceCapacity")]
        assert machines(small) == [first, second]
        serves(small)

        nodes(small, 1)
        small.meshctl("up", "aws-east", "--yes", timeout_s=400)
        assert group(small)["status"] == "DEGRADED"  # until it grows again
        assert machines(small) == [first]
        assert small.json("plan", "aws-east")["changes"] == []

        nodes(small, 3)
        with started(small, "up", "aws-east", "--yes", "--wait-for-capacity", "10m") as up:
            up.wait_for("trying again in")
            available(small, 2, 1)
            assert up.ended() == 0, up.said()
        assert machines(small) == [first, second, first]
        assert group(small)["status"] == "ACTIVE"
        serves(small)
        assert small.json("plan", "aws-east")["changes"] == []
    finally:
        (small.lab.root / "capacity.json").unlink()


def serves(small: RunningLab) -> None:
    listed = json.loads(small.kubectl("aws-east", "get", "deployments", "-A", "-o", "json"))["items"]
    [site] = [each for each in listed if each["metadata"]["name"] == "site"]
    assert site["status"]["readyReplicas"] == 1
