"""A pool for which AWS has no machines: the rest comes up with its names, and the next `up` goes on."""

from __future__ import annotations

import json

import httpx2
import pytest

from meshctl.dns.lookup import address_of
from tests.faults.small_mesh import ENVIRONMENTS, MESH, faults, small
from tests.lab_fixture import RunningLab

pytestmark = pytest.mark.lab
__all__ = ["small"]

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


def test_finding_a7_one_pool_without_machines(small: RunningLab, monkeypatch: pytest.MonkeyPatch) -> None:
    (small.folder / "environments.yaml").write_text(ENVIRONMENTS + "dns: {provider: route53, zone: example.com}\n")
    small.meshctl("up", "aws-east", "--yes", timeout_s=400)
    s3 = small.boto3("s3")
    [bucket] = [each["Name"] for each in s3.list_buckets()["Buckets"] if each["Name"].startswith("small-aws-east-")]
    s3.put_object(Bucket=bucket, Key="weights.bin", Body=b"weights")
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
    small.meshctl("destroy", "aws-east", "--yes", "--allow-data-loss", "--confirm", "aws-east", timeout_s=300)
