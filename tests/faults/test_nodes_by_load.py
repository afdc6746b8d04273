"""Load up, load down, on CoreWeave: replicas follow, nodes follow the replicas within the pool's range, and no request
is lost; what the autoscaler has ordered is no change of the mesh, and keeps none from being made."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from meshctl.lab.load import BODY, Load
from tests.lab_fixture import RunningLab
from tests.waiting import wait_until

pytestmark = [pytest.mark.lab, pytest.mark.exhaustive]

EXAMPLE = Path(__file__).parents[2] / "examples" / "llm-prod"
URL = "http://ranged.example.com:8000/v1/completions"
# of 64 cores: a node has room for one pod, which takes more than half of it
MESH = """\
apiVersion: meshctl/v1
kind: Mesh
name: ranged
pools:
  web: {role: general, nodes: {min: 2, max: 4}, cpu: {cores: 64}}
workloads:
  chat:
    kind: inference
    pool: web
    replicas: {min: 2, max: 4}
    scale: {metric: concurrency, target: 2, cooldown: 12s}
    image: vllm/vllm-openai:v0.11.0
    args: [--model, acme/tiny]
    resources: {cpu: 40, memory: 1GiB}
    ports: {http: 8000}
    health: {path: /health, port: http}
    metrics: {port: http}
endpoints:
  chat: {host: ranged.example.com, workload: chat, port: http, access: public}
"""


@pytest.fixture
def mesh(lab: RunningLab, tmp_path: Path) -> Iterator[RunningLab]:
    shutil.copy(EXAMPLE / "environments.yaml", tmp_path)
    (tmp_path / "mesh.yaml").write_text(MESH)
    here = lab.at(tmp_path)
    yield here
    here.meshctl("destroy", "cw", "--yes")


def read(here: RunningLab, *what: str) -> Any:
    return json.loads(here.kubectl("cw", "get", *what, "-o", "json"))


def nodes_ordered(here: RunningLab) -> int:
    return int(read(here, "nodepool", "ranged-web")["spec"]["targetNodes"])


def nodes_there(here: RunningLab) -> int:
    return len(read(here, "nodes", "-l", "meshctl.dev/mesh=ranged")["items"])


def ready_replicas(here: RunningLab) -> tuple[int, int]:
    """The replicas that there should be, and those that are ready."""
    chat = read(here, "deployment", "chat", "-n", "ranged")
    return int(chat["spec"]["replicas"]), int(chat["status"].get("readyReplicas", 0))


def has_at_most(here: RunningLab, replicas: int) -> bool:
    return ready_replicas(here)[0] <= replicas


def load(here: RunningLab, *, rate: float, answer_s: float) -> Load:
    body = {**BODY, "lab_seconds": answer_s}
    return Load(URL, rate=rate, dns_server=here.env["MESHCTL_DNS_SERVER"], body=body).start()


def test_nodes_follow_the_replicas_that_follow_load_and_no_request_is_lost(mesh: RunningLab) -> None:
    mesh.meshctl("up", "cw", "--yes")
    assert (nodes_ordered(mesh), ready_replicas(mesh)) == (2, (2, 2))

    busy = load(mesh, rate=4, answer_s=4)
    try:
        wait_until(lambda: ready_replicas(mesh)[0] == 4)
        wait_until(lambda: nodes_ordered(mesh) == 4)
        wait_until(lambda: ready_replicas(mesh) == (4, 4))
        assert nodes_there(mesh) == 4, "one for each pod"
        as_it_grew(mesh)
    finally:
        result = busy.stop()
    assert result.failed == 0, result.errors

    calm = load(mesh, rate=1, answer_s=0.1)
    try:
        for replicas in (3, 2):  # by a quarter at a time, each after a cooldown
            wait_until(partial(has_at_most, mesh, replicas))
        wait_until(lambda: nodes_ordered(mesh) == 2)
        wait_until(lambda: nodes_there(mesh) == 2)
        wait_until(lambda: ready_replicas(mesh) == (2, 2))
    finally:
        result = calm.stop()
    assert result.failed == 0, result.errors
    assert mesh.json("plan", "cw")["changes"] == []


def as_it_grew(here: RunningLab) -> None:
    """What meshctl says of a pool that has grown, and does with it."""
    plan = here.json("plan", "cw")
    assert (plan["changes"], plan["outside"]) == ([], [])
    status = here.json("status", "cw")["environments"]["cw"]
    (pool,) = status["pools"]
    assert (status["state"], pool["ready"], pool["nodes"], pool["least"], pool["most"]) == ("up", 4, 4, 2, 4)
    assert here.json("up", "cw", "--yes")["changes"] == []
    assert nodes_ordered(here) == 4, "`up` leaves the number alone"

    (here.folder / "mesh.yaml").write_text(MESH.replace("max: 4}, cpu", "max: 5}, cpu"))
    (change,) = here.json("up", "cw", "--yes")["changes"]
    assert [(each["path"], each["old"], each["new"]) for each in change["fields"]] == [("nodes.max", 4, 5)]
    pool_now = read(here, "nodepool", "ranged-web")["spec"]
    assert (pool_now["targetNodes"], pool_now["maxNodes"]) == (4, 5)


def test_a_larger_least_starts_nodes(mesh: RunningLab) -> None:
    """The autoscaler would start none: it orders no number beyond the bounds."""
    mesh.meshctl("up", "cw", "--yes")
    (mesh.folder / "mesh.yaml").write_text(MESH.replace("min: 2, max: 4}, cpu", "min: 3, max: 4}, cpu"))
    changes = {each["subject"]: each for each in mesh.json("up", "cw", "--yes")["changes"]}
    fields = {each["path"]: (each["old"], each["new"]) for each in changes["pool/web"]["fields"]}
    assert fields == {"nodes": (2, 3), "nodes.min": (2, 3)}
    assert (nodes_ordered(mesh), nodes_there(mesh)) == (3, 3)
    assert mesh.json("plan", "cw")["changes"] == []
