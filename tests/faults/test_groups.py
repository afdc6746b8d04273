"""A model that needs two nodes, as two groups of two pods: it moves under load without a failed request, leaders alone
answer, and what is left of a group that lost a rank comes back as a whole while the other group answers."""

from __future__ import annotations

import json
import os
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from meshctl.lab.load import Load
from tests.lab_fixture import RunningLab
from tests.waiting import wait_until

pytestmark = [pytest.mark.lab, pytest.mark.exhaustive]

MESH = """\
apiVersion: meshctl/v1
kind: Mesh
name: gangs
pools:
  web: {role: general, nodes: 4, cpu: {cores: 4}}
workloads:
  llama:
    kind: inference
    pool: web
    replicas: 2
    nodes: 2
    image: ghcr.io/acme/gang-server:1.0
    resources: {cpu: 2}
    ports: {http: 8000}
    health: {port: http, path: /health}
endpoints:
  llama: {host: llama.example.com, workload: llama, port: http, access: public}
"""
ENVIRONMENTS = """\
apiVersion: meshctl/v1
kind: Environments
environments:
  aws-east: {provider: aws, region: us-east-1, zones: [us-east-1a, us-east-1b]}
  cw: {provider: coreweave, region: US-EAST-04A, kubernetes: {context: cw}, objectStorage: {profile: coreweave}}
dns: {provider: route53, zone: example.com, ttl: 2s}
"""
LEADERS = {"llama-0-0", "llama-1-0"}
GROUPS = "replicas: 2\n    nodes: 2"
# as many pods as nodes, which the simulator plays: each is ready at once, and gone at once
FULL = """\
apiVersion: meshctl/v1
kind: Mesh
name: gangs
pools:
  gpus: {{role: inference, nodes: 4, accelerator: {{model: H100, count: 8}}}}
workloads:
  llama:
    kind: inference
    pool: gpus
    {size}
    image: acme/llama:{tag}
    resources: {{accelerators: 8}}
    ports: {{http: 8000}}
endpoints:
  llama: {{host: llama.example.com, workload: llama, port: http, access: public}}
"""


@pytest.fixture
def gangs(lab: RunningLab, tmp_path: Path) -> Iterator[RunningLab]:
    here = lab.at(tmp_path)
    (tmp_path / "environments.yaml").write_text(ENVIRONMENTS)
    yield here
    here.meshctl("migrations", "finish", "--yes", timeout_s=400, check=False)  # while it is open, `destroy` is refused
    for environment in ("aws-east", "cw"):
        here.meshctl("destroy", environment, "--confirm", environment, timeout_s=400, check=False)


def status(here: RunningLab, environment: str) -> dict[str, Any]:
    found: dict[str, Any] = here.json("status", environment)["environments"][environment]
    return found


def groups(here: RunningLab, environment: str) -> tuple[int, int]:
    (workload,) = status(here, environment)["workloads"]
    return workload["groups_ready"], workload["ready"]


def listed(here: RunningLab) -> dict[str, dict[str, Any]]:
    """The pods of the workload at cw, by name."""
    chosen = ("-n", "gangs", "-l", "app.kubernetes.io/name=llama", "-o", "json")
    items = json.loads(here.kubectl("cw", "get", "pods", *chosen))["items"]
    return {pod["metadata"]["name"]: pod for pod in items}


def pods(here: RunningLab) -> dict[str, dict[str, Any]]:
    """The state of each pod's container."""
    return {name: pod["status"]["containerStatuses"][0] for name, pod in listed(here).items()}


def answering(address: str) -> str:
    """The pod that answers; "" where there was none."""
    try:
        with urllib.request.urlopen(f"http://{address}:8000/v1/models", timeout=5) as answer:
            return str(json.load(answer)["data"][0]["pod"])
    except (urllib.error.URLError, OSError):
        return ""


def test_groups_move_under_load_and_come_back_as_a_whole(gangs: RunningLab) -> None:
    (gangs.folder / "mesh.yaml").write_text(MESH)
    gangs.meshctl("up", "aws-east", "--yes", timeout_s=600)
    assert groups(gangs, "aws-east") == (2, 4)
    dns_server = gangs.env["MESHCTL_DNS_SERVER"]
    load = Load("http://llama.example.com:8000/v1/completions", rate=100, dns_server=dns_server).start()
    try:
        gangs.meshctl("migrate", "aws-east", "cw", "--yes", "--observe", "5", timeout_s=600)
    finally:
        result = load.stop()
    assert result.failed == 0, result.errors
    assert set(result.by_environment) == {"aws-east", "cw"}
    assert groups(gangs, "cw") == (2, 4)
    (endpoint,) = status(gangs, "cw")["endpoints"]
    address = endpoint["name_address"]
    assert {answering(address) for _ in range(60)} == LEADERS
    a_lost_rank_takes_its_group_and_no_other(gangs, address)


def a_lost_rank_takes_its_group_and_no_other(gangs: RunningLab, address: str) -> None:
    before = pods(gangs)
    container = before["llama-0-workers-1"]["containerID"]  # lab://PID-START
    os.kill(int(container.removeprefix("lab://").split("-")[0]), signal.SIGKILL)
    wait_until(lambda: pods(gangs)["llama-0-0"]["restartCount"] > before["llama-0-0"]["restartCount"])
    assert "llama-1-0" in {answering(address) for _ in range(20)}
    wait_until(lambda: groups(gangs, "cw") == (2, 4))
    after = pods(gangs)
    assert after["llama-0-workers-1"]["restartCount"] > before["llama-0-workers-1"]["restartCount"]
    for pod in ("llama-1-0", "llama-1-workers-1"):
        assert after[pod]["restartCount"] == before[pod]["restartCount"]
    wait_until(lambda: {answering(address) for _ in range(30)} == LEADERS)


def test_full_nodes_get_groups_which_are_rolled_one_after_the_other(gangs: RunningLab) -> None:
    mesh = gangs.folder / "mesh.yaml"
    mesh.write_text(FULL.format(size="replicas: 4", tag=1))
    gangs.meshctl("up", "cw", "--yes")
    mesh.write_text(FULL.format(size=GROUPS, tag=1))
    notes = gangs.json("plan", "cw")["notes"]
    assert any("its single pods end before its groups of 2 pods start" in note for note in notes)
    gangs.meshctl("up", "cw", "--yes")
    assert groups(gangs, "cw") == (2, 4)
    assert gangs.json("plan", "cw")["changes"] == []

    balancer = ("get", "service", "llama-public", "-n", "gangs", "-o", "jsonpath={.metadata.uid}")
    before = gangs.kubectl("cw", *balancer)
    mesh.write_text(FULL.format(size=GROUPS, tag=2))
    gangs.meshctl("up", "cw", "--yes")
    assert groups(gangs, "cw") == (2, 4)
    assert gangs.kubectl("cw", *balancer) == before
    started = {name: pod["metadata"]["creationTimestamp"] for name, pod in listed(gangs).items()}
    first = max(started["llama-0-0"], started["llama-0-workers-1"])
    second = min(started["llama-1-0"], started["llama-1-workers-1"])
    assert first < second  # a leader without `health` counts once it has run for ten seconds
    assert {pod["spec"]["containers"][0]["image"] for pod in listed(gangs).values()} == {"acme/llama:2"}

    gangs.meshctl("restart", "llama")
    again = {name: pod["metadata"]["creationTimestamp"] for name, pod in listed(gangs).items()}
    assert all(again[name] > started[name] for name in started)
    assert gangs.json("plan", "cw")["changes"] == []
