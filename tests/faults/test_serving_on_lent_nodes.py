"""What serves grows onto nodes that trainers lend, gives them back when these need them, and shrinks there first: with
the real Kueue, and users who lose no request."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from meshctl.lab.load import BODY, Load
from meshctl.model.deployment import POOL_LABEL
from meshctl.model.keys.lending import LENT_LABEL
from tests.faults.moved_mesh import ENVIRONMENTS
from tests.faults.test_lending import lab_with_kueue as lab_with_kueue  # a fixture
from tests.lab_fixture import RunningLab
from tests.waiting import wait_until

pytestmark = [pytest.mark.lab, pytest.mark.exhaustive]

NAMESPACE = ("--namespace", "grown")
URL = "http://grown.example.com:8000/v1/completions"
# `chat` has room for one replica on its own pool, and for one more on the node that the trainers lend
MESH = """\
apiVersion: meshctl/v1
kind: Mesh
name: grown
pools:
  serve: {role: inference, nodes: 1, accelerator: {model: H100, count: 8}}
  train: {role: training, nodes: 2, accelerator: {model: H100, count: 8}, lend: {upTo: 1}}
storage:
  own: {kind: object, size: 1TiB}
  tuned: {kind: object, size: 1TiB}
workloads:
  chat:
    kind: inference
    pool: serve
    replicas: {min: 1, max: 2}
    burst: true
    scale: {metric: concurrency, target: 2, cooldown: 12s}
    image: vllm/vllm-openai:v0.11.0
    args: [--model, acme/tiny]
    resources: {accelerators: 8}
    ports: {http: 8000}
    health: {path: /health, port: http}
    metrics: {port: http}
  pretrain:
    kind: training
    pool: train
    nodes: 1
    image: ghcr.io/acme/train:1.4
    command: [python, train.py]
    resources: {accelerators: 8}
    mounts: {own: {path: /ckpt}}
    checkpoint: {storage: own, signal: SIGTERM, grace: 60s}
  finetune:
    kind: training
    pool: train
    nodes: 1
    image: ghcr.io/acme/train:1.4
    command: [python, train.py]
    resources: {accelerators: 8}
    mounts: {tuned: {path: /ckpt}}
    checkpoint: {storage: tuned, signal: SIGTERM, grace: 60s}
endpoints:
  chat: {host: grown.example.com, workload: chat, port: http, access: public}
"""
WITH_AN_IDLE_NODE = MESH[: MESH.index("  finetune:")] + MESH[MESH.index("endpoints:") :]


@pytest.fixture
def mesh(lab_with_kueue: RunningLab) -> Iterator[RunningLab]:
    here = lab_with_kueue
    (here.folder / "environments.yaml").write_text(ENVIRONMENTS)
    bring_up(here, WITH_AN_IDLE_NODE)
    yield here
    here.meshctl("destroy", "dc1", "--allow-data-loss", "--confirm", "dc1")


def bring_up(here: RunningLab, text: str) -> None:
    (here.folder / "mesh.yaml").write_text(text)
    here.meshctl("up", "dc1", "--yes")


def read(here: RunningLab, *what: str) -> Any:
    return json.loads(here.kubectl("dc1", *NAMESPACE, "get", *what, "-o", "json"))


def replicas(here: RunningLab) -> tuple[int, int]:
    """How many there should be on the own pool, and on lent nodes."""
    own, lent = (read(here, "deployment", name)["spec"]["replicas"] for name in ("chat", "chat-lent"))
    return int(own), int(lent)


def pods(here: RunningLab, workload: str, *, is_lent: bool = False) -> list[Any]:
    """Those that are not ending."""
    with_label = LENT_LABEL if is_lent else f"!{LENT_LABEL}"
    listed = read(here, "pods", "-l", f"app.kubernetes.io/name={workload},{with_label}")["items"]
    return [each for each in listed if "deletionTimestamp" not in each["metadata"]]


def ready_on(here: RunningLab, workload: str, *, is_lent: bool = False) -> list[str]:
    """The pools of the nodes on which its ready pods are."""
    ready = [
        each
        for each in pods(here, workload, is_lent=is_lent)
        for condition in each["status"].get("conditions") or ()
        if (condition["type"], condition["status"]) == ("Ready", "True")
    ]
    nodes = [json.loads(here.kubectl("dc1", "get", "node", each["spec"]["nodeName"], "-o", "json")) for each in ready]
    return [str(node["metadata"]["labels"][POOL_LABEL]) for node in nodes]


def load(here: RunningLab, *, rate: float, answer_s: float) -> Load:
    body = {**BODY, "lab_seconds": answer_s}
    return Load(URL, rate=rate, dns_server=here.env["MESHCTL_DNS_SERVER"], body=body).start()


def lent_to(here: RunningLab) -> dict[str, int]:
    status = here.json("status", "dc1")["environments"]["dc1"]
    assert status["state"] == "up", status
    (loan,) = status["loans"]
    borrowers: dict[str, int] = loan["borrowers"]
    return borrowers


def test_serving_grows_onto_lent_nodes_gives_them_back_and_shrinks_there_first(mesh: RunningLab) -> None:
    (own,) = [each["metadata"]["uid"] for each in pods(mesh, "chat")]
    assert replicas(mesh) == (1, 0)
    busy = load(mesh, rate=2, answer_s=3)
    try:
        wait_until(lambda: ready_on(mesh, "chat", is_lent=True) == ["train"])
        assert replicas(mesh) == (1, 1)
        assert lent_to(mesh) == {"chat": 8}
        assert mesh.json("plan", "dc1")["changes"] == []

        bring_up(mesh, MESH)  # the trainers need the node
        wait_until(lambda: ready_on(mesh, "finetune") == ["train"])
        assert ready_on(mesh, "chat") == ["serve"]
        assert lent_to(mesh) == {}
        (waiting,) = pods(mesh, "chat", is_lent=True)
        assert {"name": "kueue.x-k8s.io/admission"} in waiting["spec"]["schedulingGates"]

        bring_up(mesh, WITH_AN_IDLE_NODE)
        wait_until(lambda: ready_on(mesh, "chat", is_lent=True) == ["train"])
    finally:
        result = busy.stop()
    assert result.failed == 0, result.errors

    calm = load(mesh, rate=1, answer_s=0.1)
    try:
        wait_until(partial(is_back, mesh))
    finally:
        result = calm.stop()
    assert result.failed == 0, result.errors
    assert [each["metadata"]["uid"] for each in pods(mesh, "chat")] == [own], "the own one was never touched"
    assert mesh.json("plan", "dc1")["changes"] == []


def is_back(here: RunningLab) -> bool:
    return replicas(here) == (1, 0) and not pods(here, "chat", is_lent=True)
