"""The latest options of `finish` and `rollback` count when a command is repeated with others."""

from __future__ import annotations

from dataclasses import replace

import pytest

from meshctl.errors import InterruptedByUserError, MigrationError, ResourcesFailedError
from meshctl.migrate import views
from meshctl.migrate.migration import Migrations
from tests.unit.migrate.fake_gateway import FakeGateway
from tests.unit.migrate.moves import moved


def stopped_at_once(migrations: Migrations, command: str, **options: bool) -> None:
    """Run the command, and stop it with Ctrl-C before its first step."""
    migrations.stop.request()
    with pytest.raises(InterruptedByUserError):
        getattr(migrations, command)(**options)
    migrations.stop.requested = False


def failing_once(gateway: FakeGateway) -> None:
    """The next destroy fails half way."""
    original = gateway.destroy

    def destroy(*_args: object, **_kwargs: object) -> None:
        gateway.destroy = original  # type: ignore[method-assign]
        raise ResourcesFailedError("1 resource failed: cluster", failures=[])

    gateway.destroy = destroy  # type: ignore[method-assign, method-assign]


@pytest.mark.parametrize("deleted", [False, True])
def test_the_last_finish_says_whether_data_is_deleted(deleted: bool) -> None:
    gateway = FakeGateway().begin()
    migrations = moved(gateway)
    stopped_at_once(migrations, "finish", delete_data=not deleted)
    migrations.finish(delete_data=deleted)
    assert gateway.destroyed_with_data == {"east": deleted}


@pytest.mark.parametrize("deleted", [False, True])
def test_resume_goes_on_as_the_last_finish_said(deleted: bool) -> None:
    gateway = FakeGateway().begin()
    migrations = moved(gateway)
    stopped_at_once(migrations, "finish", delete_data=not deleted)
    stopped_at_once(migrations, "finish", delete_data=deleted)
    migrations.resume()
    assert gateway.destroyed_with_data == {"east": deleted}


@pytest.mark.parametrize("destroyed", [False, True])
def test_the_last_rollback_says_whether_the_target_is_destroyed(destroyed: bool) -> None:
    gateway = FakeGateway().begin()
    migrations = moved(gateway)
    stopped_at_once(migrations, "rollback", destroy_target=not destroyed)
    migrations.rollback(destroy_target=destroyed)
    assert (gateway.deployments["west"] is None) is destroyed


def test_a_command_that_is_given_again_is_written_once() -> None:
    migrations = moved(FakeGateway().begin())
    stopped_at_once(migrations, "rollback")
    stopped_at_once(migrations, "rollback")
    _, history = migrations.history()
    assert [record.kind for record in history.records].count("direction") == 1


def test_the_question_does_not_promise_data_that_an_earlier_finish_may_have_deleted() -> None:
    gateway = FakeGateway().begin()
    migrations = moved(gateway)
    kept = "destroy east (its buckets are kept: weights, checkpoints)?"
    assert views.finish_question(migrations.history()[1]) == kept
    stopped_at_once(migrations, "finish", delete_data=True)
    assert views.finish_question(migrations.history()[1]) == kept
    failing_once(gateway)
    with pytest.raises(MigrationError):
        migrations.finish(delete_data=True)
    stopped_at_once(migrations, "finish")
    question = views.finish_question(migrations.history()[1])
    assert question == "destroy east (the rest of its buckets is kept; `--delete-source-data` has already begun)?"
    migrations.finish()
    assert gateway.destroyed_with_data == {"east": False}
    assert "hint: east keeps the rest of its object storage: " in views.detail_text(*migrations.history())


def test_the_question_of_a_source_that_was_left_behind_promises_nothing() -> None:
    _, history = moved(FakeGateway().begin()).history()
    lost = replace(history, options={"source_lost": True})
    assert views.finish_question(lost) == "end the migration (east was given up, so nothing of it is destroyed)?"


def test_a_target_whose_destruction_was_begun_is_not_paused_any_more() -> None:
    gateway = FakeGateway().begin()
    migrations = moved(gateway)
    failing_once(gateway)
    with pytest.raises(MigrationError):
        migrations.rollback(destroy_target=True)
    with pytest.raises(MigrationError, match="west is already being destroyed") as error:
        migrations.rollback()
    assert "migrations resume" in error.value.hint
    migrations.resume()
    assert gateway.deployments["west"] is None


@pytest.mark.parametrize(("deleted", "fate"), [(False, "kept"), (True, "deleted")])
def test_what_was_done_with_the_source_s_data_can_t_be_chosen_anew(deleted: bool, fate: str) -> None:
    gateway = FakeGateway().begin()
    migrations = moved(gateway)
    records = migrations.store.create

    def create(path: str, text: str) -> bool:
        if path.endswith("-closed.json"):
            raise InterruptedByUserError("before the last record")
        return records(path, text)

    object.__setattr__(migrations.store, "create", create)
    with pytest.raises(InterruptedByUserError):
        migrations.finish(delete_data=deleted)
    object.__setattr__(migrations.store, "create", records)
    with pytest.raises(MigrationError, match=f"east is already destroyed, and its data was {fate}"):
        migrations.finish(delete_data=not deleted)
    assert migrations.finish(delete_data=deleted).state == "finished"


def test_an_interrupted_finish_is_told_by_show() -> None:
    migrations = moved(FakeGateway().begin())
    stopped_at_once(migrations, "finish", delete_data=True)
    migration, history = migrations.history()
    assert "destroy the source and its data" in views.detail_text(migration, history)
    stopped_at_once(migrations, "finish")
    assert "destroy the source, keep its object storage" in views.detail_text(*migrations.history())
