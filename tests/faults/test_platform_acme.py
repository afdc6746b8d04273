"""The example platform of a package of its own, in the lab: `plan`, `up`, and moved there and back.

The lab knows nothing of it. Its cluster is the control plane `dc1`; what Acme's own controller would do, to make the
nodes of a `NodeGroup`, is done here (`NodeGroups`). What needs no cluster is in tests/unit/platforms.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.acme_platform import install
from tests.lab_fixture import RunningLab
from tests.waiting import wait_until

pytestmark = pytest.mark.lab

MESH = """\
apiVersion: meshctl/v1
kind: Mesh
name: moved
pools:
  serve: {role: inference, nodes: 2, accelerator: {model: H100, count: 8}, fabric: backend}
fabrics: {backend: {kind: rdma, bandwidth: 400Gbps}}
storage: {weights: {kind: object, size: 1TB}}
workloads:
  chat:
    kind: inference
    pool: serve
    replicas: 2
    image: vllm/vllm-openai:v0.11.0
    args: [--model, /models/llama]
    resources: {accelerators: 8, cpu: 64, memory: 512GiB}
    ports: {http: 8000}
    health: {path: /health, port: http}
    mounts: {weights: {path: /models, readOnly: true}}
endpoints:
  chat: {host: chat.example.com, workload: chat, port: http, access: public}
"""
ENVIRONMENTS = """\
apiVersion: meshctl/v1
kind: Environments
environments:
  cw: {provider: coreweave, region: US-EAST-04A, kubernetes: {context: cw}, objectStorage: {profile: coreweave}}
  acme: {provider: acme, region: north-1, kubernetes: {context: dc1}, objectStorage: {profile: dc1}}
dns: {provider: route53, zone: example.com, ttl: 2s}
"""
DEFINITION = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: nodegroups.compute.acme.example}
spec:
  group: compute.acme.example
  scope: Cluster
  names: {kind: NodeGroup, listKind: NodeGroupList, plural: nodegroups, singular: nodegroup}
  versions:
    - name: v1
      served: true
      storage: true
      subresources: {status: {}}
      schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
"""
OF_GROUP = "compute.acme.example/group"
CAPACITY = {"cpu": "128", "memory": "1860Gi", "ephemeral-storage": "15000G", "pods": "110"}
DEVICES = {"nvidia.com/gpu": "8", "acme.example/hca": "8"}


class NodeGroups(threading.Thread):
    """Acme's controller: keeps the nodes of each group, and says when it is filled."""

    def __init__(self, lab: RunningLab, folder: Path) -> None:
        super().__init__(daemon=True)
        self.lab = lab
        self.folder = folder
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.wait(0.5):
            with contextlib.suppress(subprocess.CalledProcessError):  # an object went in between: looked at again
                self.step()

    def step(self) -> None:
        groups = {each["metadata"]["name"]: each for each in self.items("nodegroups")}
        nodes = {each["metadata"]["name"]: each for each in self.items("nodes", "-l", OF_GROUP)}
        wanted = {f"{name}-{n}": group for name, group in groups.items() for n in range(group["spec"]["nodes"])}
        for name in wanted.keys() - nodes.keys():
            self.apply(node(name, wanted[name]))
        for name in nodes.keys() - wanted.keys():
            self.lab.kubectl("dc1", "delete", "node", name, "--wait=false")
        for name, group in groups.items():
            if not group.get("status") and all(f"{name}-{n}" in nodes for n in range(group["spec"]["nodes"])):
                status = {"status": {"conditions": [{"type": "Filled", "status": "True", "reason": "AllNodes"}]}}
                patch = ("patch", "nodegroup", name, "--subresource=status", "--type=merge", "-p", json.dumps(status))
                self.lab.kubectl("dc1", *patch)

    def items(self, *what: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = json.loads(self.lab.kubectl("dc1", "get", *what, "-o", "json"))["items"]
        return items

    def apply(self, manifest: dict[str, Any]) -> None:
        file = self.folder / f"{manifest['metadata']['name']}.json"
        file.write_text(json.dumps(manifest))
        self.lab.kubectl("dc1", "create", "-f", str(file))


def node(name: str, group: dict[str, Any]) -> dict[str, Any]:
    labels = {
        **group["spec"]["labels"],
        "node.kubernetes.io/instance-type": group["spec"]["machine"],
        "topology.kubernetes.io/zone": "north-1",
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/os": "linux",
        "kubernetes.io/hostname": name,
        OF_GROUP: group["metadata"]["name"],
    }
    has = {**CAPACITY, **DEVICES}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels, "annotations": {"kwok.x-k8s.io/node": "fake"}},
        "spec": {"taints": [{"key": "acme.example/gpu", "value": "true", "effect": "NoSchedule"}]},
        "status": {"capacity": has, "allocatable": has},
    }


