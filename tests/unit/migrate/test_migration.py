"""A whole migration in memory, killed at every moment, in every direction; `twin` checks the rules all along."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from obstore.store import MemoryStore

from meshctl.errors import AmbiguousStepError, LockedError, MigrationError, ParityError, UsageError
from meshctl.migrate.journal import guard
from meshctl.migrate.journal.history import History
from meshctl.migrate.migration import Migrations
from meshctl.migrate.planning.plan import Options
from meshctl.migrate.world import EndpointTarget
from meshctl.model.deployment import Deployment
from meshctl.model.observed import DeployState
from tests.unit.migrate.twin import TTL_S, Killed, MortalStore, Twin

OPTIONS = Options(observe_s=6)
EVERYTHING = ("chat", "pretrain")


def migrations(twin: Twin, store: MemoryStore | None = None) -> Migrations:
    return Migrations("demo", twin, MortalStore(store or MemoryStore(), None, twin), data=twin, break_lock=True)


def moved(twin: Twin) -> Migrations:
    found = migrations(twin)
    found.start(found.plan("east", "west", OPTIONS))
    return found


def assert_at(twin: Twin, here: str, there: str) -> None:
    """Everything runs at `here`; at `there` nothing that may not run twice."""
    assert all(twin.running(here, name) for name in EVERYTHING)
    assert not twin.running(there, "pretrain")
    assert twin.names == {"chat": EndpointTarget(here, f"{here}-lb")}
    assert twin.steps_written == list(range(1, len(twin.steps_written) + 1))
    before = twin.steps_written[-1]
    twin.tick()
    assert twin.steps_written[-1] == before + 1


def test_moves_everything_and_waits_for_finish() -> None:
    twin = Twin().begin()
    found = moved(twin)
    assert found.history()[1].state == "waiting"
    assert_at(twin, "west", "east")
    assert twin.running("east", "chat")  # keeps serving those who still have the old address
    assert twin.buckets["west-weights"] == twin.buckets["east-weights"]


@pytest.mark.parametrize("elsewhere", ["east", "west"])
def test_a_cluster_that_is_not_the_environment_s_own_is_refused_while_planning(elsewhere: str) -> None:
    class Strayed(Twin):
        def check_cluster(self, deployment: Deployment) -> None:
            if deployment.environment == elsewhere:
                raise UsageError(f"{elsewhere} is in another cluster")

    twin = Strayed().begin()
    found = migrations(twin)
    with pytest.raises(UsageError, match=f"{elsewhere} is in another cluster"):
        found.plan("east", "west", OPTIONS)
    assert found.ids() == []


def test_finish_destroys_the_source_and_keeps_its_data() -> None:
    twin = Twin().begin()
    found = moved(twin)
    assert found.finish().state == "finished"
    assert twin.up_there["east"] is None
    assert twin.retired_with_data == {"east": False}
    with pytest.raises(UsageError, match="is over: finished"):
        found.rollback()


def test_finish_deletes_the_source_s_data_when_told_to() -> None:
    twin = Twin().begin()
    found = moved(twin)
    found.finish(delete_data=True)
    assert twin.retired_with_data == {"east": True}


def test_rollback_takes_what_was_trained_at_the_target_back() -> None:
    twin = Twin().begin()
    found = moved(twin)
    at_target = twin.steps_written[-1]
    assert found.rollback().state == "rolled-back"
    assert_at(twin, "east", "west")
    assert not twin.running("west", "chat")
    assert twin.steps_written[-1] > at_target


def test_the_old_address_serves_until_no_resolver_can_hold_it() -> None:
    twin = Twin().begin()
    history = moved(twin).history()[1]
    assert history.done["cutover/ttl"].at - history.done["cutover/dns"].at >= 30


@pytest.mark.parametrize("ttl_s", [5, 300])
def test_answers_that_resolvers_got_with_the_old_ttl_are_waited_for(ttl_s: int) -> None:
    """The TTL in environments.yaml is that of the new records: it may have been lowered for the migration."""
    twin = Twin().begin()
    twin.names["chat"] = replace(twin.names["chat"], ttl_s=ttl_s)
    history = moved(twin).history()[1]
    assert history.done["cutover/ttl"].at - history.done["cutover/dns"].at >= max(ttl_s, TTL_S)


def test_the_old_ttl_is_known_after_a_kill_at_any_moment_of_the_cutover() -> None:
    for at in range(1, MOVE + 1):
        store = MemoryStore()
        twin = Twin().begin()
        twin.names["chat"] = replace(twin.names["chat"], ttl_s=300)
        twin.kill_at = at
        with contextlib.suppress(Killed):
            _move(twin, migrations(twin, store))
        twin.revive()
        found = migrations(twin, store)
        if _go_on(found) is None:
            _move(twin, found)
        done = found.history()[1].done
        assert done["cutover/ttl"].at - done["cutover/dns"].at >= 300, at


def _count_moments(action: Callable[[Twin], object]) -> int:
    twin = Twin().begin()
    action(twin)
    return twin.moments


def _killed(at: int, action: Callable[[Twin, Migrations], object]) -> tuple[Twin, Migrations]:
    """A twin whose run was killed at its `at`th moment, and a fresh run on the same store."""
    store = MemoryStore()
    twin = Twin().begin()
    twin.kill_at = at
    with pytest.raises(Killed):
        action(twin, migrations(twin, store))
    twin.revive()
    twin.sleep(5)
    return twin, migrations(twin, store)


def _move(_twin: Twin, found: Migrations) -> None:
    found.start(found.plan("east", "west", OPTIONS))


def _move_and_back(twin: Twin, found: Migrations) -> None:
    _move(twin, found)
    found.rollback()


def _move_and_finish(twin: Twin, found: Migrations) -> None:
    _move(twin, found)
    found.finish()


MOVE = _count_moments(lambda twin: _move(twin, migrations(twin)))
BACK = _count_moments(lambda twin: _move_and_back(twin, migrations(twin)))
FINISH = _count_moments(lambda twin: _move_and_finish(twin, migrations(twin)))


def _go_on(found: Migrations) -> History | None:
    """Resume what was begun; None when the kill came before the journal began."""
    return found.resume() if found.ids() else None


@pytest.mark.parametrize("at", range(1, MOVE + 1))
def test_killed_at_any_moment_and_resumed_it_ends_the_same(at: int) -> None:
    twin, found = _killed(at, _move)
    if _go_on(found) is None:
        _move(twin, found)
    assert found.history()[1].state == "waiting"
    assert_at(twin, "west", "east")
    assert twin.running("east", "chat")
    _each_step_done_once(found)
    assert_fresh(twin)


@pytest.mark.parametrize("at", range(1, MOVE + 1))
def test_killed_at_any_moment_and_rolled_back_nothing_is_lost(at: int) -> None:
    twin, found = _killed(at, _move)
    if found.ids():
        found.rollback()
        assert found.history()[1].state == "rolled-back"
    assert_at(twin, "east", "west")
    assert not twin.running("west", "chat")


@pytest.mark.parametrize("at", range(MOVE + 1, BACK + 1))
def test_a_rollback_killed_at_any_moment_goes_on(at: int) -> None:
    twin, found = _killed(at, _move_and_back)
    if found.history()[1].direction == "forward":
        found.rollback()
    elif not found.history()[1].outcome:
        found.resume()
    assert found.history()[1].state == "rolled-back"
    assert_at(twin, "east", "west")


@pytest.mark.parametrize("at", range(MOVE + 1, FINISH + 1))
def test_a_finish_killed_at_any_moment_goes_on(at: int) -> None:
    twin, found = _killed(at, _move_and_finish)
    if found.history()[1].direction == "forward":
        found.finish()
    elif not found.history()[1].outcome:
        found.resume()
    assert found.history()[1].state == "finished"
    assert twin.presence("east") is DeployState.STORAGE
    assert all(twin.running("west", name) for name in EVERYTHING)


def _each_step_done_once(found: Migrations) -> None:
    done = [record.step for record in found.history()[1].records if record.kind == "done"]
    assert len(done) == len(set(done))


def assert_fresh(twin: Twin) -> None:
    """The chat pods at the target that serve now have read the final weights."""
    last = [seen for environment, seen in twin.reads if environment == "west"][-1]
    assert last == twin.weights_seen("west")


def test_warm_workloads_are_started_anew_when_their_data_changed_after_the_seed() -> None:
    twin = Twin().begin()
    original = twin.copy
    calls = []

    def copy(*args: object, **kwargs: object) -> object:
        result = original(*args, **kwargs)  # type: ignore[arg-type]
        calls.append(1)
        if len(calls) == 2:  # both stores are seeded: now someone uploads new weights
            twin.buckets["east-weights"]["w/new"] = b"new"
        return result

    twin.copy = copy  # type: ignore[method-assign, assignment]
    found = moved(twin)
    assert found.history()[1].done["start/refresh"].data["restarted"] == ["chat"]
    assert_fresh(twin)


def _weights_change_once_warm(twin: Twin) -> None:
    """Someone uploads other weights right after the target's chat has read the seeded ones."""
    up = twin.up

    def changing(wanted: Deployment, say: Callable[[str], None]) -> object:
        made = up(wanted, say)
        if wanted.environment == "west" and not wanted.workload("chat").paused:
            twin.buckets["east-weights"]["w/0"] = b"new" * 5
        return made

    twin.up = changing  # type: ignore[method-assign, assignment]


