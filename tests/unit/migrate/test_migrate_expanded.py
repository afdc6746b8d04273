"""A mesh whose workload is expanded is migrated: from the share to all of it, in memory, killed at any moment."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest
from obstore.store import MemoryStore

from meshctl.cli import expand as commands
from meshctl.errors import InfeasibleError, MigrationError, UsageError
from meshctl.migrate.gateway import EndpointTarget, UpResult
from meshctl.migrate.migration import Migrations
from meshctl.migrate.planning.inputs import Options
from meshctl.migrate.views import list_text, plan_text
from tests.unit.migrate.expansions import CHAT, OPTIONS, assert_contracted, assert_expanded, migrations_of, run
from tests.unit.migrate.fake_gateway import FakeGateway, Killed

MIGRATE = Options(observe_s=6)


def expanded(gateway: FakeGateway, store: MemoryStore | None = None) -> Migrations:
    migrations = migrations_of(gateway, store)
    migrations.start(migrations.plan_expansion("east", "west", CHAT, OPTIONS))
    gateway.moments = 0
    return migrations


def assert_migrated(gateway: FakeGateway) -> None:
    assert gateway.names == {"chat": EndpointTarget("west", "west-lb")}
    assert gateway.weighted == {}
    assert gateway.running("west", "chat")
    assert gateway.running("west", "pretrain")
    assert not gateway.running("east", "pretrain")
    assert gateway.buckets["west-checkpoints"].keys() >= {f"step-{gateway.steps_written[-1]:04d}"}


def test_it_goes_on_from_the_share_and_what_serves_is_never_paused() -> None:
    gateway = FakeGateway().begin()
    migrations = expanded(gateway)
    started = len(gateway.reads)
    plan = migrations.plan("east", "west", MIGRATE)
    text = plan_text(plan)
    assert "bring up the target, the other workloads paused" in text
    assert "note: chat is expanded, and keeps its share until the cutover" in text
    assert "remove the weighted records" in text
    migrations.start(plan)
    assert_migrated(gateway)
    assert gateway.reads[started:] == []  # chat was not started a second time
    migrations.finish()
    assert migrations.expansion() is None
    assert not gateway.running("east", "chat")
    states = [status.history.state for status in migrations.statuses()]  # type: ignore[union-attr]
    assert states == ["finished", "finished"]


def test_a_rollback_leads_all_to_the_source_and_ends_the_expansion() -> None:
    gateway = FakeGateway().begin()
    migrations = expanded(gateway)
    migrations.start(migrations.plan("east", "west", MIGRATE))
    migrations.rollback(destroy_target=True)
    assert_contracted(gateway)
    assert gateway.running("east", "pretrain")
    assert migrations.expansion() is None
    again = MIGRATE.model_copy(update={"replace_target_data": True})  # the target keeps its buckets
    migrations.start(migrations.plan("east", "west", again))
    assert_migrated(gateway)


def test_given_up_before_anything_was_brought_up_the_expansion_stays_in_force() -> None:
    gateway = FakeGateway().begin()
    migrations = expanded(gateway)
    plan = migrations.plan("east", "west", MIGRATE)
    gateway.owned["west"] = {"workload/pretrain: spec.replicas"}
    with pytest.raises(MigrationError):
        migrations.start(plan)
    expansion, migration = migrations.ids()
    with pytest.raises(UsageError, match=f"goes on as migration {migration}"):
        migrations.rollback(expansion, destroy_target=True)
    migrations.rollback(migration)
    gateway.owned.clear()
    assert_expanded(gateway, 102)
    status = migrations.expansion_of("east", "west", "chat")
    assert status is not None
    migrations.share_again(status.migration, 204)
    assert_expanded(gateway, 204)


def test_after_a_migration_was_given_up_commands_without_an_id_mean_the_expansion() -> None:
    gateway = FakeGateway().begin()
    migrations = expanded(gateway)
    plan = migrations.plan("east", "west", MIGRATE)
    gateway.owned["west"] = {"workload/pretrain: spec.replicas"}
    with pytest.raises(MigrationError):
        migrations.start(plan)
    gateway.owned.clear()
    expansion, migration = migrations.ids()
    assert migrations.history()[0] == migration
    migrations.rollback()
    assert migrations.history()[0] == expansion
    assert migrations.resume().state == "waiting"
    migrations.rollback(destroy_target=True)
    assert_contracted(gateway)
    assert migrations.history()[0] == migration, "the last one, where all are over"


def test_while_the_migration_is_open_it_is_the_only_way_on(monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = FakeGateway().begin()
    migrations = expanded(gateway)
    migrations.start(migrations.plan("east", "west", MIGRATE))
    for command, asked in ((commands.contract, ()), (commands.expand, ("east", "west", "chat", "60%"))):
        with pytest.raises(UsageError, match="goes on as migration") as caught:
            run(command, migrations, monkeypatch, *asked)
        assert "meshctl migrations show" in caught.value.hint


def test_a_target_that_is_lost_meanwhile_leaves_all_to_the_source() -> None:
    gateway = FakeGateway().begin()
    migrations = expanded(gateway)
    migrations.start(migrations.plan("east", "west", MIGRATE))
    gateway.lose("west")
    migrations.rollback(target_lost=True)
    assert_contracted(gateway)
    assert gateway.running("east", "pretrain")
    assert migrations.expansion() is None


def test_elsewhere_it_is_refused_before_anything_is_planned() -> None:
    gateway = FakeGateway().begin()
    migrations = expanded(gateway)
    with pytest.raises(UsageError, match="chat is expanded from east to west") as caught:
        migrations.plan("west", "east", MIGRATE)
    assert "`meshctl contract`" in caught.value.hint
    assert "`meshctl migrate east west`" in caught.value.hint


def test_an_expansion_that_stopped_half_way_is_not_gone_on_from() -> None:
    gateway = FakeGateway().begin()
    gateway.healthy = False
    migrations = migrations_of(gateway)
    with pytest.raises(MigrationError):
        migrations.start(migrations.plan_expansion("east", "west", CHAT, OPTIONS))
    with pytest.raises(MigrationError, match="is not in force: stopped"):
        migrations.plan("east", "west", MIGRATE)


def test_an_expansion_that_was_contracted_meanwhile_is_not_gone_on_from() -> None:
    gateway = FakeGateway().begin()
    migrations = expanded(gateway)
    plan = migrations.plan("east", "west", MIGRATE)
    migrations.rollback(destroy_target=True)
    with pytest.raises(UsageError, match="is no longer in force"):
        migrations.start(plan)


@pytest.mark.parametrize("environment", ["east", "west"])
def test_what_has_begun_to_write_since_is_refused_as_it_serves_in_both(environment: str) -> None:
    """Brought up at the target beside the source's, it would write what is being copied there."""
    gateway = FakeGateway().begin()
    migrations = expanded(gateway)
    chat, *others = gateway.declared[environment].workloads
    mounts = tuple(mount.model_copy(update={"read_only": False}) for mount in chat.mounts)
    workloads = (chat.model_copy(update={"mounts": mounts}), *others)
    gateway.declared[environment] = gateway.declared[environment].model_copy(update={"workloads": workloads})
    if environment == "east":
        gateway.deployments["east"] = gateway.declared["east"]
    with pytest.raises(InfeasibleError, match="workload/chat: it only reads in both environments") as caught:
        migrations.plan("east", "west", MIGRATE)
    assert "`meshctl contract`" in caught.value.hint
    assert_expanded(gateway, 102)


