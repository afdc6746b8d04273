"""The estimate of the downtime before a migration, and the actual downtime in its summary."""

from __future__ import annotations

import contextlib

import pytest

from meshctl.migrate.planning import store_facts
from meshctl.migrate.planning.inputs import Options, StoreFacts
from meshctl.migrate.planning.plan import plan_migration
from meshctl.migrate.views import summary
from meshctl.migrate.views.downtime import NOT_ESTIMATED, downtime, downtime_lines
from meshctl.objects.listing import Item
from tests.unit.migrate.fake_gateway import FakeGateway, Killed, deployment
from tests.unit.migrate.moves import MOVE, go_on, killed, migrations_of, move, moved

MIB = 1 << 20


def facts(read_bytes: int, objects: int = 1000) -> tuple[StoreFacts, ...]:
    weights = StoreFacts(store="weights", objects=objects, total_bytes=2 * 10**12, read_bytes=read_bytes)
    return weights, StoreFacts(store="checkpoints", objects=0, total_bytes=0)


def test_what_must_be_read_and_listed_counts() -> None:
    source, target = deployment("east"), deployment("west")
    estimate = downtime(plan_migration(source, target, facts(125 * 10**9), Options()))
    assert estimate is not None
    assert estimate.at_least_s == pytest.approx(3 + 0.8 + 2000)
    deep = downtime(plan_migration(source, target, facts(0), Options(deep_verify=True)))
    assert deep is not None
    assert deep.at_least_s == pytest.approx(3 + 0.8 + 32000)
    assert estimate.grace_s == 10


def test_many_small_objects_are_no_matter_of_bytes() -> None:
    estimate = downtime(plan_migration(deployment("east"), deployment("west"), facts(0, 10**6), Options()))
    assert estimate is not None
    assert estimate.at_least_s > 600


def test_a_mesh_of_readers_stands_nowhere_still() -> None:
    source, target = (
        deployment(name).model_copy(update={"workloads": deployment(name).workloads[:1]}) for name in ("east", "west")
    )
    plan = plan_migration(source, target, facts(0), Options())
    assert downtime(plan) is None
    assert downtime_lines(plan)[0] == "  none: no workload is stopped before it runs at the target"
    assert all(what in downtime_lines(plan)[-1] for what in NOT_ESTIMATED)


def test_what_nobody_knows_beforehand_is_named() -> None:
    plan = plan_migration(deployment("east"), deployment("west"), facts(0), Options())
    assert all(what in downtime_lines(plan)[-1] for what in NOT_ESTIMATED)


@pytest.mark.parametrize(
    ("item", "equal"),
    [
        (Item(5, "a" * 32), True),
        (Item(200 * MIB, "a" * 32), False),
        (Item(40 * MIB, f"{'a' * 32}-5"), False),
        (Item(320 * MIB, f"{'a' * 32}-20"), True),
        (Item(320 * MIB, f"{'a' * 32}-40"), False),
        (Item(5, "opaque"), False),
    ],
)
def test_which_copies_can_have_the_etag_of_what_they_copy(item: Item, equal: bool) -> None:
    assert store_facts._gets_equal_etag(item) == equal


@pytest.mark.parametrize("at", range(1, MOVE + 1, 5))
def test_the_time_that_a_trainer_stood_still_is_told_across_kills(at: int) -> None:
    gateway, migrations = killed(at, move)
    if go_on(migrations) is None:
        move(gateway, migrations)
    history = migrations.history()[1]
    (stopped,) = summary.stops(history)
    begun = min(r.at for r in history.records if (r.step, r.kind) == ("quiesce/stop", "intent"))
    assert stopped == summary.Stopped(("pretrain",), begun, history.done["start/target"].at)
    migrations.rollback()
    again = summary.stops(migrations.history()[1])
    assert [stop.until is not None for stop in again] == [True, True]
    assert again[1].since > again[0].since
    assert [move.environment for move in summary.moves_of_names(migrations.history()[1])] == ["west", "east"]


def test_what_still_stands_is_said_so() -> None:
    gateway = FakeGateway().begin()
    migrations = migrations_of(gateway)
    migrations.report = lambda event: (
        setattr(gateway, "kill_at", gateway.moments + 1) if event.step == "sync/weights" else None
    )
    with contextlib.suppress(Killed):
        move(gateway, migrations)
    lines = summary.summary_lines(migrations.history()[1])
    assert any(line.startswith("stopped       pretrain since 20") and "not started yet" in line for line in lines)
    assert not any("names moved" in line for line in lines)


def test_only_what_happened_is_summed_up() -> None:
    history = moved(FakeGateway().begin()).history()[1]
    assert [line.split()[0] for line in summary.summary_lines(history)] == ["DNS", "stopped", "copied"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59, "59 s"), (200, "3 min 20 s"), (3600, "1 h 0 min"), (17595, "4 h 53 min")]
)
def test_spans_are_read_at_a_glance(seconds: float, text: str) -> None:
    assert summary.span(seconds) == text
