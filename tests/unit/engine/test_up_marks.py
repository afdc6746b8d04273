"""Which objects a run says are up: only groups that have pods now, and will have some, roll out one after another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import stacks.existing
from meshctl import render
from meshctl.deploy.jobs.finished_jobs import UnchangedJobs
from meshctl.deploy.session import Session
from meshctl.model.deployment import Deployment
from meshctl.model.stack_state import STACK_TYPE
from tests.unit import states
from tests.unit.data_world import ENVIRONMENTS
from tests.unit.deployments import deployment

SET = "kubernetes:apps/v1:StatefulSet"


def grouped(*, paused: bool) -> Deployment:
    made = deployment("dc1")
    fields = {"nodes_per_replica": 2, "replicas": 2, "paused": paused, "mounts": ()}
    chat = made.workload("chat").model_copy(update=fields)
    return made.model_copy(update={"workloads": (chat,), "object_stores": ()})


def recorded(given: Deployment) -> list[dict[str, Any]]:
    """The groups' sets as a state has them."""
    return [
        {"urn": f"urn:pulumi:dc1::llm-prod::{SET}::{item.name}", "type": SET, "inputs": item.manifest}
        for item in render.platform_objects(given)
        if ":group-" in item.name
    ]


@pytest.mark.parametrize(("before", "now", "marks"), [(False, False, 4), (True, False, 0), (False, True, 0)])
def test_a_start_and_a_pause_are_no_roll_out(
    before: bool, now: bool, marks: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs: list[Any] = []
    late: list[dict[str, Any]] = []
    monkeypatch.setattr(Session, "stack_run", lambda _self, _stack, program, **_: programs.append(program))
    monkeypatch.setattr(stacks.existing, "declare", lambda _made, values, *_, **__: late.append(values))
    given = grouped(paused=before)
    outputs = {"deployment": given.model_dump(mode="json")}
    state = states.state({"urn": "s", "type": STACK_TYPE, "outputs": outputs}, *recorded(given))
    session = Session(tmp_path, "llm-prod", ENVIRONMENTS)
    wanted = grouped(paused=now)
    session.environment_run(wanted, "uid", lambda: state, dict, UnchangedJobs, placed=lambda: wanted)
    programs[0]()
    assert len([name for name in late[0] if ":group-" in name and name.startswith("up ")]) == marks