@pytest.fixture
def mesh(lab: RunningLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningLab]:
    """A folder with the mesh, where meshctl is installed with the example platform beside it."""
    site = install(tmp_path / "site")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(site), os.environ.get("PYTHONPATH", "")))))
    here = lab.at(tmp_path)
    (tmp_path / "mesh.yaml").write_text(MESH)
    (tmp_path / "environments.yaml").write_text(ENVIRONMENTS)
    (tmp_path / "nodegroups.yaml").write_text(DEFINITION)
    here.kubectl("dc1", "apply", "-f", str(tmp_path / "nodegroups.yaml"))
    (tmp_path / "nodes").mkdir()
    groups = NodeGroups(here, tmp_path / "nodes")
    wait_until(lambda: "nodegroups" in here.kubectl("dc1", "api-resources", "--api-group=compute.acme.example"))
    groups.start()
    try:
        yield here
    finally:
        here.meshctl("migrations", "finish", "--yes", check=False)
        for environment in ("cw", "acme"):
            here.meshctl("destroy", environment, "--yes", "--allow-data-loss", "--confirm", environment, check=False)
        groups.ended.set()
        groups.join(60)


def bucket(mesh: RunningLab, environment: str, profile: str) -> str:
    names = [each["Name"] for each in mesh.boto3("s3", profile).list_buckets()["Buckets"]]
    return next(str(name) for name in names if name.startswith(f"moved-{environment}-weights"))


def put(mesh: RunningLab, environment: str, profile: str, data: dict[str, bytes]) -> None:
    for key, body in data.items():
        mesh.boto3("s3", profile).put_object(Bucket=bucket(mesh, environment, profile), Key=key, Body=body)


def content(mesh: RunningLab, environment: str, profile: str) -> dict[str, bytes]:
    s3, name = mesh.boto3("s3", profile), bucket(mesh, environment, profile)
    keys = [each["Key"] for each in s3.list_objects_v2(Bucket=name).get("Contents", ())]
    return {key: s3.get_object(Bucket=name, Key=key)["Body"].read() for key in keys}


def pods(mesh: RunningLab, context: str) -> list[dict[str, Any]]:
    pods: list[dict[str, Any]] = json.loads(mesh.kubectl(context, "get", "pods", "-n", "moved", "-o", "json"))["items"]
    return pods


def serves(mesh: RunningLab) -> str:
    for environment in ("cw", "acme"):
        for endpoint in mesh.json("status", environment)["environments"][environment].get("endpoints") or ():
            if endpoint["points_at"]:
                return str(endpoint["points_at"])
    return ""


def assert_up_on_acme(mesh: RunningLab) -> None:
    running = pods(mesh, "dc1")
    assert len(running) == 2
    for pod in running:
        assert pod["spec"]["nodeName"].startswith("moved-serve-")
        assert pod["spec"]["containers"][0]["resources"]["limits"]["acme.example/hca"] == "8"
    service = yaml.safe_load(mesh.kubectl("dc1", "get", "service", "chat-public", "-n", "moved", "-o", "yaml"))
    assert service["metadata"]["annotations"]["acme.example/load-balancer"] == "public"
    after = mesh.meshctl("plan", "acme", "--detailed-exitcode", check=False)
    assert after.returncode == 0, after.stdout + after.stderr


def assert_gone_from_acme(mesh: RunningLab) -> None:
    assert json.loads(mesh.kubectl("dc1", "get", "nodegroups", "-o", "json"))["items"] == []
    wait_until(lambda: not mesh.kubectl("dc1", "get", "nodes", "-l", OF_GROUP, "-o", "name"))


def test_planned_and_up_there(mesh: RunningLab) -> None:
    planned = mesh.json("plan", "acme")
    assert planned["cost"]["hourly_usd_after"] == pytest.approx(40.01, abs=0.01)
    created = {change["subject"] for change in planned["changes"] if change["action"] == "create"}
    assert {"pool/serve", "storage/weights", "workload/chat"} <= created
    mesh.meshctl("up", "acme", "--yes", "--object-storage-only")
    put(mesh, "acme", "dc1", {"llama/1.bin": b"1" * 99_000})
    mesh.meshctl("up", "acme", "--yes")
    assert serves(mesh) == "acme"
    assert_up_on_acme(mesh)
    mesh.meshctl("destroy", "acme", "--yes", "--allow-data-loss", "--confirm", "acme")
    assert_gone_from_acme(mesh)


def test_moved_there_and_back(mesh: RunningLab) -> None:
    mesh.meshctl("up", "cw", "--yes", "--object-storage-only")
    data = {"llama/1.bin": b"1" * 99_000, "llama/2.bin": b"2" * 99_000}
    put(mesh, "cw", "coreweave", data)
    mesh.meshctl("up", "cw", "--yes")

    mesh.meshctl("migrate", "cw", "acme", "--yes", "--observe", "2")
    assert serves(mesh) == "acme"
    assert content(mesh, "acme", "dc1") == data
    assert_up_on_acme(mesh)
    mesh.meshctl("migrations", "finish", "--yes")

    new = {"llama/3.bin": b"3" * 99_000}
    put(mesh, "acme", "dc1", new)
    mesh.meshctl("migrate", "acme", "cw", "--yes", "--observe", "2")
    assert serves(mesh) == "cw"
    assert content(mesh, "cw", "coreweave") == {**data, **new}
    mesh.meshctl("migrations", "finish", "--yes")
    assert_gone_from_acme(mesh)