def _cut_off_after_the_sync(twin: Twin, found: Migrations) -> None:
    """Weights changed after the warm start, the sync moved them, then the first comparison met a broken store."""
    _weights_change_once_warm(twin)
    compare = twin.compare

    def broken(*_: object, **__: object) -> object:
        twin.compare = compare  # type: ignore[method-assign]
        raise MigrationError("s3://west-weights is broken")

    twin.compare = broken  # type: ignore[method-assign, assignment]
    with pytest.raises(MigrationError, match="is broken"):
        found.start(found.plan("east", "west", OPTIONS))


def test_a_comparison_that_broke_off_does_not_hide_that_warm_workloads_read_old_data() -> None:
    twin = Twin().begin()
    found = migrations(twin)
    _cut_off_after_the_sync(twin, found)
    assert found.resume().state == "waiting"
    assert found.history()[1].done["sync/weights"].data["objects"] == 0, "the first sync had moved them"
    assert_fresh(twin)


@pytest.mark.parametrize("at", range(1, MOVE + 8))
def test_killed_at_any_moment_warm_workloads_end_with_the_final_data(at: int) -> None:
    store = MemoryStore()
    twin = Twin().begin()
    _weights_change_once_warm(twin)
    twin.kill_at = at
    found = migrations(twin, store)
    with contextlib.suppress(Killed):
        _move(twin, found)
    twin.revive()
    found = migrations(twin, store)
    if _go_on(found) is None:
        _move(twin, found)
    assert found.history()[1].state == "waiting"
    assert_fresh(twin)


