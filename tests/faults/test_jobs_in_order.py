"""Jobs that come after others, on the lab's on-prem cluster: the release in the cluster starts them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab_fixture import RunningLab
from tests.waiting import wait_until

EXAMPLE = Path(__file__).parents[2] / "examples" / "llm-prod"
MESH = """\
apiVersion: meshctl/v1
kind: Mesh
name: order
labels: {team: one}
pools:
  web: {role: general, nodes: 2, cpu: {cores: 4}}
workloads:
  prepdata:
    kind: batch
    pool: web
    image: ghcr.io/acme/train:1.4
    command: [sh, -c, "until [ -e /gate/go ]; do sleep 0.2; done"]
    mounts: {gate: {path: /gate}}
  pretrain:
    kind: training
    pool: web
    nodes: 2
    after: [prepdata]
    image: ghcr.io/acme/train:1.4
storage:
  gate: {kind: filesystem, size: 1GiB}
"""
pytestmark = pytest.mark.lab


@pytest.fixture
def mesh(lab: RunningLab, tmp_path: Path) -> Iterator[RunningLab]:
    shutil.copy(EXAMPLE / "environments.yaml", tmp_path)
    (tmp_path / "mesh.yaml").write_text(MESH)
    here = lab.at(tmp_path)
    yield here
    here.meshctl("destroy", "dc1", "--yes", "--allow-data-loss", "--confirm", "dc1")


def job(here: RunningLab, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(here.kubectl("dc1", "get", "job", name, "-n", "order", "-o", "json"))
    return found


def is_running(here: RunningLab) -> bool:
    return bool(job(here, "pretrain").get("status", {}).get("ready") == 2)


def workload(here: RunningLab, name: str) -> dict[str, Any]:
    (environment,) = here.json("status", "dc1")["environments"].values()
    (found,) = [each for each in environment["workloads"] if each["name"] == name]
    return {**found, "state": environment["state"]}


@pytest.mark.exhaustive
def test_a_job_holds_no_node_until_the_one_before_it_has_ended_well(mesh: RunningLab) -> None:
    done = mesh.meshctl("up", "dc1", "--yes")
    assert "pretrain: waits for prepdata, which has not ended yet" in done.stdout
    waiting = workload(mesh, "pretrain")
    assert (waiting["job"], waiting["ready"], waiting["state"]) == ("waiting", 0, "up")
    assert waiting["reason"] == "waits for prepdata, which has not ended yet"
    assert job(mesh, "pretrain")["spec"]["suspend"] is True
    assert "no changes" in mesh.meshctl("plan", "dc1").stdout

    volume = json.loads(mesh.kubectl("dc1", "get", "pvc", "gate", "-n", "order", "-o", "json"))["spec"]["volumeName"]
    (mesh.lab.root / "volumes" / volume / "go").touch()
    wait_until(lambda: is_running(mesh))
    released = job(mesh, "pretrain")["metadata"]["uid"]

    plan = mesh.meshctl("plan", "dc1").stdout
    assert "no changes" in plan
    text = (mesh.folder / "mesh.yaml").read_text()
    (mesh.folder / "mesh.yaml").write_text(text.replace("team: one", "team: two"))
    changes = [line for line in mesh.meshctl("plan", "dc1").stdout.splitlines() if "workload/pretrain " in line]
    assert len(changes) == 1
    assert "label team one -> two" in changes[0]
    assert "suspended" not in changes[0]
    assert "replace" not in changes[0]
    mesh.meshctl("up", "dc1", "--yes")
    assert (job(mesh, "pretrain")["metadata"]["uid"], is_running(mesh)) == (released, True)

    mesh.meshctl("restart", "pretrain", "--yes")
    assert job(mesh, "pretrain")["metadata"]["uid"] != released
    wait_until(lambda: is_running(mesh))
    assert "no changes" in mesh.meshctl("plan", "dc1").stdout
