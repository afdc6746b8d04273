"""`meshctl migrate` and `meshctl migrations …`. No logic: see `migrate.migration`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from meshctl.cli import data_loss
from meshctl.cli.context import Context
from meshctl.cli.options import BreakLock, TakeOver

if TYPE_CHECKING:
    from meshctl.changes.losses import Loss
    from meshctl.migrate.journal.activity import MigrationStatus
    from meshctl.migrate.journal.history import History
    from meshctl.migrate.migration import Migrations
    from meshctl.migrate.progress import Event

migrations_app = typer.Typer(no_args_is_help=True, help="Show migrations, resume, roll back or finish them.")

_Id = Annotated[str, typer.Argument(help="The migration's id; by default the open one, or the last.", metavar="ID")]
_COPYING_EVERY_S = 2.0


def migrate(
    ctx: typer.Context,
    source: Annotated[str, typer.Argument(help="The environment to move from.", metavar="SRC")],
    target: Annotated[str, typer.Argument(help="The environment to move to.", metavar="DST")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan; change nothing.")] = False,
    observe: Annotated[int, typer.Option("--observe", help="Watch the target this long, in seconds.", min=0)] = 30,
    deep_verify: Annotated[
        bool, typer.Option("--deep-verify", help="Compare every byte of both sides, not only the stores' checksums.")
    ] = False,
    replace_target_data: Annotated[
        bool, typer.Option("--replace-target-data", help="Delete objects at the target that the source lacks.")
    ] = False,
    confirm: Annotated[
        str, typer.Option("--confirm", help="With --replace-target-data: the target's name.", metavar="ENV")
    ] = "",
    take_over: TakeOver = None,
    break_lock: BreakLock = False,
) -> None:
    """Move deployment, data and traffic from SRC to DST. SRC is kept until `migrations finish`."""
    from meshctl.migrate import given_up, views  # with all below: boto3 and Pulumi, too slow for `meshctl --help`
    from meshctl.migrate.planning.inputs import Options

    context: Context = ctx.obj
    options = Options(
        observe_s=observe,
        deep_verify=deep_verify,
        replace_target_data=replace_target_data,
        take_over=tuple(take_over or ()),
    )
    with opened_migrations(context, source, target, break_lock=break_lock) as migrations:
        plan = migrations.plan(source, target, options)
        if dry_run:
            show_document(context, views.plan_document(plan), views.plan_text(plan))
            return
        if context.must_confirm:
            context.say(views.plan_text(plan))
        data_loss.ask(context, target, given_up.replaced_at_target(plan), refused=None, confirm=confirm)
        if context.must_confirm:
            context.confirm(f"move {plan.source.mesh} from {source} to {target}?")
        migration = migrations.start(plan)
        shown = migrations.status(migration)
    show_end(context, shown)


@migrations_app.command("list")
def list_migrations(ctx: typer.Context) -> None:
    """List all migrations of this mesh."""
    from meshctl.migrate import views

    context: Context = ctx.obj
    with opened_migrations(context) as migrations:
        rows = migrations.statuses()
    show_document(context, {"migrations": [views.row_document(row) for row in rows]}, views.list_text(rows))


@migrations_app.command()
def show(ctx: typer.Context, migration: _Id = "") -> None:
    """Show the steps, and source and target side by side."""
    from meshctl.migrate import views

    context: Context = ctx.obj
    with opened_migrations(context) as migrations:
        shown = migrations.status(migration)
    show_document(context, views.detail_document(*shown), views.detail_text(*shown))


@migrations_app.command()
def resume(
    ctx: typer.Context,
    migration: _Id = "",
    again: Annotated[
        str, typer.Option("--again", help="Do the step that stopped as undecidable.", metavar="STEP")
    ] = "",
    done: Annotated[
        str, typer.Option("--done", help="Take the step that stopped as undecidable as done.", metavar="STEP")
    ] = "",
    source_lost: Annotated[
        bool, typer.Option("--source-lost", help="Give up a source that is gone; its data must have been copied once.")
    ] = False,
    confirm: Annotated[
        str, typer.Option("--confirm", help="With --source-lost: the source's name.", metavar="ENV")
    ] = "",
    take_over: TakeOver = None,
    break_lock: BreakLock = False,
) -> None:
    """Go on with a migration that stopped, forward or back."""
    from meshctl.migrate import given_up, views

    context: Context = ctx.obj
    with opened_migrations(context, break_lock=break_lock) as migrations:
        if source_lost:
            history = migrations.check_source_lost(migration)
            source, warning = history.plan.source.environment, views.source_lost_warning(history)
            lost = given_up.source_losses(history)
            data_loss.ask(context, source, lost, refused=None, confirm=confirm, warning=warning)
        fields = tuple(take_over or ())
        migrations.resume(migration, done=done, again=again, source_lost=source_lost, take_over=fields)
        shown = migrations.status(migration)
    show_end(context, shown)


@migrations_app.command()
def rollback(
    ctx: typer.Context,
    migration: _Id = "",
    destroy_target: Annotated[
        bool, typer.Option("--destroy-target", help="Destroy the target at the end, instead of pausing it.")
    ] = False,
    target_lost: Annotated[
        bool, typer.Option("--target-lost", help="Give up a target that is gone, with the data written there.")
    ] = False,
    allow_data_loss: Annotated[
        bool, typer.Option("--allow-data-loss", help="With --destroy-target: its volumes and file systems may be lost.")
    ] = False,
    confirm: Annotated[
        str,
        typer.Option("--confirm", help="With --target-lost or --allow-data-loss: the target's name.", metavar="ENV"),
    ] = "",
    break_lock: BreakLock = False,
) -> None:
    """Go back to the source: start its workloads, move the DNS records back, then pause the target."""
    from meshctl.deploy.guards.protection import refused_by_migration_destroy
    from meshctl.migrate.steps.environment import DESTROYING

    context: Context = ctx.obj
    agreed: Sequence[Loss] = ()
    with opened_migrations(context, break_lock=break_lock) as migrations:
        history = migrations.check_rollback(migration, destroy_target=destroy_target, target_lost=target_lost)
        if target_lost:
            _ask_about_lost_target(context, history, confirm)
        elif destroy_target:
            agreed = lost = migrations.losses_by_rollback(history)
            refused = None if allow_data_loss else partial(refused_by_migration_destroy, command=DESTROYING)
            target = history.plan.target.environment
            data_loss.ask(context, target, lost, refused=refused, confirm=confirm)
            if confirm and not lost:  # the name must be right although no data is lost
                context.confirm_name(target, confirm, f"{target} is destroyed")
        migrations.rollback(migration, destroy_target=destroy_target, target_lost=target_lost, agreed=agreed)
        shown = migrations.status(migration)
    show_end(context, shown)


def _ask_about_lost_target(context: Context, history: History, confirm: str) -> None:
    """Raises: ProtectedDataError when the name isn't given."""
    from meshctl.migrate import given_up, views

    target, lost = history.plan.target.environment, given_up.target_losses(history)
    data_loss.ask(context, target, lost, refused=None, confirm=confirm, warning=views.target_lost_warning(history))