def test_a_migration_whose_journal_lacks_digests_restarts_what_may_have_read_old_data() -> None:
    """Begun by an older meshctl: what its sync may have moved counts as moved, also where a later one moved nothing."""
    store = MemoryStore()
    twin = Twin().begin()
    found = migrations(twin, store)
    _cut_off_after_the_sync(twin, found)
    for listed in store.list().collect():
        path = listed["path"]
        record = json.loads(bytes(store.get(path).bytes()))
        if record["data"].pop("target_digest", ""):
            store.put(path, json.dumps(record).encode())
    assert migrations(twin, store).resume().state == "waiting"
    assert_fresh(twin)


def test_warm_workloads_whose_data_stayed_the_same_are_not_restarted_after_a_failed_sync() -> None:
    twin = Twin().begin()
    found = migrations(twin)
    copy, calls = twin.copy, []

    def failing(*args: object, **kwargs: object) -> object:
        calls.append(1)
        if len(calls) == 3:  # both seeds went before
            raise MigrationError("s3://west-weights is broken")
        return copy(*args, **kwargs)  # type: ignore[arg-type]

    twin.copy = failing  # type: ignore[method-assign, assignment]
    with pytest.raises(MigrationError, match="is broken"):
        found.start(found.plan("east", "west", OPTIONS))
    found.resume()
    assert [environment for environment, _ in twin.reads].count("west") == 1
    assert_fresh(twin)


