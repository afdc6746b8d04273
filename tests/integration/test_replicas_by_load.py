"""Replicas follow the load that their pods report, up and down, and no request is lost; `up` leaves them alone."""

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

EXAMPLE = Path(__file__).parents[2] / "examples" / "llm-prod"
MESH = """\
apiVersion: meshctl/v1
kind: Mesh
name: scaled
pools:
  web: {role: general, nodes: 1, cpu: {cores: 4}}
workloads:
  chat:
    kind: inference
    pool: web
    replicas: REPLICAS
    image: vllm/vllm-openai:v0.11.0
    args: [--model, acme/tiny]
    resources: {cpu: 250m, memory: 256MiB}
    ports: {http: 8000}
    health: {path: /health, port: http}
    metrics: {port: http}
endpoints:
  chat: {host: scaled.example.com, workload: chat, port: http, access: public}
"""
FIXED = MESH.replace("REPLICAS", "2")
SCALED = MESH.replace("REPLICAS", "{min: 2, max: 4}\n    scale: {metric: concurrency, target: 2, cooldown: 12s}")
SLEEPING = MESH.replace(
    "REPLICAS", "{min: 0, max: 2}\n    scale: {metric: queue-depth, target: 2, cooldown: 12s}"
).replace("workload: chat, port: http,", "routes: {/: chat/http},")
URL = "http://scaled.example.com:8000/v1/completions"
pytestmark = pytest.mark.lab


@pytest.fixture
def mesh(lab: RunningLab, tmp_path: Path) -> Iterator[RunningLab]:
    shutil.copy(EXAMPLE / "environments.yaml", tmp_path)
    (tmp_path / "mesh.yaml").write_text(FIXED)
    here = lab.at(tmp_path)
    yield here
    here.meshctl("destroy", "dc1", "--yes")


def chat(here: RunningLab) -> dict[str, Any]:
    text = here.kubectl("dc1", "get", "deployment", "chat", "-n", "scaled", "-o", "json")
    found: dict[str, Any] = json.loads(text)
    return found


def ready(here: RunningLab) -> tuple[int, int]:
    """The replicas that there should be, and those that are ready."""
    found = chat(here)
    return found["spec"]["replicas"], int(found["status"].get("readyReplicas", 0))


def wait_for(here: RunningLab, replicas: int) -> None:
    """Until there should be so many and all are ready. Each is waited for by itself: on a busy machine pods take long
    to start."""
    wait_until(lambda: chat(here)["spec"]["replicas"] == replicas)
    wait_until(lambda: ready(here) == (replicas, replicas))


def has_at_most(here: RunningLab, replicas: int) -> bool:
    return bool(chat(here)["spec"]["replicas"] <= replicas)


def pods_of(here: RunningLab) -> int:
    """Those that are ending among them."""
    chosen = ("-n", "scaled", "-l", "app.kubernetes.io/name=chat")
    return len(json.loads(here.kubectl("dc1", "get", "pods", *chosen, "-o", "json"))["items"])


def load(here: RunningLab, *, rate: float, answer_s: float, url: str = URL) -> Load:
    body = {**BODY, "lab_seconds": answer_s}
    return Load(url, rate=rate, dns_server=here.env["MESHCTL_DNS_SERVER"], body=body).start()


@pytest.mark.exhaustive
def test_replicas_follow_load_up_and_down_without_a_lost_request(mesh: RunningLab) -> None:
    mesh.meshctl("up", "dc1", "--yes")
    pods = chat(mesh)["spec"]["template"]
    (mesh.folder / "mesh.yaml").write_text(SCALED)
    changes = {change["subject"]: change for change in mesh.json("up", "dc1", "--yes")["changes"]}
    fields = {each["path"]: (each["old"], each["new"]) for each in changes["workload/chat"]["fields"]}
    assert fields["replicas"] == (2, "2 to 4")
    assert chat(mesh)["spec"]["template"] == pods, "what is up is not rolled"

    # 16 open requests where 8 are enough for four pods, and few of them a second: a machine that is busy with something
    # else, and gets only half of them going, has four pods all the same
    busy = load(mesh, rate=4, answer_s=4)
    try:
        wait_for(mesh, 4)
        assert mesh.json("up", "dc1", "--yes")["changes"] == []
        assert chat(mesh)["spec"]["replicas"] == 4, "`up` leaves the number alone"
    finally:
        result = busy.stop()
    assert result.failed == 0, result.errors

    calm = load(mesh, rate=1, answer_s=0.1)
    try:
        for replicas in (3, 2):  # by a quarter at a time, each after a cooldown
            wait_until(partial(has_at_most, mesh, replicas))
        wait_for(mesh, 2)
        wait_until(lambda: pods_of(mesh) == 2)
    finally:
        result = calm.stop()
    assert result.failed == 0, result.errors
    assert mesh.json("plan", "dc1")["changes"] == []


@pytest.mark.exhaustive
def test_what_nobody_uses_has_no_pod_and_the_next_request_waits_for_one(mesh: RunningLab) -> None:
    (mesh.folder / "mesh.yaml").write_text(SLEEPING)
    mesh.meshctl("up", "dc1", "--yes")
    wait_until(lambda: pods_of(mesh) == 0)
    changes = mesh.json("up", "dc1", "--yes")["changes"]
    assert [each["resources"] for each in changes] == [], "`up` lets it sleep"
    status = mesh.json("status", "dc1")["environments"]["dc1"]
    (chat_status,) = [each for each in status["workloads"] if each["name"] == "chat"]
    assert (status["state"], chat_status["ready"], chat_status["wanted"]) == ("up", 0, 0)
    # each request is longer than the time between two looks at its metrics, or shorter: none may be cut by an end
    visits = load(mesh, rate=2, answer_s=0.5, url=URL.replace(":8000", ""))
    try:
        wait_until(lambda: visits.environments.total() > 20)
        assert ready(mesh)[0] > 0
    finally:
        result = visits.stop()
    assert result.failed == 0, result.errors
    wait_until(lambda: pods_of(mesh) == 0)
