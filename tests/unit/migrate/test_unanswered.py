"""A single lost answer does not stop a migration: each call of the gateway, in each step, in each direction."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from itertools import cycle
from typing import Any

import pytest

from meshctl.errors import (
    BusyError,
    CredentialsError,
    MeshError,
    MigrationError,
    ResourceFailure,
    ResourcesFailedError,
    UnreachableError,
)
from meshctl.migrate.data import Data
from meshctl.migrate.gateway import Gateway
from meshctl.migrate.migration import Migrations
from meshctl.migrate.planning.inputs import Share
from meshctl.migrate.steps import context
from meshctl.migrate.steps.retries import TRIES
from tests.unit.migrate.fake_fabrics import on_fabric
from tests.unit.migrate.fake_gateway import FakeGateway
from tests.unit.migrate.moves import OPTIONS, assert_at, assert_fresh, migrations_of
from tests.unit.migrate.test_expansion_by_gateway import BY_GATEWAY, World, with_gateway

# `now` and `sleep` are this machine's own; `deployment` and `facts` belong to the plan
CALLS = {name for kind in (Gateway, Data) for name in vars(kind) if not name.startswith("_")}
CALLS -= {"now", "sleep", "deployment", "facts"}
# they may have had their effect when their answer gets lost
CHANGING = {"up", "destroy", "point_endpoints", "copy", "write_splits", "lead_to_splits"}
LOST = UnreachableError("nobody answers", why="connection reset by peer")


@dataclass
class Unreliable:
    """A gateway, one of whose calls fails: the one with the number `at`, or each of that step and name.
    `times`: how often at the most; `late`: the call had its effect, only the answer got lost."""

    gateway: FakeGateway
    at: int | tuple[str, str] | None = None
    error: MeshError = LOST
    times: float = math.inf
    late: bool = False
    step: str = ""
    calls: list[tuple[str, str]] = field(default_factory=list)
    raised: int = 0
    failed_at: float = 0.0  # the clock, when it failed for the first time

    def __getattr__(self, name: str) -> Any:
        migrations = getattr(self.gateway, name)
        return self._unreliable(name, migrations) if name in CALLS else migrations

    def _unreliable(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any, **options: Any) -> Any:
            if not self.step:
                return call(*arguments, **options)
            fails = self.at in (len(self.calls), (self.step, name)) and self.raised < self.times
            self.calls.append((self.step, name))
            answer = call(*arguments, **options) if self.late or not fails else None
            if fails:
                self.raised += 1
                self.failed_at = self.failed_at or self.gateway.clock
                raise self.error
            return answer

        return called


def unreliable(**options: Any) -> tuple[Unreliable, Migrations]:
    """Before the first step. `options`: of `Unreliable`."""
    declared = {name: on_fabric(with_gateway(name), "pretrain") for name in ("east", "west")}
    unreliable_gateway = Unreliable(World(declared=declared).begin(), **options)
    migrations = migrations_of(unreliable_gateway.gateway)
    migrations.gateway = unreliable_gateway
    migrations.data = unreliable_gateway
    migrations.report = lambda event: setattr(unreliable_gateway, "step", event.step)
    return unreliable_gateway, migrations


def move(migrations: Migrations) -> None:
    migrations.start(migrations.plan("east", "west", OPTIONS))


def move_and_back(migrations: Migrations) -> None:
    move(migrations)
    migrations.rollback()


def move_and_back_for_good(migrations: Migrations) -> None:
    move(migrations)
    migrations.rollback(destroy_target=True)


def move_and_finish(migrations: Migrations) -> None:
    move(migrations)
    migrations.finish(delete_data=True)


def expand_and_contract(migrations: Migrations) -> None:
    migrations.start(migrations.plan_expansion("east", "west", Share(workload="chat", weight=102), OPTIONS))
    migrations.rollback(destroy_target=True)


def expand_by_gateway_and_contract(migrations: Migrations) -> None:
    migrations.start(migrations.plan_expansion("east", "west", BY_GATEWAY, OPTIONS))
    migrations.rollback(destroy_target=True)


WAYS: dict[Callable[[Migrations], None], tuple[str, str, str]] = {
    move: ("waiting", "west", "east"),
    move_and_back: ("rolled-back", "east", "west"),
    move_and_back_for_good: ("rolled-back", "east", "west"),
    move_and_finish: ("finished", "west", "east"),
    expand_and_contract: ("rolled-back", "east", "west"),
    expand_by_gateway_and_contract: ("rolled-back", "east", "west"),
}
EVERY_WAY = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)


@cache
def calls_of(way: Callable[[Migrations], None]) -> list[tuple[str, str]]:
    """(step, call), in order."""
    unreliable_gateway, migrations = unreliable()
    way(migrations)
    return unreliable_gateway.calls


def own_numbers(way: Callable[[Migrations], None]) -> list[int]:
    """The numbers of the calls in those steps that no earlier way has."""
    before = list(WAYS)[: list(WAYS).index(way)]
    earlier_steps = {step for each in before for step, _ in calls_of(each)}
    return [number for number, (step, _) in enumerate(calls_of(way)) if step not in earlier_steps]


def own_calls(way: Callable[[Migrations], None]) -> list[tuple[str, str]]:
    """The same without duplicates: (step, call)."""
    return list(dict.fromkeys(calls_of(way)[number] for number in own_numbers(way)))


def assert_ended_well(
    way: Callable[[Migrations], None], unreliable_gateway: Unreliable, migrations: Migrations
) -> None:
    state, serving, other = WAYS[way]
    history = migrations.history()[1]
    assert history.state == state
    assert not [record for record in history.records if record.kind == "failed"]
    assert_at(unreliable_gateway.gateway, serving, other)
    if serving == "west":
        assert_fresh(unreliable_gateway.gateway)


def test_every_call_of_the_outside_is_made_at_some_step() -> None:
    made = {call for way in WAYS for _, call in calls_of(way)}
    assert CALLS - made == {
        "check_cluster",
        "check_reachable",
        "lost_nodes",
        "check_take_over",
        "losses_by_up",
        "name_rights",
        "rerun_job",
        "not_declared",
        "up_workloads",
    }, "made while planning, of what is lost only, or after an `up` that failed"


@EVERY_WAY
def test_each_call_at_each_step_may_get_no_answer_once(way: Callable[[Migrations], None]) -> None:
    numbers = own_numbers(way)
    assert numbers
    for at in numbers:
        for late in (False, True) if calls_of(way)[at][1] in CHANGING else (False,):
            unreliable_gateway, migrations = unreliable(at=at, times=1, late=late)
            way(migrations)
            assert unreliable_gateway.raised == 1, calls_of(way)[at]
            assert_ended_well(way, unreliable_gateway, migrations)


THROTTLED = ResourceFailure("endpoint/chat", "urn", "slow down", "Throttling")
NO_RIGHT = ResourceFailure("endpoint/chat", "urn", "not yours", "AccessDenied")


@pytest.mark.parametrize(
    "error",
    [
        BusyError("west: the API server has too much to do"),
        ResourcesFailedError("up edge: 1 resource failed", failures=[THROTTLED]),
    ],
    ids=["busy", "throttled"],
)
def test_not_now_is_no_answer_either(error: MeshError) -> None:
    for at in own_calls(move):
        unreliable_gateway, migrations = unreliable(at=at, error=error, times=3)
        move(migrations)
        assert unreliable_gateway.raised == 3, at
        assert_ended_well(move, unreliable_gateway, migrations)


@EVERY_WAY
def test_what_waiting_can_t_mend_stops_at_once(way: Callable[[Migrations], None]) -> None:
    errors = (
        CredentialsError("the token has expired"),
        MeshError("forbidden"),
        ResourcesFailedError("up edge: 1 resource failed", failures=[THROTTLED, NO_RIGHT]),
    )
    for at, error in zip(own_calls(way), cycle(errors), strict=False):
        unreliable_gateway, migrations = unreliable(at=at, error=error)
        with pytest.raises(MigrationError, match=error.what):
            way(migrations)
        assert unreliable_gateway.gateway.clock == unreliable_gateway.failed_at, at


@EVERY_WAY
def test_the_wait_for_an_answer_has_an_end_that_says_what_was_waited_for(
    way: Callable[[Migrations], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(context, "POLL_S", 15.0)  # fewer looks in the same ten minutes
    for at in own_calls(way):
        unreliable_gateway, migrations = unreliable(at=at)
        before = unreliable_gateway.gateway.clock
        with pytest.raises(MigrationError) as error:
            way(migrations)
        assert "no answer for 10 min: nobody answers" in error.value.what or "timed out after" in error.value.what, at
        assert "connection reset by peer" in error.value.why, at
        assert "migrations resume" in error.value.hint
        assert unreliable_gateway.gateway.clock - before > 100, "the shortest of its waits is that for pods to end"
        unreliable_gateway.times = 0
        assert migrations.resume().state in ("waiting", "rolled-back", "finished"), at


def test_a_watch_counts_only_what_it_saw() -> None:
    """An API server that is away for a while says nothing of the pods: neither three failures, nor an end."""
    unreliable_gateway, migrations = unreliable(at=("observe/health", "pods"), times=10)
    move(migrations)
    assert unreliable_gateway.raised == 10
    assert_ended_well(move, unreliable_gateway, migrations)
    assert migrations.history()[1].done["observe/health"].at > unreliable_gateway.failed_at + OPTIONS.observe_s


def test_it_is_told_that_it_is_asked_again() -> None:
    unreliable_gateway, migrations = unreliable(at=("cutover/dns", "resolve_dns"), times=2)
    messages: list[str] = []

    def report(event: Any) -> None:
        unreliable_gateway.step = event.step
        messages.append(event.text)

    migrations.report = report
    move(migrations)
    assert messages.count("nobody answers: connection reset by peer; trying again") == 1


def test_a_stop_is_heard_while_nobody_answers() -> None:
    unreliable_gateway, migrations = unreliable(at=("preflight/source", "deployed"))

    def report(event: Any) -> None:
        unreliable_gateway.step = event.step
        if unreliable_gateway.raised == 1:
            migrations.stop.request()

    migrations.report = report
    with pytest.raises(BaseException, match="stopped at a safe point"):
        move(migrations)
    assert unreliable_gateway.raised == 1


HOUR_S = 3600.0


def losing(*, reported: int) -> tuple[FakeGateway, Migrations, list[int]]:
    """A migration whose seeds last for hours and lose the store six times; each try has told that it copied `reported`
    objects. And the number of tries."""
    gateway = FakeGateway().begin()
    gateway.check = lambda: None  # type: ignore[method-assign]
    copy, tries = gateway.copy, [0]

    def long_copy(*sides: Any, **options: Any) -> Any:
        if options["live"] and tries[0] < 6:
            tries[0] += 1
            gateway.clock += HOUR_S
            options["on_copied"](500, 1000, reported, 5, None)
            raise LOST
        return copy(*sides, **options)

    gateway.copy = long_copy  # type: ignore[method-assign]
    return gateway, migrations_of(gateway), tries


def test_patience_begins_anew_after_a_long_time_in_which_data_came_along() -> None:
    _, migrations, tries = losing(reported=1)
    move(migrations)
    assert tries == [6]
    assert migrations.history()[1].state == "waiting"


def test_a_copy_that_only_waits_comes_to_an_end_however_long_each_try_lasts() -> None:
    _, migrations, tries = losing(reported=0)
    with pytest.raises(MigrationError, match=r"no answer for 2\d\d min"):
        move(migrations)
    assert tries == [TRIES]


def test_an_up_that_lost_an_answer_long_ago_is_given_the_same_time_again() -> None:
    gateway = FakeGateway().begin()
    up, tries = gateway.up, [0]

    def long_up(deployment: Any, say: Any) -> Any:
        if deployment.environment == "west" and tries[0] < 6:
            tries[0] += 1
            gateway.clock += HOUR_S
            raise LOST
        return up(deployment, say)

    gateway.up = long_up  # type: ignore[method-assign]
    migrations = migrations_of(gateway)
    move(migrations)
    assert tries == [6]
