"""Capacity blocks that have not begun, that have, and that end while an `up` runs: the pool waits without nodes, has
them, or is the only thing that is missing."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from meshctl.dns.lookup import address_of
from tests.faults.small_mesh import ENVIRONMENTS, MESH, counts, faults
from tests.faults.started import started
from tests.lab_fixture import RunningLab

pytestmark = [pytest.mark.lab, pytest.mark.exhaustive]  # the wait and the refusals are in memory and against moto

POOL = """
  train: {role: training, nodes: 2, capacity: reserved, accelerator: {model: H100, count: 8}}
storage:
"""
WORKLOADS = """
  asks:
    kind: service
    pool: train
    replicas: 1
    image: ghcr.io/acme/site:1.0
    ports: {http: 8080}
    resources: {accelerators: 8}
  learns:
    kind: training
    pool: train
    nodes: 1
    image: ghcr.io/acme/learn:1.0
    resources: {accelerators: 8}
    mounts: {assets: {path: /ckpt}}
    checkpoint: {storage: assets, grace: 2m}
"""


def bought(small: RunningLab, starts_in_h: float) -> dict[str, Any]:
    """A block of two machines for a day."""
    ec2 = small.boto3("ec2")
    wanted = {"InstanceType": "p5.48xlarge", "InstanceCount": 2, "CapacityDurationHours": 24}
    start = datetime.now(UTC) + timedelta(hours=starts_in_h)
    [offered, *_] = ec2.describe_capacity_block_offerings(**wanted, StartDateRange=start)["CapacityBlockOfferings"]
    made = ec2.purchase_capacity_block(
        CapacityBlockOfferingId=offered["CapacityBlockOfferingId"], InstancePlatform="Linux/UNIX"
    )
    return dict(made["CapacityReservation"])


def use(small: RunningLab, block: dict[str, Any]) -> None:
    zone = block["AvailabilityZone"]
    other = next(each for each in ("us-east-1a", "us-east-1b") if each != zone)
    own = f"zones: [{zone}, {other}], capacity: {{blocks: [{block['CapacityReservationId']}]}}"
    text = ENVIRONMENTS.replace("zones: [us-east-1a, us-east-1b]", own)
    (small.folder / "environments.yaml").write_text(text)


def test_a8_a_pool_waits_for_its_block_and_gets_its_nodes_in_the_next_one(small: RunningLab) -> None:
    (small.folder / "mesh.yaml").write_text(MESH.replace("\nstorage:\n", POOL) + WORKLOADS)
    use(small, bought(small, starts_in_h=1))
    up = small.meshctl("--output", "json", "up", "aws-east", "--yes", timeout_s=500)
    assert set(json.loads(up.stdout)["waiting"]) == {"asks", "learns"}
    eks = small.boto3("eks")
    [cluster] = eks.list_clusters()["clusters"]

    def scaling() -> dict[str, int]:
        group: dict[str, Any] = eks.describe_nodegroup(clusterName=cluster, nodegroupName="train")["nodegroup"]
        return dict(group["scalingConfig"])

    assert scaling() == {"minSize": 0, "maxSize": 2, "desiredSize": 0}
    status = small.json("status", "aws-east")["environments"]["aws-east"]
    assert status["state"] == "up"
    assert [pool["starts"] != "" for pool in status["pools"]] == [False, True]
    block = bought(small, starts_in_h=-1)
    use(small, block)
    up = small.meshctl("--output", "json", "up", "aws-east", "--yes", timeout_s=500)
    assert "waiting" not in json.loads(up.stdout)
    assert scaling() == {"minSize": 2, "maxSize": 2, "desiredSize": 2}
    assert small.json("plan", "aws-east")["changes"] == []
    the_rest_goes_on_after_the_end(small, block)
    assert scaling() == {"minSize": 0, "maxSize": 2, "desiredSize": 0}


def the_rest_goes_on_after_the_end(small: RunningLab, block: dict[str, Any]) -> None:
    """Each `up` from then on is done but for the pool, whose group stays degraded."""
    small.boto3("ec2").cancel_capacity_reservation(CapacityReservationId=block["CapacityReservationId"])
    for _ in range(2):
        up = small.meshctl("up", "aws-east", "--yes", check=False, timeout_s=500)
        assert up.returncode == 3, up.stderr
        assert f"the capacity block {block['CapacityReservationId']} of pool train has ended" in up.stderr
        assert "all else is up" in up.stderr
    status = small.json("status", "aws-east")["environments"]["aws-east"]
    assert [pool["wanted"] for pool in status["pools"]] == [1, 0]


CHAT = """
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
  chat: {host: blocks.example.com, workload: chat, port: http, access: public}
"""


def test_a8_a_block_that_ends_while_up_runs_leaves_all_else_up(
    small: RunningLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes after the questions and before EKS looks at it."""
    block = bought(small, starts_in_h=-1)
    use(small, block)
    with (small.folder / "environments.yaml").open("a") as file:
        file.write("dns: {provider: route53, zone: example.com}\n")
    (small.folder / "mesh.yaml").write_text(MESH.replace("\nstorage:\n", POOL) + WORKLOADS + CHAT)
    small.meshctl("up", "aws-east", "--yes", "--object-storage-only")
    upload(small)
    # the calls are held up, so that the block has ended by the time at which EKS looks at it
    faults(small, {"operation": "CreateNodegroup", "error": "ThrottlingException", "times": 14})
    with started(small, "-v", "--output", "json", "up", "aws-east", "--yes") as up:
        up.wait_for("creating  pool/train nodegroup")
        small.boto3("ec2").cancel_capacity_reservation(CapacityReservationId=block["CapacityReservationId"])
        assert up.ended() == 3, up.said()
    output = up.said()
    error = json.JSONDecoder().raw_decode(output, output.index("\n{") + 1)[0]["error"]
    assert error["code"] == "no-capacity"
    assert [each["subject"] for each in error["failures"]] == ["pool/train"]
    assert error["what"].endswith("; all else is up")
    assert f"The capacity reservation '{block['CapacityReservationId']}' is cancelled" in error["why"]
    assert "another reservation in `capacity` of aws-east" in error["hint"]
    status = small.json("status", "aws-east")["environments"]["aws-east"]
    ready = {pool["name"]: (pool["wanted"], pool["ready"]) for pool in status["pools"]}
    assert ready["web"] == (1, 1)
    monkeypatch.setenv("MESHCTL_DNS_SERVER", small.env["MESHCTL_DNS_SERVER"])
    url = f"http://{address_of('blocks.example.com')}:8000/v1/models"
    assert httpx2.get(url, trust_env=False).json()["data"]
    assert counts(small)["clusters"] == 1
    faults(small)
    empty(small)


def bucket_of(small: RunningLab) -> str:
    names = [each["Name"] for each in small.boto3("s3").list_buckets()["Buckets"]]
    [bucket] = [name for name in names if name.startswith("small-aws-east-")]
    return str(bucket)


def upload(small: RunningLab) -> None:
    small.boto3("s3").put_object(Bucket=bucket_of(small), Key="weights.bin", Body=b"weights")


def empty(small: RunningLab) -> None:
    """Else the bucket would be protected from the end of the test."""
    s3, bucket = small.boto3("s3"), bucket_of(small)
    for each in s3.list_object_versions(Bucket=bucket).get("Versions", ()):
        s3.delete_object(Bucket=bucket, Key=each["Key"], VersionId=each["VersionId"])
