"""`plan` and `up` keep the fabric that is up on given nodes, and say so. What is kept: test_given_fabrics.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import stacks.existing
from meshctl.deploy.jobs.finished_jobs import UnchangedJobs
from meshctl.deploy.session import Session
from meshctl.model.deployment import Deployment, Fabric
from meshctl.model.stack_state import STACK_TYPE
from tests.unit import states
from tests.unit.data_world import ENVIRONMENTS, InMemory, World, patched
from tests.unit.deployments import deployment

NOTE = "pool train: pods keep 1 of the 8 nvidia.com/hostdev of a node"


def with_devices(count: int) -> Deployment:
    made = deployment("dc1")
    fabric = Fabric(
        name="f",
        kind="infiniband",
        bandwidth_gbps=0,
        placement="any",
        resource="nvidia.com/hostdev",
        resource_count=count,
    )
    pools = (made.pools[0].model_copy(update={"fabric": fabric}), *made.pools[1:])
    return made.model_copy(update={"pools": pools, "object_stores": (), "workloads": ()})


def devices(declared: Deployment) -> int:
    fabric = declared.pools[0].fabric
    assert fabric is not None
    return fabric.resource_count


def test_plan_and_up_say_what_they_keep(tmp_path: Path) -> None:
    world = World().begin(with_devices(1))
    session = InMemory(tmp_path, "llm-prod", ENVIRONMENTS, refresh=False, world=world)
    with patched(world):
        assert any(NOTE in note for note in session.plan(with_devices(8)).notes)
        assert any(NOTE in note for note in session.up(with_devices(8)).plan.notes)
        assert not any("hostdev" in note for note in session.plan(with_devices(1)).notes)


@pytest.mark.parametrize("before", [1, 8])
def test_what_is_declared_is_what_is_up(before: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program of a run, as the engine calls it."""
    programs: list[Any] = []
    declared: list[Deployment] = []
    monkeypatch.setattr(Session, "stack_run", lambda _self, _stack, program, **_: programs.append(program))
    monkeypatch.setattr(stacks.existing, "declare", lambda made, *_, **__: declared.append(made))
    outputs = {"deployment": with_devices(before).model_dump(mode="json")}
    state = states.state({"urn": "s", "type": STACK_TYPE, "outputs": outputs})
    session = Session(tmp_path, "llm-prod", ENVIRONMENTS)
    wanted = with_devices(8)
    session.environment_run(wanted, "uid", lambda: state, dict, UnchangedJobs, placed=lambda: wanted)
    programs[0]()
    assert devices(declared[0]) == before
