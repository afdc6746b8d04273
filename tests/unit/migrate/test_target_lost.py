"""A rollback without a target that is gone for good: the source starts from its own data."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from meshctl.errors import CredentialsError, InterruptedByUserError, MeshError, MigrationError, UsageError
from meshctl.migrate import views
from meshctl.migrate.migration import Migrations
from meshctl.model.deployment import Deployment
from meshctl.model.observed import PodState
from tests.golden_files import Golden
from tests.unit.migrate.fake_gateway import FakeGateway
from tests.unit.migrate.moves import MOVE, OPTIONS, assert_at, count_moments, killed, migrations_of, moved

STORES = {"west-weights", "west-checkpoints"}


def dead_target() -> tuple[FakeGateway, Migrations]:
    """A migration that waits, whose target has just died."""
    gateway = FakeGateway().begin()
    migrations = moved(gateway)
    gateway.lose("west")
    return gateway, migrations


def refused(migrations: Migrations, *, target_lost: bool = False, destroy_target: bool = False) -> MigrationError:
    """The error of a refused rollback, which must not change the migration's direction."""
    before = migrations.history()[1].records
    with pytest.raises(MigrationError) as error:
        migrations.rollback(target_lost=target_lost, destroy_target=destroy_target)
    assert migrations.history()[1].records == before
    return error.value


def test_a_rollback_that_can_t_reach_the_target_names_the_way_out() -> None:
    _, migrations = dead_target()
    with pytest.raises(MigrationError, match="west does not answer") as error:
        migrations.rollback()
    assert "if west is gone for good, `meshctl migrations rollback" in error.value.hint
    assert "--target-lost" in error.value.hint


def test_a_rollback_that_fails_for_another_reason_does_not() -> None:
    gateway = FakeGateway().begin()
    migrations = moved(gateway)
    gateway.silent = {"east"}
    with pytest.raises(MigrationError) as error:
        migrations.rollback()
    assert "--target-lost" not in error.value.hint


@pytest.mark.parametrize("tried", [False, True])
def test_the_source_runs_again_without_the_target(tried: bool) -> None:
    gateway, migrations = dead_target()
    if tried:
        with pytest.raises(MigrationError):
            migrations.rollback()
    history = migrations.rollback(target_lost=True)
    assert history.state == "rolled-back"
    assert gateway.dns["chat.example.com"] == "east-lb"
    assert_at(gateway, "east", "west")


def test_it_is_told_what_was_given_up(golden: Golden) -> None:
    _, migrations = dead_target()
    assert views.target_lost_warning(migrations.history()[1]) == (
        "west is given up; pods that still run there are not stopped; data written there to checkpoints since the"
        " last copy is not copied back"
    )
    migrations.rollback(target_lost=True)
    migration, history = migrations.history()
    assert views.detail_document(migration, history)["target_lost"] is True
    golden("migrate/target-lost.txt", views.detail_text(migration, history))


def test_a_copy_back_that_was_cut_off_is_told() -> None:
    gateway = FakeGateway().begin()
    migrations = moved(gateway)
    migrations.report = lambda event: (
        gateway.silent.update(STORES) if event.step == "rollback/sync.checkpoints" else None
    )
    with pytest.raises(MigrationError):
        migrations.rollback()
    assert "an interrupted copy" in views.target_lost_warning(migrations.history()[1])


def test_a_target_that_answers_is_not_lost() -> None:
    gateway = FakeGateway().begin()
    migrations = moved(gateway)
    error = refused(migrations, target_lost=True)
    assert error.what == "west is not lost"
    assert "without --target-lost" in error.hint
    assert migrations.history()[1].state == "waiting"


def test_a_trainer_that_still_runs_beside_lost_storage_must_end_first() -> None:
    gateway = FakeGateway().begin()
    migrations = moved(gateway)
    gateway.silent = set(STORES)
    assert refused(migrations, target_lost=True).what == "west still runs pretrain-0, pretrain-1"
    with pytest.raises(MigrationError):
        migrations.rollback()  # stops it, then can't list the store
    gateway.steps_written = gateway.steps_written[: max(int(key[5:]) for key in gateway.buckets["east-checkpoints"])]
    assert migrations.rollback(target_lost=True).state == "rolled-back"
    assert_at(gateway, "east", "west")


