"""Gangs on the lab's on-prem cluster: two that compete for nodes never have a part of them each."""

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
name: gangs
pools:
  train: {role: training, nodes: 4, accelerator: {model: H100, count: 8}}
workloads:
  one: {kind: training, pool: train, nodes: 2, image: "acme/train:1", resources: {accelerators: 8}}
  two: {kind: training, pool: train, nodes: 2, image: "acme/train:1", resources: {accelerators: 8}}
"""
pytestmark = [pytest.mark.lab, pytest.mark.exhaustive]


@pytest.fixture
def mesh(lab: RunningLab, tmp_path: Path) -> Iterator[RunningLab]:
    shutil.copy(EXAMPLE / "environments.yaml", tmp_path)
    (tmp_path / "mesh.yaml").write_text(MESH)
    here = lab.at(tmp_path)
    here.meshctl("up", "dc1", "--yes")
    yield here
    here.meshctl("destroy", "dc1", "--yes")


def pods(here: RunningLab) -> list[Any]:
    """Those of the gangs that are not on their way out."""
    listed = json.loads(here.kubectl("dc1", "get", "pods", "-n", "gangs", "-o", "json"))["items"]
    return [
        pod
        for pod in listed
        if pod["metadata"]["labels"]["app.kubernetes.io/name"] in ("one", "two")
        and "deletionTimestamp" not in pod["metadata"]
        and pod["status"].get("phase") in ("Pending", "Running")
    ]


def on_nodes(here: RunningLab) -> dict[str, int]:
    counts = {"one": 0, "two": 0}
    for pod in pods(here):
        counts[pod["metadata"]["labels"]["app.kubernetes.io/name"]] += "nodeName" in pod["spec"]
    return counts


def status(here: RunningLab) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in here.json("status", "dc1")["environments"]["dc1"]["workloads"]}


def test_of_two_gangs_that_compete_one_runs_whole_and_then_the_other(mesh: RunningLab) -> None:
    wait_until(lambda: on_nodes(mesh) == {"one": 2, "two": 2})
    assert "no changes" in mesh.meshctl("plan", "dc1").stdout
    lost = pods(mesh)[0]["spec"]["nodeName"]
    mesh.kubectl("dc1", "cordon", lost)
    try:
        mesh.kubectl("dc1", "delete", "pods", "-n", "gangs", "-l", "app.kubernetes.io/name in (one,two)")
        seen: list[dict[str, int]] = []

        def one_runs_and_one_waits() -> bool:
            counts = on_nodes(mesh)
            seen.append(counts)
            return sorted(counts.values()) == [0, 2] and len(pods(mesh)) == 4

        wait_until(one_runs_and_one_waits)
        assert {"one": 1, "two": 1} not in seen, "each has a part of its nodes"
        waiting, running = sorted(on_nodes(mesh), key=on_nodes(mesh).__getitem__)
        wait_until(lambda: "waits for room" in status(mesh)[waiting]["reason"])
        said = status(mesh)[waiting]
        assert said["job"] == "waiting"
        assert "waits for room for 1 more of its pods: pool train has room for 1 of 2 now" in said["reason"]
        assert f"{running} holds 2 nodes" in said["reason"]
        assert f"{lost} is cordoned" in said["reason"]
        assert on_nodes(mesh)[waiting] == 0, "it holds no part of its nodes"
    finally:
        mesh.kubectl("dc1", "uncordon", lost)
    wait_until(lambda: on_nodes(mesh) == {"one": 2, "two": 2})