def test_a_target_of_which_nothing_was_brought_up_yet_is_paused_without_a_question() -> None:
    """Stopped between the intent to bring up the rest and its first change, the target has the expanded part alone."""
    gateway = FakeGateway().begin()
    migrations = expanded(gateway)

    def killed(*_: object) -> UpResult:
        raise Killed

    gateway.up, up = killed, gateway.up  # type: ignore[method-assign, assignment]
    with contextlib.suppress(Killed):
        migrations.start(migrations.plan("east", "west", MIGRATE))
    gateway.up = up  # type: ignore[method-assign]
    west = gateway.deployments["west"]
    assert west is not None
    assert [workload.name for workload in west.workloads] == ["chat"]
    migrations.rollback()
    assert_contracted(gateway)


def test_the_list_names_commands_of_the_migration_alone() -> None:
    gateway = FakeGateway().begin()
    migrations = expanded(gateway)
    migrations.start(migrations.plan("east", "west", MIGRATE))
    text = list_text(migrations.statuses())
    assert "migrations finish" in text
    assert "contract" not in text


def _killed(every: int, end: Callable[[Migrations], object]) -> list[tuple[FakeGateway, Migrations]]:
    """Killed at some or at all of its moments, and ended in this way."""
    gateway = FakeGateway().begin()
    migrations = expanded(gateway)
    migrations.start(migrations.plan("east", "west", MIGRATE))
    ends = []
    for kill_at in range(1, gateway.moments + 1, every):
        gateway, store = FakeGateway().begin(), MemoryStore()
        migrations = expanded(gateway, store)
        plan = migrations.plan("east", "west", MIGRATE)
        gateway.kill_at = kill_at
        with contextlib.suppress(Killed):
            migrations.start(plan)
        gateway.revive()
        again = migrations_of(gateway, store)
        if len(again.ids()) == 1:
            assert_expanded(gateway, 102)
            continue
        end(again)
        ends.append((gateway, again))
    assert ends
    return ends


SOME_OR_ALL = pytest.mark.parametrize("every", [17, pytest.param(1, marks=[pytest.mark.exhaustive])])


@SOME_OR_ALL
def test_killed_at_any_moment_it_ends_the_same(every: int) -> None:
    for gateway, again in _killed(every, Migrations.resume):
        assert_migrated(gateway)
        again.finish()
        assert again.expansion() is None


@SOME_OR_ALL
def test_rolled_back_from_any_moment_the_source_serves_all_or_the_share_is_as_it_was(every: int) -> None:
    for gateway, again in _killed(every, Migrations.rollback):
        if again.expansion() is not None:
            assert_expanded(gateway, 102)
        else:
            assert_contracted(gateway)
        assert gateway.running("east", "pretrain")