def test_it_looks_again_as_long_as_the_source_was_not_started() -> None:
    gateway, migrations = dead_target()
    migrations.stop.request()
    with pytest.raises(InterruptedByUserError):
        migrations.rollback(target_lost=True)
    migrations.stop.requested = False
    gateway.silent.clear()
    gateway.steps_written = [int(key[5:]) for key in sorted(gateway.buckets["west-checkpoints"])][-1:]
    with pytest.raises(MigrationError, match="west is not lost"):
        migrations.resume()
    assert migrations.rollback().state == "rolled-back"
    assert "rollback/verify.checkpoints" in migrations.history()[1].done
    assert gateway.running("east", "pretrain")


def test_once_the_source_runs_again_the_target_s_data_can_t_be_brought_back() -> None:
    _, migrations = dead_target()
    migrations.report = lambda event: migrations.stop.request() if event.step == "rollback/source" else None
    with pytest.raises(InterruptedByUserError):
        migrations.rollback(target_lost=True)
    migrations.report, migrations.stop.requested = lambda _event: None, False
    assert refused(migrations).what == "east already runs again, without the data that was written in west"
    assert migrations.resume().state == "rolled-back"


def test_a_lost_target_is_not_destroyed() -> None:
    _, migrations = dead_target()
    with pytest.raises(UsageError, match="can't be used together"):
        migrations.rollback(target_lost=True, destroy_target=True)


def test_a_target_that_dies_while_it_is_paused_is_given_up_without_loss() -> None:
    gateway = FakeGateway().begin()
    migrations = moved(gateway)
    migrations.report = lambda event: (
        gateway.silent.update({"west", *STORES}) if event.step == "rollback/target" else None
    )
    with pytest.raises(MigrationError) as error:
        migrations.rollback()
    assert "--target-lost" in error.value.hint
    assert (
        views.target_lost_warning(migrations.history()[1])
        == "west is given up; pods that still run there are not stopped"
    )
    assert migrations.rollback(target_lost=True).state == "rolled-back"
    assert_at(gateway, "east", "west")


def _give_up(gateway: FakeGateway, migrations: Migrations) -> None:
    migrations.start(migrations.plan("east", "west", OPTIONS))
    gateway.lose("west")
    migrations.rollback(target_lost=True)


GIVEN_UP = count_moments(lambda gateway: _give_up(gateway, migrations_of(gateway)))


@pytest.mark.parametrize("at", range(MOVE + 1, GIVEN_UP + 1))
def test_killed_at_any_moment_it_goes_on(at: int) -> None:
    gateway, migrations = killed(at, _give_up)
    gateway.lose("west")
    if migrations.history()[1].direction == "forward":
        migrations.rollback(target_lost=True)
    elif not migrations.history()[1].outcome:
        migrations.resume()
    assert migrations.history()[1].state == "rolled-back"
    assert_at(gateway, "east", "west")


@pytest.mark.parametrize("error", [CredentialsError("renew the token"), UsageError("west is in another cluster")])
def test_a_cluster_that_nobody_has_the_keys_to_or_that_was_rebuilt_is_lost(error: MeshError) -> None:
    gateway, migrations = dead_target()

    def pods(deployment: Deployment, workload: str) -> Sequence[PodState]:
        if deployment.environment == "west":
            raise error
        return FakeGateway.pods(gateway, deployment, workload)

    gateway.pods = pods  # type: ignore[method-assign]
    assert migrations.rollback(target_lost=True).state == "rolled-back"


def test_a_finish_that_its_own_check_stopped_can_go_back() -> None:
    gateway = FakeGateway().begin()
    migrations = moved(gateway)
    gateway.tick()
    gateway.buckets["east-weights"]["w/late"] = b"late"
    with pytest.raises(MigrationError, match="after the comparison") as stopped:
        migrations.finish(delete_data=True)
    assert "rollback" in stopped.value.hint
    assert migrations.rollback().state == "rolled-back"
    assert_at(gateway, "east", "west")


def test_a_name_whose_endpoint_left_the_mesh_holds_no_finish() -> None:
    gateway = FakeGateway().begin()
    migrations = moved(gateway)
    del gateway.names["chat"]
    assert migrations.finish().state == "finished"
