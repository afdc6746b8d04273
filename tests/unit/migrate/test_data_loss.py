"""Every way in which a migration can delete data: only after the user has agreed, and only what the user was shown."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from meshctl.changes.losses import Loss, not_agreed
from meshctl.cli import migrate as commands
from meshctl.cli.context import Context
from meshctl.errors import MeshError, MigrationError, ProtectedDataError, UsageError
from meshctl.migrate import given_up
from meshctl.migrate.gateway import EndpointTarget
from meshctl.migrate.migration import Migrations
from meshctl.model.deployment import Block, Price
from tests.unit.migrate.fake_gateway import FakeGateway
from tests.unit.migrate.moves import OPTIONS, migrations_of, moved

FREE = Price(subject="storage/disk", usd_per_hour=None, source="unknown")
Command = Callable[..., None]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs a command on the last migration, with --yes unless said otherwise, and without a terminal."""
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: False))

    def command(function: Any, migrations: Migrations, yes: bool = True, **options: Any) -> None:
        @contextmanager
        def opened(*_: Any, **__: Any) -> Iterator[Migrations]:
            yield migrations

        monkeypatch.setattr(commands, "opened_migrations", opened)
        function(SimpleNamespace(obj=Context(yes=yes)), **options)

    return command


def waiting() -> tuple[FakeGateway, Migrations]:
    """A migration that waits for `finish`; each side has a volume in its cluster."""
    gateway = FakeGateway().begin()
    migrations = moved(gateway)
    gateway.volumes = {"east": ("disk-site-0",), "west": ("disk-site-0", "disk-site-1")}
    return gateway, migrations


def kept(gateway: FakeGateway) -> Any:
    return (
        dict(gateway.volumes),
        {name: dict(held) for name, held in gateway.buckets.items()},
        dict(gateway.deployments),
    )


def assert_refused(act: Callable[[], None], gateway: FakeGateway, migrations: Migrations) -> ProtectedDataError:
    before, records = kept(gateway), len(migrations.history()[1].records)
    with pytest.raises(ProtectedDataError) as refused:
        act()
    assert (refused.value.code, refused.value.exit_code) == ("protected", 1)
    assert kept(gateway) == before
    assert len(migrations.history()[1].records) == records, "the way back stays open"
    return refused.value