def test_content_that_differs_at_the_same_size_stops_the_migration_and_is_healed_by_resume() -> None:
    twin = Twin().begin()
    found = migrations(twin)
    plan = found.plan("east", "west", OPTIONS)
    twin.buckets["west-weights"] = {"w/1": b"X" * 10}
    with pytest.raises(ParityError) as error:
        found.start(plan)
    assert "w/1" in error.value.why
    assert "migrations resume" in error.value.hint
    assert error.value.exit_code == 3
    assert twin.running("east", "chat")
    found.resume()
    assert_at(twin, "west", "east")


def test_a_target_with_other_data_is_refused_unless_it_may_be_replaced() -> None:
    twin = Twin().begin()
    twin.buckets["west-weights"] = {"precious": b"1"}
    found = migrations(twin)
    with pytest.raises(Exception, match="a target without other data") as error:
        found.plan("east", "west", OPTIONS)
    assert getattr(error.value, "exit_code", 0) == 65
    assert twin.buckets["west-weights"] == {"precious": b"1"}
    options = OPTIONS.model_copy(update={"replace_target_data": True})
    found.start(found.plan("east", "west", options))
    assert twin.buckets["west-weights"] == twin.buckets["east-weights"]


def test_names_that_someone_else_moved_are_not_touched_until_a_person_decides() -> None:
    twin = Twin().begin()
    found = migrations(twin)
    plan = found.plan("east", "west", OPTIONS)
    twin.names["chat"] = EndpointTarget("third", "third-lb")
    twin.check = lambda: None  # type: ignore[method-assign]
    with pytest.raises(AmbiguousStepError) as error:
        found.start(plan)
    assert "--again cutover/names" in error.value.hint
    assert twin.names["chat"].environment == "third"
    with pytest.raises(AmbiguousStepError):
        found.resume()
    found.resume(again="cutover/names")
    assert twin.names["chat"].environment == "west"


def test_a_source_that_changed_since_the_plan_is_refused() -> None:
    twin = Twin().begin()
    found = migrations(twin)
    plan = found.plan("east", "west", OPTIONS)
    twin.up_there["east"] = twin.declared["east"].model_copy(update={"labels": {"team": "other"}})
    with pytest.raises(MigrationError, match="no longer what the migration was planned from"):
        found.start(plan)


def test_an_unhealthy_target_gets_no_traffic_and_the_way_back_is_named() -> None:
    twin = Twin().begin()
    twin.healthy = False
    found = migrations(twin)
    with pytest.raises(MigrationError) as error:
        found.start(found.plan("east", "west", OPTIONS))
    assert "503" in error.value.why
    assert "migrations rollback" in error.value.hint
    assert twin.names["chat"].environment == "east"
    found.rollback()
    assert_at(twin, "east", "west")


def test_a_second_migration_waits_for_the_first() -> None:
    twin = Twin().begin()
    found = moved(twin)
    with pytest.raises(UsageError, match="is not finished: waiting"):
        found.start(found.plan("east", "west", OPTIONS.model_copy(update={"replace_target_data": True})))