@migrations_app.command()
def finish(
    ctx: typer.Context,
    migration: _Id = "",
    delete_source_data: Annotated[
        bool, typer.Option("--delete-source-data", help="Also delete the source's protected storage.")
    ] = False,
    allow_data_loss: Annotated[
        bool, typer.Option("--allow-data-loss", help="The source's volumes and file systems may be lost.")
    ] = False,
    confirm: Annotated[
        str,
        typer.Option(
            "--confirm", help="With --delete-source-data or --allow-data-loss: the source's name.", metavar="ENV"
        ),
    ] = "",
    break_lock: BreakLock = False,
) -> None:
    """Destroy the source. Its buckets are kept; other data is deleted only if you allow it and confirm the name."""
    from meshctl.deploy.guards.protection import refused_by_migration_destroy
    from meshctl.migrate import views
    from meshctl.migrate.steps.environment import FINISHING

    context: Context = ctx.obj
    with opened_migrations(context, break_lock=break_lock) as migrations:
        history = migrations.check_finish(migration, delete_data=delete_source_data)
        source = history.plan.source.environment
        lost = migrations.losses_by_finish(history, delete_data=delete_source_data)
        allowed = allow_data_loss or delete_source_data
        warning = f"the data in {source} is deleted for good" if delete_source_data else ""
        refused = None if allowed else partial(refused_by_migration_destroy, command=FINISHING)
        data_loss.ask(context, source, lost, refused=refused, confirm=confirm, warning=warning)
        if confirm and not (lost or warning):  # the confirmed name counts as a yes
            context.confirm_name(source, confirm, f"{source} is destroyed")
        elif context.must_confirm and not (lost or warning):
            context.confirm(views.finish_question(history))
        migrations.finish(migration, delete_data=delete_source_data, agreed=lost)
        shown = migrations.status(migration)
    show_end(context, shown)


@contextmanager
def opened_migrations(
    context: Context, *environments: str, command: Literal["migrate", "expand"] = "migrate", break_lock: bool = False
) -> Iterator[Migrations]:
    """The mesh's migrations; while the block runs, Ctrl-C stops at the next safe point, also inside the engine.

    `environments`: those whose nodes must not be shifted. An expansion that is in force already may get another share
    while they are.

    Raises: UsageError when environments.yaml lacks one of `environments`; LockedError.
    """
    from meshctl.cli.guards import refuse_if_shift_under_way, refuse_if_shifted
    from meshctl.cli.opened import opened
    from meshctl.engine.state_store import open_state_store
    from meshctl.migrate.engine_gateway import build_gateway
    from meshctl.migrate.migration import Migrations

    with opened(context, "migrate", break_lock=break_lock) as mesh:
        names = [mesh.checked_name(name) for name in environments]

        def refuse_shifted() -> None:
            for name in names:
                refuse_if_shifted(mesh, name, command)

        def refuse_half_shifted() -> None:
            for name in names:
                refuse_if_shift_under_way(mesh, name, command)

        if command == "migrate":
            refuse_shifted()
        store = open_state_store(mesh.environments.state.backend, context.folder)
        migrations = Migrations(mesh.mesh.name, build_gateway(mesh), store, _reporter(context), break_lock=break_lock)
        migrations.check = refuse_shifted  # again: a shift may have begun while the migration was planned
        migrations.check_again = refuse_half_shifted
        mesh.on_stop.append(migrations.stop.request)
        yield migrations


def _reporter(context: Context) -> Callable[[Event], None]:
    from meshctl.migrate.progress import progress_text

    last_line_s: dict[str, float] = {}  # by step, when its last line of copying was printed

    def report(event: Event) -> None:
        if event.kind == "copying":  # there are several events a second
            if event.elapsed_s - last_line_s.get(event.step, -_COPYING_EVERY_S) < _COPYING_EVERY_S:
                return
            last_line_s[event.step] = event.elapsed_s
        context.say(progress_text(event))

    return report


def show_end(context: Context, migration: MigrationStatus) -> None:
    """Show the result of a run; as JSON like `migrations show`."""
    from meshctl.migrate import views

    show_document(context, views.detail_document(*migration), views.run_text(*migration))


def show_document(context: Context, document: dict[str, object], text: str) -> None:
    if context.output == "json":
        context.print_json(document)
    else:
        context.print(text)