# by way: the command, what is said on its line, the side, the claims that go, whether the side's buckets go
WAYS: dict[str, tuple[Any, dict[str, bool], str, tuple[str, ...], bool]] = {
    "finish": (commands.finish, {}, "east", ("disk-site-0",), False),
    "finish with the data": (commands.finish, {"delete_source_data": True}, "east", ("disk-site-0",), True),
    "rollback that destroys": (
        commands.rollback,
        {"destroy_target": True},
        "west",
        ("disk-site-0", "disk-site-1"),
        False,
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_side_is_not_destroyed_with_data_that_nobody_agreed_to_lose(way: str, run: Command) -> None:
    command, options, side, claims, buckets_go = WAYS[way]
    gateway, migrations = waiting()
    allowed = {**options, "allow_data_loss": True}
    for given in (options, allowed):
        refused = assert_refused(lambda given=given: run(command, migrations, **given), gateway, migrations)  # type: ignore[misc]
        said = f"{refused.what} {refused.why}"
        assert all(f"claim {claim}" in said for claim in claims)
        assert (f"{side}-weights" in said) == buckets_go
    assert_refused(lambda: run(command, migrations, confirm="other", **allowed), gateway, migrations)

    run(command, migrations, confirm=side, **allowed)
    assert side not in gateway.volumes, "what was named has gone"
    assert (f"{side}-weights" not in gateway.buckets) == buckets_go
    other = "west" if side == "east" else "east"
    assert gateway.volumes[other], "the other side's has not"
    assert f"{other}-weights" in gateway.buckets
    retired = migrations.history()[1].done["finish/source" if side == "east" else "rollback/destroy"]
    (intent,) = [r for r in migrations.history()[1].records if (r.step, r.kind) == (retired.step, "intent")]
    assert gateway.destroyed_by == [f"meshctl migrations {'finish' if side == 'east' else 'rollback --destroy-target'}"]
    named = [loss["subject"] for loss in intent.data["data_losses"]]
    assert named[: len(claims)] == [f"storage/{claim}" for claim in claims]


def test_the_hint_of_a_refused_finish_is_a_command_that_works(run: Command) -> None:
    gateway, migrations = waiting()
    refused = assert_refused(lambda: run(commands.finish, migrations), gateway, migrations)
    assert refused.hint.startswith("copy what must be kept")
    (words,) = re.findall(r"`meshctl migrations ([^`]+)`", refused.hint)
    assert words == "finish --allow-data-loss"
    run(commands.finish, migrations, allow_data_loss=True, confirm="east")
    assert migrations.history()[1].outcome == "finished"


# by command: what is said of a migration that this can't be done to any more, or yet
BEFORE_ANY_QUESTION: list[tuple[Any, dict[str, bool]]] = [
    (commands.finish, {}),
    (commands.finish, {"delete_source_data": True}),
    (commands.rollback, {"destroy_target": True}),
    (commands.rollback, {"target_lost": True}),
    (commands.resume, {"source_lost": True}),
]


@pytest.mark.parametrize(("command", "options"), BEFORE_ANY_QUESTION)
def test_nobody_is_asked_about_the_data_of_a_migration_that_is_over(
    command: Any, options: dict[str, bool], run: Command
) -> None:
    gateway, migrations = waiting()
    migrations.rollback()
    assert gateway.volumes["east"]
    with pytest.raises(UsageError, match="is already rolled-back"):
        run(command, migrations, **options)


@pytest.mark.parametrize("options", [{}, {"delete_source_data": True}])
def test_nobody_is_asked_about_data_before_a_migration_waits_for_its_end(
    options: dict[str, bool], run: Command
) -> None:
    gateway, migrations = waiting()
    migrations.stop.request()
    with suppress(MeshError):
        migrations.rollback()
    migrations.stop.requested = False
    with pytest.raises(MigrationError, match="is not waiting for `finish`: rollback stopped"):
        run(commands.finish, migrations, **options)
    assert gateway.volumes["east"]


@pytest.mark.parametrize(
    ("command", "options", "side"),
    [
        (commands.finish, {"allow_data_loss": True}, "east"),
        (commands.rollback, {"destroy_target": True, "allow_data_loss": True}, "west"),
    ],
)
def test_a_name_on_the_command_line_is_the_answer_where_nothing_is_lost(
    command: Any, options: dict[str, bool], side: str, run: Command
) -> None:
    gateway, migrations = waiting()
    gateway.volumes = {}
    assert_refused(lambda: run(command, migrations, yes=False, confirm="other", **options), gateway, migrations)
    run(command, migrations, yes=False, confirm=side, **options)
    assert migrations.history()[1].outcome


def test_a_source_without_volumes_is_finished_as_ever(run: Command) -> None:
    gateway, migrations = waiting()
    gateway.volumes = {}
    run(commands.finish, migrations)
    assert migrations.history()[1].outcome == "finished"
    assert gateway.destroyed_with_data == {"east": False}


@pytest.mark.parametrize("side", ["east", "west"])
def test_a_journal_of_before_is_stopped_before_the_way_back_is_closed(side: str) -> None:
    """The direction was written by an older version, which did not ask; `resume` then refuses to delete the volumes."""
    gateway, migrations = waiting()
    direction = {"to": "finish", "delete_data": False} if side == "east" else {"to": "rollback", "destroy_target": True}
    journal = migrations._journal("", "")
    journal.add("migration", "direction", gateway.now(), direction)
    with pytest.raises(MigrationError, match="would lose data"):
        migrations.resume()
    assert gateway.volumes == {"east": ("disk-site-0",), "west": ("disk-site-0", "disk-site-1")}
    assert not migrations.history()[1].began("finish/source", "rollback/destroy")
    if side == "east":
        migrations.finish(agreed=migrations.losses_by_finish(migrations.history()[1], delete_data=False))
    else:
        migrations.rollback(destroy_target=True, agreed=migrations.losses_by_rollback(migrations.history()[1]))
    assert side not in gateway.volumes


def agreed_then_stopped(gateway: FakeGateway, migrations: Migrations, side: str, run: Command) -> None:
    """The user has agreed to lose the side's volumes, and the run stopped before the destroy began."""
    destroy, pods = gateway.destroy, gateway.pods
    names = dict(gateway.names)
    command, options = (commands.finish, {}) if side == "east" else (commands.rollback, {"destroy_target": True})
    gateway.destroy = gateway.pods = stopped  # type: ignore[method-assign]
    if side == "east":
        gateway.names["chat"] = EndpointTarget("east", "east-lb")
    with pytest.raises(MeshError):
        run(command, migrations, allow_data_loss=True, confirm=side, **options)
    gateway.destroy, gateway.pods, gateway.names = destroy, pods, names  # type: ignore[method-assign]
    assert not migrations.history()[1].began("finish/source", "rollback/destroy")
    assert gateway.volumes[side]


def stopped(*_: Any, **__: Any) -> Any:
    raise MeshError("stopped")


@pytest.mark.parametrize("side", ["east", "west"])
def test_data_that_came_after_the_answer_is_asked_about(side: str, run: Command) -> None:
    gateway, migrations = waiting()
    gateway.volumes[side] = ("disk-site-0",)
    agreed_then_stopped(gateway, migrations, side, run)
    gateway.volumes[side] = ("disk-site-0", "disk-site-9")
    with pytest.raises(MigrationError, match="claim disk-site-9") as refused:
        migrations.resume()
    assert "disk-site-0" not in refused.value.what, "that was agreed to"
    assert gateway.volumes[side] == ("disk-site-0", "disk-site-9")
    assert not migrations.history()[1].began("finish/source", "rollback/destroy")
    if side == "east":
        run(commands.finish, migrations, allow_data_loss=True, confirm="east")
    else:
        run(commands.rollback, migrations, destroy_target=True, allow_data_loss=True, confirm="west")
    assert side not in gateway.volumes


def test_what_was_agreed_to_goes_with_a_finish_that_is_resumed(run: Command) -> None:
    gateway, migrations = waiting()
    agreed_then_stopped(gateway, migrations, "east", run)
    assert migrations.resume().state == "finished"
    assert "east" not in gateway.volumes


def test_data_that_came_while_the_question_was_open_is_not_agreed_to() -> None:
    gateway, migrations = waiting()
    shown = migrations.losses_by_finish(migrations.history()[1], delete_data=False)
    gateway.volumes["east"] = ("disk-site-0", "disk-site-9")
    with pytest.raises(ProtectedDataError, match="claim disk-site-9") as refused:
        migrations.finish(agreed=shown)
    assert "disk-site-0" not in refused.value.what


@pytest.mark.parametrize("options", [{"allow_data_loss": True}, {"delete_data": True}])
def test_a_journal_that_does_not_say_what_was_agreed_to_goes_on_as_it_was_begun(options: dict[str, bool]) -> None:
    gateway, migrations = waiting()
    migrations._journal("", "").add("migration", "direction", gateway.now(), {"to": "finish", **options})
    assert migrations.resume().state == "finished"
    assert "east" not in gateway.volumes


@pytest.mark.parametrize(
    ("identity", "agreed", "asks"),
    [
        ("claim a, volume v (vol-1)", ("claim a, volume v (vol-1)",), False),
        ("claim a", ("claim a, volume v (vol-1)",), False),  # the cluster can't be asked now
        ("claim a, volume v (vol-1)", ("claim a, volume v",), False),
        ("claim a, volume w (vol-2)", ("claim a, volume v (vol-1)",), True),  # made anew under the old name
        ("claim ab", ("claim a",), True),
        ("claim a", (), True),
    ],
)
def test_an_answer_holds_for_what_was_shown(identity: str, agreed: tuple[str, ...], asks: bool) -> None:
    loss = Loss("storage/disk", "volume", identity, "1Gi", "it goes")
    assert bool(not_agreed([loss], agreed)) == asks


def test_an_answer_to_finish_is_none_to_a_rollback_that_destroys() -> None:
    gateway, migrations = waiting()
    migrations.stop.request()
    with suppress(MeshError):
        migrations.finish(delete_data=True)
    migrations.stop.requested = False
    assert_refused(lambda: migrations.rollback(destroy_target=True), gateway, migrations)  # type: ignore[arg-type]


def test_a_target_that_would_lose_data_is_refused_before_the_migration_begins() -> None:
    gateway = FakeGateway().begin()
    loss = Loss("storage/disk", "volume", "claim disk-site-0", "1Gi", "it is `ephemeral` from now on")
    gateway.losses_of_up["west"] = (loss,)
    migrations = migrations_of(gateway)
    with pytest.raises(ProtectedDataError, match="claim disk-site-0") as refused:
        migrations.plan("east", "west", OPTIONS)
    assert "meshctl up" not in refused.value.hint, "it would start the training a second time"
    assert "undo the change in mesh.yaml or environments.yaml" in refused.value.hint
    assert "`meshctl destroy west --allow-data-loss`" in refused.value.hint
    assert refused.value.hint.endswith("then migrate")
    assert migrations.ids() == []


def test_a_dead_side_is_given_up_with_the_names_of_what_stays_there(run: Command) -> None:
    gateway, migrations = waiting()
    gateway.lose("west")
    target = migrations.history()[1].plan.target
    disk = Block(name="disk", size_gib=5, storage_class="fast", price=FREE)
    history = migrations.history()[1]
    plan = history.plan.model_copy(update={"target": target.model_copy(update={"blocks": (disk,)})})
    subjects = [loss.subject for loss in given_up.target_losses(replace(history, plan=plan))]
    assert subjects == ["storage/checkpoints", "storage/disk"]

    refused = assert_refused(lambda: run(commands.rollback, migrations, target_lost=True), gateway, migrations)
    assert "storage/checkpoints (bucket west-checkpoints, 3 objects, 3 B" in refused.why
    run(commands.rollback, migrations, target_lost=True, confirm="west")
    assert migrations.history()[1].outcome == "rolled-back"


def test_a_dead_source_is_given_up_with_the_names_of_its_stores(run: Command) -> None:
    gateway = FakeGateway().begin()
    migrations = migrations_of(gateway)
    gateway.healthy = False
    with pytest.raises(MigrationError):
        migrations.start(migrations.plan("east", "west", OPTIONS))
    gateway.silent, gateway.healthy = {"east"}, True
    refused = assert_refused(lambda: run(commands.resume, migrations, source_lost=True), gateway, migrations)
    for store in ("weights", "checkpoints"):
        assert f"storage/{store} (bucket east-{store}, " in refused.why
    run(commands.resume, migrations, source_lost=True, confirm="east")
    assert migrations.history()[1].source_lost


def test_objects_of_others_at_the_target_are_replaced_once_its_name_was_given(run: Command) -> None:
    gateway = FakeGateway().begin()
    gateway.buckets["west-weights"] = {"theirs": b"x"}
    migrations = migrations_of(gateway)
    options = {"source": "east", "target": "west", "replace_target_data": True, "observe": 6, "dry_run": False}
    before = kept(gateway)
    with pytest.raises(ProtectedDataError) as refused:
        run(commands.migrate, migrations, **options, deep_verify=False)
    assert (
        "storage/weights (bucket west-weights, 1 object): east does not have them, and the copy makes the buckets equal"
        in refused.value.why
    )
    assert kept(gateway) == before
    assert migrations.ids() == []
    run(commands.migrate, migrations, **options, deep_verify=False, confirm="west")
    assert "theirs" not in gateway.buckets["west-weights"]
