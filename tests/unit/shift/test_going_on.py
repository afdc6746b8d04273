"""What an undo and a resume are refused for, how long they may take, and what they wait for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from meshctl.errors import LockedError, ShiftError
from meshctl.model.deployment import ReservedCapacity
from meshctl.operate.status import EnvironmentStatus
from meshctl.shift.in_force import of_project
from meshctl.shift.planning.plan import Request
from meshctl.shift.views import plan_document, plan_text
from tests.unit.shift.test_in_force import project
from tests.unit.shift.test_shift_command import run
from tests.unit.shift.world import Killed, World, declared, world_of

ONE = Request("train", "serve", 1)


def in_force(monkeypatch: pytest.MonkeyPatch) -> World:
    world = world_of(monkeypatch, deployment=declared(gang=3), replicas={"chat": 3})
    shifts = world.shifts()
    shifts.start(shifts.plan(ONE))
    world.sleep(10)
    world.events.clear()
    return world


def rolled(name: str, seen: int = 2, updated: int = 1) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "demo", "generation": 2, "labels": {"app.kubernetes.io/name": name}}
    return {
        "metadata": metadata,
        "spec": {},
        "status": {"observedGeneration": seen, "replicas": 2, "updatedReplicas": updated},
    }


def test_an_undo_is_refused_while_something_else_changes_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would evict pods and start jobs beside the engine."""
    world = in_force(monkeypatch)
    world.running_change = "an `up` by me"
    with pytest.raises(LockedError, match="an `up` by me"):
        world.shifts().undo()
    world.running_change = ""
    world.servers = [rolled("chat")]
    with pytest.raises(LockedError, match="chat is being rolled out"):
        world.shifts().undo()
    hindrance = world.shifts().hindrance()
    assert hindrance is not None
    assert "chat is being rolled out" in hindrance.what
    assert world.events == []
    assert [status.history.state for status in world.shifts().open()] == ["in-force"]


def test_a_roll_out_that_may_wait_for_the_nodes_does_not_hold_the_undo(monkeypatch: pytest.MonkeyPatch) -> None:
    world = in_force(monkeypatch)
    world.servers = [rolled("notebooks")]  # of the pool that gets its nodes back
    assert world.shifts().undo().state == "undone"


@pytest.mark.parametrize("undo", [False, True])
def test_what_was_killed_does_not_go_on_beside_another_change(monkeypatch: pytest.MonkeyPatch, undo: bool) -> None:
    world = world_of(monkeypatch, deployment=declared(gang=3), replicas={"chat": 3})
    plan = world.shifts().plan(ONE)
    if undo:
        world.shifts().start(plan)
    world.kill_at = world.moments + 8
    with pytest.raises(Killed):
        world.shifts().undo() if undo else world.shifts().start(plan)
    world.survive()
    world.running_change = "an `up` by me"
    world.events.clear()
    with pytest.raises(LockedError, match="an `up` by me"):
        world.shifts().resume()
    assert world.events == []
    world.running_change = ""
    assert world.shifts().resume().state == ("undone" if undo else "in-force")


def test_a_node_that_lost_its_label_is_not_given_again_beside_another_change(monkeypatch: pytest.MonkeyPatch) -> None:
    world = in_force(monkeypatch)
    world.nodes["train-3"]["metadata"]["labels"].update(world.deployment.node_labels("train"))
    world.running_change = "an `up` by me"
    with pytest.raises(LockedError, match="an `up` by me"):
        world.shifts().resume()
    world.running_change = ""
    assert world.shifts().resume().state == "in-force"


@pytest.mark.parametrize("direction", ["resume", "undo"])
def test_what_stopped_gets_more_time(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], direction: str
) -> None:
    """Pods that take all of their grace, of a plan that gives them ten seconds."""
    world = world_of(monkeypatch, stubborn=frozenset({"pretrain", "chat"}), replicas={"chat": 3})
    shifts = world.shifts()
    short = Request("train", "serve", 1, timeout_s=10)
    if direction == "undo":
        shifts.start(shifts.plan(short).model_copy(update={"end_limit_s": 300}))
        world.sleep(10)
        with pytest.raises(ShiftError, match="not empty after 10 s"):
            world.shifts().undo()
    else:
        with pytest.raises(ShiftError, match="not empty after 10 s"):
            shifts.start(shifts.plan(short))
    with pytest.raises(ShiftError, match="not empty after 20 s"):
        run(world, monkeypatch, **{direction: True, "timeout": "20s"})
    run(world, monkeypatch, **{direction: True, "timeout": "10m"})
    assert json.loads(capsys.readouterr().out)["state"] == ("undone" if direction == "undo" else "in-force")


def test_a_scalers_change_is_no_roll_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The controller sees it a moment later, and replaces no pod."""
    world = world_of(monkeypatch)
    world.servers = [rolled("chat", seen=1, updated=2)]
    before = world.now
    sleep = world.sleep

    def seen(seconds: float) -> None:
        if world.now > before:
            world.servers = [rolled("chat", updated=2)]
        sleep(seconds)

    monkeypatch.setattr(world, "sleep", seen)
    assert world.shifts().plan(ONE).nodes == ("train-0",)
    world.servers = [rolled("chat", seen=1, updated=2)]  # and nobody looks at it
    monkeypatch.setattr(world, "sleep", sleep)
    with pytest.raises(LockedError, match="chat is being rolled out"):
        world.shifts().plan(ONE)


def test_the_plan_says_what_ends_the_nodes_before_the_undo(monkeypatch: pytest.MonkeyPatch) -> None:
    made = declared(gang=3)
    ends = ReservedCapacity(ends="2025-11-25T11:30:00Z")
    pools = [made.pool("train").model_copy(update={"market": "spot", "reserved": ends}), made.pool("serve")]
    world = world_of(monkeypatch, deployment=made.model_copy(update={"pools": tuple(pools)}))
    for after_s, words in ((2 * 86400, "ends at 2025-11-25 11:30 UTC before the shift is over, and"), (60, "UTC, and")):
        plan = world.shifts().plan(Request("train", "serve", 1, until_s=world.now + after_s))
        text = plan_text(plan)
        assert "they are spot nodes, which the platform may take back" in text
        assert words in text
        gains = plan_document(plan)["gains"]
        assert (gains["market"], gains["ends"]) == ("spot", "2025-11-25T11:30:00Z")


def test_status_has_the_parts_of_a_shift_beside_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of(monkeypatch, deployment=declared(least=2))
    shifts = world.shifts()
    shifts.start(shifts.plan(Request("train", "serve", 1, until_s=world.now + 3600)))
    shown = of_project(project(world), "dc1")
    status = EnvironmentStatus("dc1", "up", shifts=shown.notes, open_shifts=shown.open).document()
    assert status["shifts"] == shown.notes
    (shift,) = status["open_shifts"]
    assert shift == {
        "shift": "20251124-160004-dc1-train-serve",
        "from": "train",
        "to": "serve",
        "nodes": ["train-0"],
        "state": "in-force",
        "until": "2025-11-24T17:00:04Z",
        "waiting": [],
        "resized": [{"workload": "pretrain", "nodes_before": 4, "nodes": 3}],
    }