def refused(found: Migrations, environment: str, command: str) -> str:
    """The refusal, with its hint; empty if the command may run."""
    opened = guard.open_migration(found.store, found.mesh)
    try:
        if opened is not None:
            guard.refuse(*opened, environment, command)
    except LockedError as error:
        return f"{error.what} {error.hint}"
    return ""


def test_an_open_migration_has_both_environments_in_its_hands() -> None:
    twin = Twin().begin()
    found = moved(twin)
    assert "migrations finish" in refused(found, "east", "up"), "its trainer would run beside that of the target"
    assert ": waiting" in refused(found, "east", "destroy")
    assert ": waiting" in refused(found, "west", "destroy")
    assert not refused(found, "west", "up"), "what serves is kept up to date as ever"
    assert not refused(found, "north", "up")
    assert not refused(found, "north", "destroy")
    found.finish()
    for environment in ("east", "west"):
        assert not refused(found, environment, "up")
        assert not refused(found, environment, "destroy")


def test_a_migration_that_stopped_on_its_way_lets_neither_environment_change() -> None:
    twin = Twin().begin()
    twin.healthy = False
    found = migrations(twin)
    with pytest.raises(MigrationError):
        found.start(found.plan("east", "west", OPTIONS))
    for environment in ("east", "west"):
        assert "migrations resume" in refused(found, environment, "up")
        assert ": stopped" in refused(found, environment, "destroy")
    found.rollback()
    assert not refused(found, "west", "destroy")


def test_a_lost_source_can_be_left_behind_once_its_data_was_copied() -> None:
    twin = Twin().begin()
    found = migrations(twin)
    plan = found.plan("east", "west", OPTIONS)
    original = twin.copy

    def lost(*args: object, **kwargs: object) -> object:
        if len(twin.buckets["west-checkpoints"]):
            raise MigrationError("east does not answer")
        return original(*args, **kwargs)  # type: ignore[arg-type]

    twin.copy = lost  # type: ignore[method-assign, assignment]
    with pytest.raises(MigrationError, match="east does not answer"):
        found.start(plan)
    twin.copy = original  # type: ignore[method-assign]
    before = found.history()[1].records
    with pytest.raises(MigrationError, match="east is not lost: it answers"):
        found.resume(source_lost=True)
    assert found.history()[1].records == before
    twin.lose("east")
    assert found.resume(source_lost=True).state == "waiting"
    assert all(twin.running("west", name) for name in EVERYTHING)
    with pytest.raises(MigrationError, match="no way back"):
        found.rollback()
    assert found.history()[1].state == "waiting"
    with pytest.raises(MigrationError, match="nothing of it is destroyed"):
        found.finish(delete_data=True)


def test_stopping_is_at_a_safe_point_and_names_the_next_command() -> None:
    twin = Twin().begin()
    found = migrations(twin)
    plan = found.plan("east", "west", OPTIONS)
    found.report = lambda event: found.stop.request() if event.step == "sync/weights" else None
    with pytest.raises(BaseException, match="stopped at a safe point") as error:
        found.start(plan)
    assert getattr(error.value, "exit_code", 0) == 130
    assert "migrations resume" in getattr(error.value, "hint", "")
    again = Migrations("demo", twin, found.store, data=twin, break_lock=True)
    again.resume()
    assert_at(twin, "west", "east")


def test_the_journal_is_on_disk_and_holds_no_credentials(tmp_path: Path) -> None:
    from meshctl.engine.state_store import open_state_store

    twin = Twin().begin()
    store = open_state_store("file://./.meshctl/state", tmp_path)
    found = Migrations("demo", twin, store, data=twin)
    migration = found.start(found.plan("east", "west", OPTIONS))
    files = sorted((tmp_path / ".meshctl/state/migrations/demo" / migration).iterdir())
    assert files[0].name == "0000-migration-begin.json"
    assert any(f.name.endswith("-cutover.names-intent.json") for f in files)
    assert not any('"secret"' in f.read_text() for f in files)
    assert not list((tmp_path / ".meshctl/state/migrations/demo/locks").iterdir())
