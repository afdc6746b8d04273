"""Nodes are handed over whether or not a pod of the other pool gets ready there in time."""

from __future__ import annotations

import pytest

from meshctl.errors import NotReadyError, UnreachableError
from meshctl.model.deployment import Health
from meshctl.shift.planning.plan import Request
from meshctl.shift.shifts import Shifts
from meshctl.shift.views import end_document
from tests.unit.shift import world as worlds
from tests.unit.shift.world import World, declared, world_of

ONE = Request("train", "serve", 1)


def waiting(monkeypatch: pytest.MonkeyPatch, startup_s: int = 600) -> World:
    made = declared(gang=3)
    health = Health(port="http", path="/health", startup_s=startup_s)
    chat = made.workload("chat").model_copy(update={"health": health})
    made = made.model_copy(update={"workloads": (chat, made.workload("pretrain"))})
    return world_of(monkeypatch, deployment=made, replicas={"chat": 3})


def test_a_model_may_take_as_long_as_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    world = waiting(monkeypatch, startup_s=7200)
    monkeypatch.setattr(worlds, "STARTS_IN_S", 7000)
    shifts = world.shifts()
    history = shifts.start(shifts.plan(ONE))
    assert (history.state, history.late) == ("in-force", "")
    assert world.least_ready["chat"] == 2


def test_a_pod_that_gets_never_ready_ends_no_shift(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a crash loop: the nodes are handed over, and `up` is to be able to mend it."""
    world = waiting(monkeypatch)
    monkeypatch.setattr(worlds, "STARTS_IN_S", 10**9)
    shifts = world.shifts()
    history = shifts.start(shifts.plan(ONE))
    assert history.state == "in-force"
    assert history.late == "no pod of pool serve is ready on them after 2400 s: chat-2 starts"
    assert end_document(history)["late"] == history.late
    assert any("train-3 is handed over, and no pod" in text for text in world.messages)
    assert world.shifts().under_way() is None


def test_a_pod_that_waits_for_something_else_than_the_nodes_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    world = waiting(monkeypatch)
    (pod,) = [pod for pod in world.of("chat") if not pod["spec"].get("nodeName")]
    pod["spec"]["nodeSelector"]["disk"] = "fast"
    why = "0/6 nodes are available: 6 node(s) didn't match Pod's node affinity/selector"
    pod["status"]["conditions"] = [{"type": "PodScheduled", "status": "False", "message": why}]
    shifts = world.shifts()
    began = world.now
    history = shifts.start(shifts.plan(ONE))
    assert history.state == "in-force"
    assert history.late == f"chat-2 can't run on them: {why}"
    assert world.now - began < 300


def test_a_plan_of_an_earlier_version_keeps_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    world = waiting(monkeypatch)
    monkeypatch.setattr(worlds, "STARTS_IN_S", 10**9)
    shifts = world.shifts()
    plan = shifts.plan(ONE).model_copy(update={"arrive_limit_s": 0})
    assert "after 1800 s" in shifts.start(plan).late


def test_a_cluster_that_does_not_answer_any_more_stops_the_shift(monkeypatch: pytest.MonkeyPatch) -> None:
    world = waiting(monkeypatch)
    monkeypatch.setattr(worlds, "STARTS_IN_S", 10**9)
    shifts = world.shifts()
    plan = shifts.plan(ONE)
    listed = world.list_objects

    def silent(*arguments: object, **options: object) -> object:
        if world.events and "uncordon" in world.events[-1]:
            raise UnreachableError("no answer", why="timed out")
        return listed(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(world, "list_objects", silent)
    with pytest.raises(NotReadyError, match="dc1 does not answer") as caught:
        shifts.start(plan)
    assert "--resume" in caught.value.hint
    monkeypatch.setattr(world, "list_objects", listed)
    assert _state(world.shifts()) == "under-way"


def _state(shifts: Shifts) -> str:
    (status,) = shifts.open()
    return status.history.state
