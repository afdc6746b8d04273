"""A whole migration in memory, killed at every moment, in every direction; `gateway` checks the rules all along."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
from obstore.store import MemoryStore

from meshctl.errors import AmbiguousStepError, LockedError, MigrationError, ParityError, UsageError
from meshctl.migrate.gateway import EndpointTarget
from meshctl.migrate.journal import guard
from meshctl.migrate.migration import Migrations
from meshctl.model.deployment import Deployment
from meshctl.model.observed import DeployState
from tests.unit.migrate.fake_gateway import TTL_S, FakeGateway, Killed
from tests.unit.migrate.moves import (
    EVERYTHING,
    MOVE,
    OPTIONS,
    assert_at,
    assert_fresh,
    count_moments,
    go_on,
    killed,
    migrations_of,
    move,
    moved,
    weights_change_once_warm,
)


def test_moves_everything_and_waits_for_finish() -> None:
    gateway = FakeGateway().begin()
    migrations = moved(gateway)
    assert migrations.history()[1].state == "waiting"
    assert_at(gateway, "west", "east")
    assert gateway.running("east", "chat")  # keeps serving those who still have the old address
    assert gateway.buckets["west-weights"] == gateway.buckets["east-weights"]


@pytest.mark.parametrize("elsewhere", ["east", "west"])
def test_a_cluster_that_is_not_the_environment_s_own_is_refused_while_planning(elsewhere: str) -> None:
    class Strayed(FakeGateway):
        def check_cluster(self, deployment: Deployment) -> None:
            if deployment.environment == elsewhere:
                raise UsageError(f"{elsewhere} is in another cluster")

    gateway = Strayed().begin()
    migrations = migrations_of(gateway)
    with pytest.raises(UsageError, match=f"{elsewhere} is in another cluster"):
        migrations.plan("east", "west", OPTIONS)
    assert migrations.ids() == []


def test_finish_destroys_the_source_and_keeps_its_data() -> None:
    gateway = FakeGateway().begin()
    migrations = moved(gateway)
    assert migrations.finish().state == "finished"
    assert gateway.deployments["east"] is None
    assert gateway.destroyed_with_data == {"east": False}
    with pytest.raises(UsageError, match="is already finished"):
        migrations.rollback()


def test_finish_deletes_the_source_s_data_when_told_to() -> None:
    gateway = FakeGateway().begin()
    migrations = moved(gateway)
    migrations.finish(delete_data=True)
    assert gateway.destroyed_with_data == {"east": True}


def test_rollback_takes_what_was_trained_at_the_target_back() -> None:
    gateway = FakeGateway().begin()
    migrations = moved(gateway)
    at_target = gateway.steps_written[-1]
    assert migrations.rollback().state == "rolled-back"
    assert_at(gateway, "east", "west")
    assert not gateway.running("west", "chat")
    assert gateway.steps_written[-1] > at_target


def test_the_old_address_serves_until_no_resolver_can_hold_it() -> None:
    gateway = FakeGateway().begin()
    history = moved(gateway).history()[1]
    assert history.done["cutover/ttl"].at - history.done["cutover/dns"].at >= 30


@pytest.mark.parametrize("ttl_s", [5, 300])
def test_answers_that_resolvers_got_with_the_old_ttl_are_waited_for(ttl_s: int) -> None:
    """The TTL in environments.yaml is that of the new records: it may have been lowered for the migration."""
    gateway = FakeGateway().begin()
    gateway.names["chat"] = replace(gateway.names["chat"], ttl_s=ttl_s)
    history = moved(gateway).history()[1]
    assert history.done["cutover/ttl"].at - history.done["cutover/dns"].at >= max(ttl_s, TTL_S)


def test_the_old_ttl_is_known_after_a_kill_at_any_moment_of_the_cutover() -> None:
    for at in range(1, MOVE + 1):
        store = MemoryStore()
        gateway = FakeGateway().begin()
        gateway.names["chat"] = replace(gateway.names["chat"], ttl_s=300)
        gateway.kill_at = at
        with contextlib.suppress(Killed):
            move(gateway, migrations_of(gateway, store))
        gateway.revive()
        migrations = migrations_of(gateway, store)
        if go_on(migrations) is None:
            move(gateway, migrations)
        done = migrations.history()[1].done
        assert done["cutover/ttl"].at - done["cutover/dns"].at >= 300, at


def _move_and_back(gateway: FakeGateway, migrations: Migrations) -> None:
    move(gateway, migrations)
    migrations.rollback()


def _move_and_finish(gateway: FakeGateway, migrations: Migrations) -> None:
    move(gateway, migrations)
    migrations.finish()


BACK = count_moments(lambda gateway: _move_and_back(gateway, migrations_of(gateway)))
FINISH = count_moments(lambda gateway: _move_and_finish(gateway, migrations_of(gateway)))


@pytest.mark.parametrize("at", range(1, MOVE + 1))
def test_killed_at_any_moment_and_resumed_it_ends_the_same(at: int) -> None:
    gateway, migrations = killed(at, move)
    if go_on(migrations) is None:
        move(gateway, migrations)
    assert migrations.history()[1].state == "waiting"
    assert_at(gateway, "west", "east")
    assert gateway.running("east", "chat")
    _each_step_done_once(migrations)
    assert_fresh(gateway)


@pytest.mark.parametrize("at", range(1, MOVE + 1))
def test_killed_at_any_moment_and_rolled_back_nothing_is_lost(at: int) -> None:
    gateway, migrations = killed(at, move)
    if migrations.ids():
        migrations.rollback()
        assert migrations.history()[1].state == "rolled-back"
    assert_at(gateway, "east", "west")
    assert not gateway.running("west", "chat")


@pytest.mark.parametrize("at", range(MOVE + 1, BACK + 1))
def test_a_rollback_killed_at_any_moment_goes_on(at: int) -> None:
    gateway, migrations = killed(at, _move_and_back)
    if migrations.history()[1].direction == "forward":
        migrations.rollback()
    elif not migrations.history()[1].outcome:
        migrations.resume()
    assert migrations.history()[1].state == "rolled-back"
    assert_at(gateway, "east", "west")


@pytest.mark.parametrize("at", range(MOVE + 1, FINISH + 1))
def test_a_finish_killed_at_any_moment_goes_on(at: int) -> None:
    gateway, migrations = killed(at, _move_and_finish)
    if migrations.history()[1].direction == "forward":
        migrations.finish()
    elif not migrations.history()[1].outcome:
        migrations.resume()
    assert migrations.history()[1].state == "finished"
    assert gateway.deploy_state("east") is DeployState.STORAGE
    assert all(gateway.running("west", name) for name in EVERYTHING)


def _each_step_done_once(migrations: Migrations) -> None:
    done = [record.step for record in migrations.history()[1].records if record.kind == "done"]
    assert len(done) == len(set(done))


def test_warm_workloads_are_started_anew_when_their_data_changed_after_the_seed() -> None:
    gateway = FakeGateway().begin()
    original = gateway.copy
    calls = []

    def copy(*args: object, **kwargs: object) -> object:
        result = original(*args, **kwargs)  # type: ignore[arg-type]
        calls.append(1)
        if len(calls) == 2:  # both stores are seeded: now someone uploads new weights
            gateway.buckets["east-weights"]["w/new"] = b"new"
        return result

    gateway.copy = copy  # type: ignore[method-assign, assignment]
    migrations = moved(gateway)
    assert migrations.history()[1].done["start/refresh"].data["restarted"] == ["chat"]
    assert_fresh(gateway)


def _cut_off_after_the_sync(gateway: FakeGateway, migrations: Migrations) -> None:
    """Weights changed after the warm start, the sync moved them, then the first comparison met a broken store."""
    weights_change_once_warm(gateway)
    compare = gateway.compare

    def broken(*_: object, **__: object) -> object:
        gateway.compare = compare  # type: ignore[method-assign]
        raise MigrationError("s3://west-weights is broken")

    gateway.compare = broken  # type: ignore[method-assign, assignment]
    with pytest.raises(MigrationError, match="is broken"):
        migrations.start(migrations.plan("east", "west", OPTIONS))


def test_a_comparison_that_broke_off_does_not_hide_that_warm_workloads_read_old_data() -> None:
    gateway = FakeGateway().begin()
    migrations = migrations_of(gateway)
    _cut_off_after_the_sync(gateway, migrations)
    assert migrations.resume().state == "waiting"
    assert migrations.history()[1].done["sync/weights"].data["objects"] == 0, "the first sync had moved them"
    assert_fresh(gateway)


@pytest.mark.parametrize("at", range(1, MOVE + 8))
def test_killed_at_any_moment_warm_workloads_end_with_the_final_data(at: int) -> None:
    store = MemoryStore()
    gateway = FakeGateway().begin()
    weights_change_once_warm(gateway)
    gateway.kill_at = at
    migrations = migrations_of(gateway, store)
    with contextlib.suppress(Killed):
        move(gateway, migrations)
    gateway.revive()
    migrations = migrations_of(gateway, store)
    if go_on(migrations) is None:
        move(gateway, migrations)
    assert migrations.history()[1].state == "waiting"
    assert_fresh(gateway)


def test_a_migration_whose_journal_lacks_digests_restarts_what_may_have_read_old_data() -> None:
    """A migration begun by an older version: if an interrupted sync may have copied data, it counts as changed."""
    store = MemoryStore()
    gateway = FakeGateway().begin()
    migrations = migrations_of(gateway, store)
    _cut_off_after_the_sync(gateway, migrations)
    for listed in store.list().collect():
        path = listed["path"]
        record = json.loads(bytes(store.get(path).bytes()))
        if record["data"].pop("target_digest", ""):
            store.put(path, json.dumps(record).encode())
    assert migrations_of(gateway, store).resume().state == "waiting"
    assert_fresh(gateway)


def test_warm_workloads_whose_data_stayed_the_same_are_not_restarted_after_a_failed_sync() -> None:
    gateway = FakeGateway().begin()
    migrations = migrations_of(gateway)
    copy, calls = gateway.copy, []

    def failing(*args: object, **kwargs: object) -> object:
        calls.append(1)
        if len(calls) == 3:  # both seeds went before
            raise MigrationError("s3://west-weights is broken")
        return copy(*args, **kwargs)  # type: ignore[arg-type]

    gateway.copy = failing  # type: ignore[method-assign, assignment]
    with pytest.raises(MigrationError, match="is broken"):
        migrations.start(migrations.plan("east", "west", OPTIONS))
    migrations.resume()
    assert [environment for environment, _ in gateway.reads].count("west") == 1
    assert_fresh(gateway)


def test_content_that_differs_at_the_same_size_stops_the_migration_and_is_healed_by_resume() -> None:
    gateway = FakeGateway().begin()
    migrations = migrations_of(gateway)
    plan = migrations.plan("east", "west", OPTIONS)
    gateway.buckets["west-weights"] = {"w/1": b"X" * 10}
    with pytest.raises(ParityError) as error:
        migrations.start(plan)
    assert "w/1" in error.value.why
    assert "migrations resume" in error.value.hint
    assert error.value.exit_code == 3
    assert gateway.running("east", "chat")
    migrations.resume()
    assert_at(gateway, "west", "east")


def test_a_target_with_other_data_is_refused_unless_it_may_be_replaced() -> None:
    gateway = FakeGateway().begin()
    gateway.buckets["west-weights"] = {"precious": b"1"}
    migrations = migrations_of(gateway)
    with pytest.raises(Exception, match="a target store without other objects") as error:
        migrations.plan("east", "west", OPTIONS)
    assert getattr(error.value, "exit_code", 0) == 65
    assert gateway.buckets["west-weights"] == {"precious": b"1"}
    options = OPTIONS.model_copy(update={"replace_target_data": True})
    migrations.start(migrations.plan("east", "west", options))
    assert gateway.buckets["west-weights"] == gateway.buckets["east-weights"]


def test_names_that_someone_else_moved_are_not_touched_until_a_person_decides() -> None:
    gateway = FakeGateway().begin()
    migrations = migrations_of(gateway)
    plan = migrations.plan("east", "west", OPTIONS)
    gateway.names["chat"] = EndpointTarget("third", "third-lb")
    gateway.check = lambda: None  # type: ignore[method-assign]
    with pytest.raises(AmbiguousStepError) as error:
        migrations.start(plan)
    assert "--again cutover/names" in error.value.hint
    assert gateway.names["chat"].environment == "third"
    with pytest.raises(AmbiguousStepError):
        migrations.resume()
    migrations.resume(again="cutover/names")
    assert gateway.names["chat"].environment == "west"


def test_a_source_that_changed_since_the_plan_is_refused() -> None:
    gateway = FakeGateway().begin()
    migrations = migrations_of(gateway)
    plan = migrations.plan("east", "west", OPTIONS)
    gateway.deployments["east"] = gateway.declared["east"].model_copy(update={"labels": {"team": "other"}})
    with pytest.raises(MigrationError, match="no longer what the migration was planned from"):
        migrations.start(plan)


def test_an_unhealthy_target_gets_no_traffic_and_the_way_back_is_named() -> None:
    gateway = FakeGateway().begin()
    gateway.healthy = False
    migrations = migrations_of(gateway)
    with pytest.raises(MigrationError) as error:
        migrations.start(migrations.plan("east", "west", OPTIONS))
    assert "503" in error.value.why
    assert "migrations rollback" in error.value.hint
    assert gateway.names["chat"].environment == "east"
    migrations.rollback()
    assert_at(gateway, "east", "west")


def test_a_second_migration_waits_for_the_first() -> None:
    gateway = FakeGateway().begin()
    migrations = moved(gateway)
    with pytest.raises(UsageError, match="is not finished: waiting"):
        migrations.start(migrations.plan("east", "west", OPTIONS.model_copy(update={"replace_target_data": True})))


def refused(migrations: Migrations, environment: str, command: str) -> str:
    """The text of the refusal with its hint; empty if the command is allowed."""
    opened = guard.open_migration(migrations.store, migrations.mesh)
    try:
        if opened is not None:
            guard.refuse(*opened, environment, command)
    except LockedError as error:
        return f"{error.what} {error.hint}"
    return ""


def test_an_open_migration_has_both_environments_in_its_hands() -> None:
    gateway = FakeGateway().begin()
    migrations = moved(gateway)
    assert "migrations finish" in refused(migrations, "east", "up"), "its trainer would run beside that of the target"
    assert ": waiting" in refused(migrations, "east", "destroy")
    assert ": waiting" in refused(migrations, "west", "destroy")
    assert not refused(migrations, "west", "up"), "what serves is kept up to date as ever"
    assert not refused(migrations, "north", "up")
    assert not refused(migrations, "north", "destroy")
    migrations.finish()
    for environment in ("east", "west"):
        assert not refused(migrations, environment, "up")
        assert not refused(migrations, environment, "destroy")


def test_a_migration_that_stopped_on_its_way_lets_neither_environment_change() -> None:
    gateway = FakeGateway().begin()
    gateway.healthy = False
    migrations = migrations_of(gateway)
    with pytest.raises(MigrationError):
        migrations.start(migrations.plan("east", "west", OPTIONS))
    for environment in ("east", "west"):
        assert "migrations resume" in refused(migrations, environment, "up")
        assert ": stopped" in refused(migrations, environment, "destroy")
    migrations.rollback()
    assert not refused(migrations, "west", "destroy")


def test_a_lost_source_can_be_left_behind_once_its_data_was_copied() -> None:
    gateway = FakeGateway().begin()
    migrations = migrations_of(gateway)
    plan = migrations.plan("east", "west", OPTIONS)
    original = gateway.copy

    def lost(*args: object, **kwargs: object) -> object:
        if len(gateway.buckets["west-checkpoints"]):
            raise MigrationError("east does not answer")
        return original(*args, **kwargs)  # type: ignore[arg-type]

    gateway.copy = lost  # type: ignore[method-assign, assignment]
    with pytest.raises(MigrationError, match="east does not answer"):
        migrations.start(plan)
    gateway.copy = original  # type: ignore[method-assign]
    before = migrations.history()[1].records
    with pytest.raises(MigrationError, match="east is not lost"):
        migrations.resume(source_lost=True)
    assert migrations.history()[1].records == before
    gateway.lose("east")
    assert migrations.resume(source_lost=True).state == "waiting"
    assert all(gateway.running("west", name) for name in EVERYTHING)
    with pytest.raises(MigrationError, match="a rollback is not possible"):
        migrations.rollback()
    assert migrations.history()[1].state == "waiting"
    with pytest.raises(MigrationError, match="does not destroy anything of it"):
        migrations.finish(delete_data=True)


def test_stopping_is_at_a_safe_point_and_names_the_next_command() -> None:
    gateway = FakeGateway().begin()
    migrations = migrations_of(gateway)
    plan = migrations.plan("east", "west", OPTIONS)
    migrations.report = lambda event: migrations.stop.request() if event.step == "sync/weights" else None
    with pytest.raises(BaseException, match="stopped at a safe point") as error:
        migrations.start(plan)
    assert getattr(error.value, "exit_code", 0) == 130
    assert "migrations resume" in getattr(error.value, "hint", "")
    again = Migrations("demo", gateway, migrations.store, data=gateway, break_lock=True)
    again.resume()
    assert_at(gateway, "west", "east")


def test_the_journal_is_on_disk_and_holds_no_credentials(tmp_path: Path) -> None:
    from meshctl.engine.state_store import open_state_store

    gateway = FakeGateway().begin()
    store = open_state_store("file://./.meshctl/state", tmp_path)
    migrations = Migrations("demo", gateway, store, data=gateway)
    migration = migrations.start(migrations.plan("east", "west", OPTIONS))
    files = sorted((tmp_path / ".meshctl/state/migrations/demo" / migration).iterdir())
    assert files[0].name == "0000-migration-begin.json"
    assert any(f.name.endswith("-cutover.names-intent.json") for f in files)
    assert not any('"secret"' in f.read_text() for f in files)
    assert not list((tmp_path / ".meshctl/state/migrations/demo/locks").iterdir())
