"""A pool lends an idle node to a burst job, and gets it back, where KAI Scheduler counts: the lab plays its rules, and
a real API server checks its queues."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from meshctl.lab.state import Lab
from tests.faults.moved_mesh import ENVIRONMENTS
from tests.faults.test_lending import (
    MESH,
    MESH_WITHOUT_BURST,
    NAMESPACE,
    loans,
    not_ended,
    pods,
    pool_of,
    ready,
    saved,
    scale,
    uids,
    write_mesh,
)
from tests.lab_fixture import RunningLab, command_line, raise_quotas
from tests.preloaded import CommandLine
from tests.waiting import wait_until

pytestmark = [pytest.mark.lab, pytest.mark.exhaustive]

# nothing suspends its Job: a pod that ended with 0 would have done its work
BURST = MESH.replace("  sweep:\n", '  sweep:\n    env: {TRAINER_STOP_CODE: "143"}\n')
NOT_LENDING = MESH_WITHOUT_BURST.replace(", lend: {upTo: 1}", "")
WITH_KAI = ENVIRONMENTS.replace("provider: onprem", "provider: onprem\n    lending: {by: kai}", 1)


@pytest.fixture(scope="module")
def lab_with_kai(tmp_path_factory: pytest.TempPathFactory, command_lines: CommandLine) -> Iterator[RunningLab]:
    given, folder = os.environ.get("MESHCTL_LAB_ROOT"), tmp_path_factory.mktemp("mesh")
    if given:  # as for `lab`: one that is up with KAI Scheduler, and stays up
        yield RunningLab(Lab(Path(given).absolute()), folder, command_lines)
        return
    root = tmp_path_factory.mktemp("lab") / "root"
    command_line(root, "up", "--kai", "dc1")
    raise_quotas(root)
    try:
        yield RunningLab(Lab(root), folder, command_lines)
    finally:
        command_line(root, "down")


def queues(lab: RunningLab) -> list[str]:
    listed = lab.kubectl("dc1", "get", "queues.scheduling.run.ai", "-o", "name").split()
    return sorted(name.partition("/")[2] for name in listed)


def schedulers(lab: RunningLab, workload: str) -> set[str]:
    return {pod["spec"]["schedulerName"] for pod in pods(lab, workload)}


def test_a_burst_job_borrows_a_node_saves_and_gives_it_back(lab_with_kai: RunningLab) -> None:
    lab = lab_with_kai
    (lab.folder / "environments.yaml").write_text(WITH_KAI)
    # the trainers' job is up before anything is lent, with the scheduler of the cluster, and stays so
    write_mesh(lab, NOT_LENDING)
    lab.meshctl("up", "dc1", "--yes")
    wait_until(lambda: pool_of(lab, "pretrain") == "train")
    before = uids(lab, "pretrain")

    lab.kubectl("dc1", "create", "-f", queue_of_somebody_else(lab, "lent.serve"))
    write_mesh(lab, BURST)
    refused = lab.meshctl("plan", "dc1", check=False)
    assert refused.returncode != 0
    assert "a queue of KAI Scheduler called lent.serve" in refused.stdout + refused.stderr
    lab.kubectl("dc1", "delete", "queues.scheduling.run.ai", "lent.serve")
    lab.kubectl("dc1", "create", "-f", queue_of_somebody_else(lab, "default-queue"))

    lab.meshctl("up", "dc1", "--yes")
    wait_until(lambda: pool_of(lab, "sweep") == "serve")
    assert uids(lab, "pretrain") == before
    assert schedulers(lab, "pretrain") == {"default-scheduler"}
    assert schedulers(lab, "chat") == schedulers(lab, "sweep") == {"kai-scheduler"}
    assert queues(lab) == ["default-queue", "lent", "lent.serve", "lent.serve.lent", "lent.train", "lent.train.lent"]
    assert loans(lab) == {"sweep": 8}
    assert lab.json("plan", "dc1")["changes"] == []
    (first,) = uids(lab, "chat")

    scale(lab, 2)
    wait_until(lambda: ready(lab, "chat") == 2)
    assert first in uids(lab, "chat")
    assert loans(lab) == {}
    steps = saved(lab)  # it had its grace
    assert steps > 0
    wait_until(lambda: not_ended(lab, "sweep") == 1)  # the Job has made another pod, which waits
    (waiting,) = [each for each in pods(lab, "sweep") if each["status"]["phase"] == "Pending"]
    wait_until(lambda: "queue lent.serve.lent" in why_it_waits(lab, waiting["metadata"]["name"]))

    scale(lab, 1)
    wait_until(lambda: pool_of(lab, "sweep") == "serve")
    wait_until(lambda: saved(lab) > steps)  # it goes on from where it was stopped
    assert lab.json("plan", "dc1")["changes"] == []
    lab.meshctl("destroy", "dc1", "--allow-data-loss", "--confirm", "dc1")
    assert queues(lab) == ["default-queue"], "what is somebody else's stays"


def why_it_waits(lab: RunningLab, pod: str) -> str:
    status = json.loads(lab.kubectl("dc1", *NAMESPACE, "get", "pod", pod, "-o", "json"))["status"]
    conditions = [each for each in status.get("conditions") or () if each["type"] == "PodScheduled"]
    return str(conditions[0].get("message", "")) if conditions else ""


def queue_of_somebody_else(lab: RunningLab, name: str) -> str:
    file = lab.folder / f"{name}.yaml"
    file.write_text(f"{{apiVersion: scheduling.run.ai/v2, kind: Queue, metadata: {{name: {name}}}, spec: {{}}}}\n")
    return str(file)
