"""A shift or an undo that a disruption budget would hold for ever is refused before anything is changed."""

from __future__ import annotations

import time

import pytest

from meshctl.cli import shift as command
from meshctl.cli.context import Context
from meshctl.errors import ShiftError
from meshctl.shift.gateway import Budget
from meshctl.shift.planning.plan import Request
from meshctl.shift.planning.room import shortages
from tests.unit.shift.test_in_force import project
from tests.unit.shift.world import World, declared, world_of

TWO = Request("train", "serve", 2)


def grown(monkeypatch: pytest.MonkeyPatch, *requests: Request) -> World:
    """A service of two replicas has grown by two on the nodes of shifts; one of them may be missing."""
    world = world_of(monkeypatch, deployment=declared(gang=2), budgets={"chat": 1}, replicas={"chat": 4})
    shifts = world.shifts()
    for request in requests or (TWO,):
        shifts.start(shifts.plan(request))
    world.sleep(10)
    assert world.placed("chat") == ["serve-0", "serve-1", "train-2", "train-3"]
    world.events.clear()
    return world


def test_an_undo_that_a_budget_would_hold_for_ever_is_refused_before_a_node_is_cordoned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first pod that is evicted stays Pending, and the budget lets no second one go."""
    world = grown(monkeypatch)
    with pytest.raises(ShiftError, match="train-2, train-3 would not become empty") as caught:
        world.shifts().undo()
    assert "2 of 4 replicas of chat have room there" in caught.value.why
    assert "scale chat to 2 first" in caught.value.hint
    assert world.events == []
    assert [status.history.state for status in world.shifts().open()] == ["in-force"]
    world.replicas["chat"] = 2
    world.sleep(5)
    world.least_ready.clear()
    assert world.shifts().undo().state == "undone"
    assert world.least_ready["chat"] == 1


def test_an_undo_goes_on_where_the_budget_lets_as_many_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    world = grown(monkeypatch)
    world.replicas["chat"] = 3
    world.sleep(5)
    assert world.shifts().undo().state == "undone"
    assert world.placed("chat") == ["serve-0", "serve-1"]


def test_an_undo_that_has_begun_says_so_when_it_is_given_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """As one of an earlier meshctl, which cordoned the nodes first, and ended when its time was over."""
    world = grown(monkeypatch)
    monkeypatch.setattr("meshctl.shift.shifts.Shifts._refuse_undo_without_room", lambda *_: None)
    with pytest.raises(ShiftError, match="the nodes are not empty"):
        world.shifts().undo()
    monkeypatch.undo()
    monkeypatch.setattr("meshctl.clients.kubernetes.cluster_access.ClusterAccess.client", lambda *_, **__: world)
    for go_on in (world.shifts().resume, world.shifts().undo):
        with pytest.raises(ShiftError, match="would not become empty"):
            go_on()
    world.replicas["chat"] = 3
    world.sleep(5)
    assert world.shifts().resume().state == "undone"


def test_a_shift_away_from_a_service_without_room_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each eviction alone is allowed, and both together never end."""
    world = world_of(monkeypatch, budgets={"chat": 1})
    with pytest.raises(ShiftError, match="serve-0, serve-1 would not become empty") as caught:
        world.shifts().plan(Request("serve", "train", 2))
    assert "0 of 2 replicas of chat have room there" in caught.value.why
    assert caught.value.hint.startswith("choose fewer nodes with --nodes, or scale chat to 0 first")
    assert world.events == []
    assert world.shifts().plan(Request("serve", "train", 1)).nodes == ("serve-0",)


def test_an_up_goes_on_where_a_shift_whose_time_is_over_can_not_go_back(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It may be the one that lowers the replicas; the next one gives the nodes back."""
    world = grown(monkeypatch, Request("train", "serve", 2, until_s=time.time() + 10**9))
    shifts = world.shifts()
    monkeypatch.setattr(command, "shifts_of", lambda *_, **__: shifts)
    world.now = time.time() + 2 * 10**9
    monkeypatch.setattr(time, "time", lambda: world.now)
    command.return_due_of(Context(), project(world), "dc1", break_lock=False)
    said = capsys.readouterr().err
    assert "can't go back yet: train-2, train-3 would not become empty" in said
    assert "scale chat to 2 first" in said
    assert len(world.shifts().open()) == 1
    world.replicas["chat"] = 2
    world.sleep(5)
    command.return_due_of(Context(), project(world), "dc1", break_lock=False)
    assert world.shifts().open() == []


def test_an_up_goes_on_where_the_second_of_two_shifts_can_not_go_back(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """There is room for the pods of one node, and the return of the first has taken it."""
    until = time.time() + 10**9
    world = grown(monkeypatch, Request("train", "serve", 1, until_s=until), Request("train", "serve", 1, until_s=until))
    shifts = world.shifts()
    monkeypatch.setattr(command, "shifts_of", lambda *_, **__: shifts)
    world.now = time.time() + 2 * 10**9
    monkeypatch.setattr(time, "time", lambda: world.now)
    command.return_due_of(Context(), project(world), "dc1", break_lock=False)
    said = capsys.readouterr().err
    assert said.count("the time of the shift from train to serve is over") == 1
    assert "the time of a shift is over, and its nodes can't go back yet" in said
    assert len(world.shifts().open()) == 1


@pytest.mark.parametrize(
    ("missing", "size", "spare", "is_short"), [(2, 1, 1, True), (1, 1, 1, False), (2, 2, 1, False)]
)
def test_a_group_goes_as_a_whole(missing: int, size: int, spare: int, is_short: bool) -> None:
    chat = declared().workload("chat").model_copy(update={"nodes_per_replica": size})
    made = declared().model_copy(update={"workloads": (chat,)})
    labels = {"app.kubernetes.io/name": "chat"}
    status = {"conditions": [{"type": "Ready", "status": "True"}]}
    pod = {"metadata": {"name": "chat-1", "labels": labels}, "status": status}
    short = list(shortages(made, {"chat": missing}, [pod], [Budget(labels, 4, 3)]))
    assert bool(short) is is_short
    assert list(shortages(made, {"chat": missing}, [pod], [Budget({"app": "other"}, 4, 4)])) == []
    assert list(shortages(made, {"chat": missing}, [{**pod, "status": {}}], [Budget(labels, 4, 4)])) == []
