"""The fabric of a target is measured before workloads start on it; one that is too slow leaves the source serving."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest
from obstore.store import MemoryStore

from meshctl.errors import InterruptedByUserError, MeasurementError
from meshctl.migrate import views
from meshctl.migrate.journal.history import History, read_history
from meshctl.migrate.journal.journal import Record
from meshctl.migrate.migration import Migrations
from meshctl.migrate.steps.order.step_plan import forward, step_plan
from meshctl.model.deployment import Deployment, ReservedCapacity
from tests.unit.migrate import expansions
from tests.unit.migrate.fake_fabrics import FakeFabrics, on_fabric
from tests.unit.migrate.fake_gateway import FakeGateway, Killed, deployment
from tests.unit.migrate.moves import OPTIONS, assert_at, go_on, migrations_of, move

STEP = "provision/fabric.train"


def with_fabric(environment: str, *on_accelerators: str) -> Deployment:
    return on_fabric(deployment(environment), *on_accelerators)


def gateway_of(*on_accelerators: str, gbytes_per_s: float = 50.0) -> FakeGateway:
    declared = {name: with_fabric(name, *(on_accelerators or ("pretrain",))) for name in ("east", "west")}
    return FakeGateway(declared=declared, fabrics=FakeFabrics(gbytes_per_s=gbytes_per_s)).begin()


def refused(gateway: FakeGateway) -> tuple[Migrations, MeasurementError]:
    migrations = migrations_of(gateway)
    with pytest.raises(MeasurementError) as raised:
        migrations.start(migrations.plan("east", "west", OPTIONS))
    return migrations, raised.value


def names(history: History) -> list[str]:
    return [step.name for step in step_plan(history)]


def test_it_is_measured_once_the_nodes_are_there_and_before_data_is_copied() -> None:
    gateway = gateway_of()
    migrations = migrations_of(gateway)
    plan = migrations.plan("east", "west", OPTIONS)
    ordered = [step.name for step in forward(plan)]
    assert ordered[ordered.index("provision/target") + 1] == STEP
    assert "measure the fabric of pool train before its workloads start" in views.plan_text(plan)
    migrations.start(plan)
    assert gateway.fabrics.measured == [("west", "train")]
    assert_at(gateway, "west", "east")
    data = migrations.history()[1].done[STEP].data
    assert (data["gbytes_per_s"], data["expected_gbytes_per_s"], data["wanted_share"]) == (50.0, 50.0, 0.8)


def test_one_that_is_too_slow_is_the_error_of_an_up_and_the_source_serves_on() -> None:
    gateway = gateway_of(gbytes_per_s=2.5)
    migrations, error = refused(gateway)
    assert (error.code, error.exit_code) == ("measurement", 3)
    assert error.what.startswith("the fabric of pool train gives 2.5 GB/s, 5% of the expected 50")
    assert "`meshctl migrations resume` measures again" in error.hint
    assert "meshctl migrations rollback" in error.hint
    assert_at(gateway, "east", "west")
    assert gateway.buckets["west-weights"] == {}  # nothing was copied
    history = migrations.history()[1]
    assert views.next_step(history) == STEP
    assert "failed: provision/fabric.train" in views.detail_text(*migrations.history())


def test_it_goes_on_once_the_fabric_is_mended() -> None:
    gateway = gateway_of(gbytes_per_s=2.5)
    migrations, _ = refused(gateway)
    with pytest.raises(MeasurementError):
        migrations.resume()
    gateway.fabrics.gbytes_per_s = 45.0
    migrations.resume()
    assert gateway.fabrics.measured == [("west", "train")] * 3
    assert_at(gateway, "west", "east")


@pytest.mark.parametrize(("wanted", "measurements"), [(0.05, 2), (0.0, 1)], ids=["less", "nothing"])
def test_it_goes_on_where_the_mesh_wants_less_now(wanted: float, measurements: int) -> None:
    gateway = gateway_of(gbytes_per_s=2.5)
    migrations, _ = refused(gateway)
    gateway.fabrics.wanted["backend"] = wanted
    migrations.resume()
    assert len(gateway.fabrics.measured) == measurements
    assert_at(gateway, "west", "east")


@pytest.mark.parametrize("destroys", [False, True])
def test_a_rollback_needs_no_measurement(destroys: bool) -> None:
    gateway = gateway_of(gbytes_per_s=2.5)
    migrations, _ = refused(gateway)
    assert migrations.rollback(destroy_target=destroys).state == "rolled-back"
    assert gateway.fabrics.measured == [("west", "train")]
    assert_at(gateway, "east", "west")
    assert (gateway.deployments["west"] is None) is destroys


def test_a_rollback_of_a_move_that_is_done_measures_nothing_at_the_source() -> None:
    gateway = gateway_of()
    migrations = migrations_of(gateway)
    move(gateway, migrations)
    migrations.rollback()
    assert gateway.fabrics.measured == [("west", "train")]
    assert_at(gateway, "east", "west")


def killed_at(moment: int, gateway: FakeGateway, store: MemoryStore) -> bool:
    """Whether a move was killed at that moment: it may have fewer."""
    gateway.kill_at = moment
    with contextlib.suppress(Killed):
        move(gateway, migrations_of(gateway, store))
        return False
    gateway.revive()
    return True


def test_killed_at_any_moment_it_is_measured_and_ends_the_same() -> None:
    moment, measured_again = 0, 0
    while True:
        moment, gateway, store = moment + 1, gateway_of(), MemoryStore()
        if not killed_at(moment, gateway, store):
            break
        migrations = migrations_of(gateway, store)
        if go_on(migrations) is None:
            move(gateway, migrations)
        assert set(gateway.fabrics.measured) == {("west", "train")}, moment
        measured_again += len(gateway.fabrics.measured) - 1
        assert_at(gateway, "west", "east")
    assert measured_again == 2  # killed after the measurement, and before or after its record was written


def test_a_journal_of_an_older_version_goes_on_without_the_step() -> None:
    """What has begun at the target, or was stopped at the source, is past a measurement."""
    gateway = gateway_of()
    migrations = migrations_of(gateway)
    move(gateway, migrations)
    records = [record for record in migrations.history()[1].records if record.step != STEP]
    for until in ("quiesce/warm", "quiesce/stop", "start/target"):
        older = _read(records, until)
        assert STEP not in names(older), until
    early = _read(records, "provision/target")
    assert STEP in names(early)  # nothing is started yet: it is measured
    assert STEP in names(migrations.history()[1])  # as is shown once it was done


def test_a_move_whose_source_is_lost_measures_nothing_any_more() -> None:
    """Nobody serves until the target starts: it waits for no measurement, and no slow fabric stops it."""
    migrations = migrations_of(gateway := gateway_of())
    move(gateway, migrations)
    history = migrations.history()[1]
    early = _read([record for record in history.records if record.step != STEP], "provision/target")
    assert STEP in names(early)
    assert STEP not in names(replace(early, options={"source_lost": True}))
    assert STEP in names(replace(history, options={"source_lost": True}))  # as is shown once it was done


def test_a_pool_whose_reservation_had_not_begun_when_it_was_planned_is_measured() -> None:
    """The target was up once before its block began; the block begins before the move."""
    gateway = gateway_of()
    west = gateway.declared["west"]
    waiting = ReservedCapacity(starts="2026-12-02T11:30:00Z")
    pools = tuple(each.model_copy(update={"reserved": waiting}) for each in west.pools)
    gateway.declared["west"] = west.model_copy(update={"pools": pools})
    move(gateway, migrations_of(gateway))
    assert gateway.fabrics.measured == [("west", "train")]


def _read(records: list[Record], until: str) -> History:
    last = next(n for n, record in enumerate(records) if (record.kind, record.step) == ("done", until))
    return read_history(records[: last + 1])


def test_an_expansion_measures_before_its_workload_starts() -> None:
    gateway = gateway_of("chat", gbytes_per_s=2.5)
    migrations = expansions.migrations_of(gateway)
    plan = migrations.plan_expansion("east", "west", expansions.CHAT, expansions.OPTIONS)
    with pytest.raises(MeasurementError):
        migrations.start(plan)
    assert not gateway.running("west", "chat")
    gateway.fabrics.gbytes_per_s = 50.0
    migrations.resume()
    expansions.assert_expanded(gateway, 102)
    assert gateway.fabrics.measured == [("west", "train")] * 2


def test_a_pool_that_serves_a_share_is_in_use_and_is_not_measured() -> None:
    """The migration goes on from the expansion: its trainer starts on the pool beside what serves there."""
    gateway = gateway_of("chat", "pretrain")
    migrations = expansions.expanded(gateway)
    assert gateway.fabrics.measured == [("west", "train")]
    plan = migrations.plan("east", "west", OPTIONS)
    assert STEP not in [step.name for step in forward(plan)]
    migrations.start(plan)
    assert gateway.fabrics.measured == [("west", "train")]


def test_an_interrupt_stops_it_at_a_safe_point() -> None:
    gateway = gateway_of()
    migrations = migrations_of(gateway)
    measure = gateway.measure_fabric

    def interrupted(*arguments: object) -> object:
        migrations.stop.request()
        return measure(*arguments)  # type: ignore[arg-type]

    gateway.measure_fabric = interrupted  # type: ignore[method-assign, assignment]
    with pytest.raises(InterruptedByUserError):
        move(gateway, migrations)
    assert_at(gateway, "east", "west")
    gateway.measure_fabric = measure  # type: ignore[method-assign]
    migrations = Migrations("demo", gateway, migrations.store, data=gateway, break_lock=True)
    migrations.resume()
    assert_at(gateway, "west", "east")
