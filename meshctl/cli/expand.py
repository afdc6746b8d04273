"""`meshctl expand` and `meshctl contract`. No logic: see `migrate.migration`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from meshctl.cli.context import Context
from meshctl.cli.migrate import opened_migrations, show_document, show_end
from meshctl.cli.options import BreakLock
from meshctl.errors import UsageError

if TYPE_CHECKING:
    from meshctl.migrate.journal.activity import MigrationStatus
    from meshctl.migrate.migration import Migrations
    from meshctl.migrate.planning.inputs import Share
    from meshctl.migrate.planning.plan import MigrationPlan


_LEAST_COPY_S = 600


def expand(
    ctx: typer.Context,
    source: Annotated[str, typer.Argument(help="The environment that has the workload.", metavar="SRC")],
    target: Annotated[str, typer.Argument(help="The environment that gets it, too.", metavar="DST")],
    workload: Annotated[str, typer.Option("--workload", help="The workload, which only reads.", metavar="NAME")],
    share: Annotated[
        str,
        typer.Option(
            "--share",
            help="DST's share of requests, such as 40%. Again without it: newer data.",
            metavar="PERCENT",
        ),
    ] = "",
    by: Annotated[
        Literal["dns", "gateway"] | None,
        typer.Option("--by", help="Who shares: dns (resolutions), or SRC's gateway (each request). Default: dns."),
    ] = None,
    watch: Annotated[
        bool,
        typer.Option("--watch", help="Ask both sides until Ctrl-C, and lead users away from one that fails."),
    ] = False,
    copy_every: Annotated[
        str, typer.Option("--copy-every", help="With --watch: copy newer data as often, such as 4h.", metavar="TIME")
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan; change nothing.")] = False,
    observe: Annotated[int, typer.Option("--observe", help="Watch DST this long, in seconds.", min=0)] = 30,
    replace_target_data: Annotated[
        bool, typer.Option("--replace-target-data", help="Delete objects at DST that SRC lacks.")
    ] = False,
    break_lock: BreakLock = False,
) -> None:
    """Run a workload in DST, too, and lead a share of its requests there. Again: another share, newer data."""
    from meshctl.migrate.planning.inputs import Options, Share, share_text, weight_of
    from meshctl.migrate.refusals import refuse_another_way

    context: Context = ctx.obj
    percent = _percent(share) if share else None
    if watch:
        again = f"`meshctl expand {source} {target} --workload {workload}"
        _refuse_watch(again, percent, dry_run=dry_run, break_lock=break_lock)
    copy_every_s = _copy_every_s(copy_every, watch=watch)
    options = Options(observe_s=observe, replace_target_data=replace_target_data)
    with opened_migrations(context, source, target, command="expand", break_lock=break_lock) as migrations:
        present = migrations.expansion_of(source, target, workload)
        if present is not None:
            refuse_another_way(present.history, by)
            weight = present.history.weights[-1] if percent is None else weight_of(percent)
            if watch:  # it gives the share, once both sides are known to be well
                if context.must_confirm:
                    wish = share_text(weight)
                    context.confirm(f"lead {wish} of {workload} to {target}, and all away from a side that fails?")
                _watch(context, migrations, present, weight, copy_every_s)
                return
            _expand_again(context, migrations, present, Share(workload=workload, weight=weight), dry_run=dry_run)
            return
        if percent is None or percent == 100:
            raise UsageError(
                f"{workload} is not expanded yet" if percent else "--share is missing",
                why="its first share must be above 0% and below 100%",
                hint=f"`meshctl expand {source} {target} --workload {workload} --share 40%`",
            )
        wanted = Share(workload=workload, weight=weight_of(percent), by=by or "dns")
        plan = migrations.plan_expansion(source, target, wanted, options)
        shown = _expand_first(context, migrations, plan, workload, dry_run=dry_run)
        if shown is not None and watch:
            _watch(context, migrations, shown, wanted.weight, copy_every_s)


def _refuse_watch(again: str, percent: float | None, *, dry_run: bool, break_lock: bool) -> None:
    """Raises: UsageError for what does not go with --watch. `again`: the beginning of the command."""
    if percent in (None, 100) or dry_run:
        raise UsageError(
            "--watch can't be used with --dry-run" if dry_run else "--watch needs the share while both sides are well",
            hint=f"{again} --share 40% --watch`",
        )
    if break_lock:
        raise UsageError(
            "--watch can't be used with --break-lock",
            why="it would break the lock of every other run for as long as it watches",
            hint=f"{again} --break-lock` first, then --watch alone",
        )


def _expand_first(
    context: Context, migrations: Migrations, plan: MigrationPlan, workload: str, *, dry_run: bool
) -> MigrationStatus | None:
    """The expansion as it is then; None where only its plan was asked for."""
    from meshctl.migrate.views import expansion as views

    if dry_run:
        show_document(context, views.expansion_document(plan), views.expansion_text(plan))
        return None
    if context.must_confirm:
        context.say(views.expansion_text(plan))
        context.confirm(f"run {workload} of {plan.source.mesh} in {plan.target.environment}, too?")
    shown = migrations.status(migrations.start(plan))
    show_end(context, shown)
    return shown


def _expand_again(
    context: Context, migrations: Migrations, present: MigrationStatus, share: Share, *, dry_run: bool
) -> None:
    """Another share, or with the same one only what is new in the stores."""
    from meshctl.migrate.views import expansion as views

    if dry_run:
        document = views.round_document(present.history, share.weight)
        show_document(context, document, views.round_text(present.history, share.weight))
        return
    plan = present.history.plan
    if context.must_confirm and share.weight == present.history.weights[-1]:
        context.confirm(f"copy what is new in {plan.source.environment} to {plan.target.environment}?")
    elif context.must_confirm:
        context.confirm(f"lead {share.text} of {share.workload} to {plan.target.environment}?")
    migrations.share_again(present.migration, share.weight)
    show_end(context, migrations.status(present.migration))


def _watch(context: Context, migrations: Migrations, present: MigrationStatus, weight: int, copy_every_s: int) -> None:
    from meshctl.migrate.watch import watch

    plan, share = present.history.plan, present.history.share
    if share is not None:
        wanted = share.model_copy(update={"weight": weight})
        both = (plan.source.environment, plan.target.environment)
        watch(migrations, *both, wanted, context.say, copy_every_s=copy_every_s)


def contract(
    ctx: typer.Context,
    keep_target: Annotated[
        bool, typer.Option("--keep-target", help="Pause the workload in DST instead of destroying it there.")
    ] = False,
    target_lost: Annotated[
        bool, typer.Option("--target-lost", help="Give up a DST that is gone; it is not used at all.")
    ] = False,
    break_lock: BreakLock = False,
) -> None:
    """Lead all requests of an expanded workload to SRC again, then remove it from DST. DST keeps its buckets."""
    context: Context = ctx.obj
    with opened_migrations(context, break_lock=break_lock) as migrations:
        present = migrations.expansion()
        if present is None:
            raise UsageError(
                "no workload of this mesh is expanded", hint="`meshctl expand SRC DST --workload NAME --share 40%`"
            )
        plan, share = present.history.plan, present.history.share
        workload = share.workload if share is not None else ""
        source, target = plan.source.environment, plan.target.environment
        destroy = not (keep_target or target_lost)
        if context.must_confirm:
            end = f", then destroy {target}" if destroy and present.history.target_is_ours else ""
            context.confirm(f"lead all requests of {workload} to {source}{end}?")
        migrations.rollback(present.migration, destroy_target=destroy, target_lost=target_lost)
        shown = migrations.status(present.migration)
    show_end(context, shown)


def _copy_every_s(text: str, *, watch: bool) -> int:
    """0 without the option. Raises: UsageError."""
    from meshctl.model.files import units

    if not text:
        return 0
    try:
        seconds = units.seconds(text)
    except ValueError as error:
        raise UsageError(f"--copy-every {text}: {error}", hint="write it like --copy-every 4h") from error
    if not watch or seconds < _LEAST_COPY_S:
        raise UsageError(
            f"--copy-every {text} is too often" if watch else "--copy-every can only be used with --watch",
            why="every command reads the journal, and each copy adds to it" if watch else "",
            hint=f"write at least --copy-every {units.seconds_text(_LEAST_COPY_S)}"
            if watch
            else "add --watch, or run `meshctl expand SRC DST --workload NAME` from a timer of your own",
        )
    return seconds


def _percent(text: str) -> float:
    """Raises: UsageError unless it is a number above 0, and at most 100."""
    try:
        percent = float(text.strip().removesuffix("%"))
    except ValueError:
        percent = 0.0
    if not 0 < percent <= 100:
        raise UsageError(
            f"--share {text} is no share",
            why="it must be above 0% and at most 100%",
            hint="write it like --share 40%; `meshctl migrate` moves the mesh, `meshctl contract` ends an expansion",
        )
    return percent
