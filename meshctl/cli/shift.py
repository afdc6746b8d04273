"""`meshctl shift`: nodes of one pool for another pool, and back. No logic: see `shift.shifts`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from meshctl.cli.context import Context
from meshctl.cli.options import BreakLock
from meshctl.errors import UsageError

if TYPE_CHECKING:
    from meshctl.project import Project
    from meshctl.shift.history import History
    from meshctl.shift.in_force import ShiftStatus
    from meshctl.shift.planning.plan import Request
    from meshctl.shift.shifts import Shifts


def shift(
    ctx: typer.Context,
    environment: Annotated[
        str,
        typer.Argument(
            help="The environment whose nodes are shifted; without it, the only one that is up.", metavar="ENV"
        ),
    ] = "",
    giving: Annotated[str, typer.Option("--from", help="The pool that gives nodes.", metavar="POOL")] = "",
    taking: Annotated[str, typer.Option("--to", help="The pool that gets them.", metavar="POOL")] = "",
    nodes: Annotated[int, typer.Option("--nodes", help="How many nodes.", metavar="N")] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan; change nothing.")] = False,
    until: Annotated[
        str,
        typer.Option(
            "--until",
            help="When the nodes go back: 18:00, or 2026-12-01T18:00. The first `up` or `shift` after it does it.",
            metavar="TIME",
        ),
    ] = "",
    undo: Annotated[bool, typer.Option("--undo", help="Give the nodes of the last shift back.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a shift that stopped.")] = False,
    timeout: Annotated[
        str, typer.Option("--timeout", help="How long the nodes may take to become empty: 90s, 20m.", metavar="TIME")
    ] = "",
    break_lock: BreakLock = False,
) -> None:
    """Let nodes of one pool work for another pool of the same hardware, and give them back with --undo."""
    from meshctl.shift import views  # with all below: Pulumi, too slow for `meshctl --help`
    from meshctl.shift.planning.plan import Request

    context: Context = ctx.obj
    _refuse_combinations(giving, taking, nodes, undo=undo, resume=resume, dry_run=dry_run, until=until)
    with opened_shifts(context, environment, break_lock=break_lock) as shifts:
        if undo or resume:
            _show_end(context, shifts.undo(_seconds(timeout)) if undo else shifts.resume(_seconds(timeout)))
            return
        request = Request(giving, taking, nodes, _seconds(timeout), _time(until))
        if not dry_run:
            return_due(context, shifts)
            if _is_under_way(shifts, request):
                _show_end(context, shifts.resume(request.timeout_s))
                return
        plan = shifts.plan(request)
        if dry_run:
            _show(context, views.plan_document(plan), views.plan_text(plan))
            return
        context.say(views.plan_text(plan))
        if context.must_confirm:
            context.confirm(f"shift {', '.join(plan.nodes)} of {plan.environment} from {giving} to {taking}?")
        _show_end(context, shifts.start(plan))


def _refuse_combinations(
    giving: str, taking: str, nodes: int, *, undo: bool, resume: bool, dry_run: bool, until: str
) -> None:
    """Raises: UsageError."""
    if undo and resume:
        raise UsageError(
            "--undo and --resume can't be combined", hint="--resume also goes on with an undo that stopped"
        )
    if undo or resume:
        option = "--undo" if undo else "--resume"
        if giving or taking or nodes or dry_run or until:
            raise UsageError(
                f"{option} takes no other option of a shift",
                why="the shift's journal says which nodes and pools it is about",
                hint=f"repeat the command with ENV and {option} alone, or with --timeout",
            )
    elif not (giving and taking and nodes):
        raise UsageError(
            "a shift needs --from, --to and --nodes",
            hint="`meshctl shift ENV --from POOL --to POOL --nodes N`; `meshctl shift ENV --undo` gives them back",
        )


def _is_under_way(shifts: Shifts, request: Request) -> bool:
    """Whether the shift that is under way is the one that is asked for: the same command goes on with it. Another one
    is refused by `Shifts.plan`."""
    status = shifts.under_way()
    if status is None or status.history.direction != "forward":
        return False
    plan = status.history.plan
    return (plan.giving, plan.taking, len(plan.nodes)) == (request.giving, request.taking, request.nodes)


def return_due_of(context: Context, mesh: Project, environment: str, *, break_lock: bool) -> None:
    """As `return_due`, for a command that has another purpose: it asks the cluster only where a shift is due, and goes
    on where pods have no room without the nodes, since it may be the one that lowers their number."""
    import time

    from meshctl.shift import in_force

    now = time.time()
    if not any(0 < status.history.plan.until_s <= now for status in in_force.open_shifts_of(mesh, environment)):
        return
    shifts = shifts_of(context, mesh, environment, break_lock=break_lock)
    for status in shifts.due():
        hindrance = shifts.hindrance()  # asked anew: the shift before may have left no room for this one
        if hindrance is not None:
            reason = f"{hindrance.what} ({hindrance.why})"
            context.say(f"{environment}: the time of a shift is over, and its nodes can't go back yet: {reason}")
            context.say(f"hint: {hindrance.hint}")
            return
        _undo_due(context, shifts, status)


def return_due(context: Context, shifts: Shifts) -> None:
    """Undo the shifts whose `--until` is over. Raises: as `Shifts.undo`, and as `Shifts.resume`."""
    for status in shifts.due():
        _undo_due(context, shifts, status)


def _undo_due(context: Context, shifts: Shifts, status: ShiftStatus) -> None:
    plan = status.history.plan
    context.say(f"{plan.environment}: the time of the shift from {plan.giving} to {plan.taking} is over")
    shifts.undo()


@contextmanager
def opened_shifts(context: Context, environment: str, *, break_lock: bool = False) -> Iterator[Shifts]:
    """The shifts of an environment that is up; while the block runs, Ctrl-C stops at the next safe point.
    `environment`: "" for the only one.

    Raises: UsageError where nothing is up, or environments.yaml lacks the environment; as `the_only_one`.
    """
    from meshctl.cli.opened import opened

    with opened(context, "shift", break_lock=break_lock) as mesh:
        yield shifts_of(context, mesh, environment or the_only_one(mesh), break_lock=break_lock)


def the_only_one(mesh: Project) -> str:
    """The environment that is defined, if no other is, or that is up, if no other is. Raises: UsageError."""
    names = list(mesh.environments.environments)
    if len(names) == 1:
        return names[0]
    up = [name for name in names if mesh.session.state(name).deployment is not None]
    if len(up) == 1:
        return up[0]
    raise UsageError(
        "a shift needs the environment whose nodes it is about",
        why=f"{', '.join(up)} are up" if up else f"none of {', '.join(names)} is up",
        hint=f"`meshctl shift ENV …`, with one of {', '.join(up or names)}",
    )


def shifts_of(context: Context, mesh: Project, environment: str, *, break_lock: bool = False) -> Shifts:
    """As `opened_shifts`, of a project that is open."""
    from meshctl.clients.kubernetes import clusters
    from meshctl.deploy.guards import cluster_identity
    from meshctl.engine.state_store import open_state_store
    from meshctl.migrate.progress import progress_text
    from meshctl.shift.cluster_gateway import ClusterGateway
    from meshctl.shift.shifts import Shifts

    name = mesh.checked_name(environment)
    state = mesh.session.state(name)
    if state.deployment is None:
        raise UsageError(f"nothing is up in {name}", hint=f"`meshctl up {name}` brings it up")
    access = clusters.access(state.deployment, state.outputs)
    cluster_identity.check_cluster_unchanged(access)
    gateway = ClusterGateway(access, state.deployment, lambda: str(mesh.running(name) or ""))
    store = open_state_store(mesh.environments.state.backend, context.folder)
    shifts = Shifts(
        state.deployment, gateway, store, lambda event: context.say(progress_text(event)), break_lock=break_lock
    )
    mesh.on_stop.append(shifts.stop.request)
    return shifts


def _seconds(timeout: str) -> int:
    from meshctl.cli.up import seconds_of

    return seconds_of(timeout)


def _time(until: str) -> float:
    """`18:00` of today, or a date and time, both as this machine's clock has them. Raises: UsageError."""
    from datetime import datetime, timedelta

    if not until:
        return 0
    try:
        if "T" in until or "-" in until:
            return datetime.fromisoformat(until).timestamp()
        at = datetime.strptime(until, "%H:%M").time()
        now = datetime.now().astimezone()
        if at <= now.time():
            tomorrow = datetime.combine(now.date() + timedelta(days=1), at)
            raise UsageError(
                f"--until {until} is in the past: a time alone is one of today, and it is {now:%H:%M} here",
                hint=f"for tomorrow: --until {tomorrow:%Y-%m-%dT%H:%M}; or leave it out, and use --undo",
            )
        return datetime.combine(now.date(), at).timestamp()
    except ValueError as error:
        raise UsageError(f"--until {until}: {error}", hint="write it as --until 18:00 or 2026-12-01T18:00") from error


def _show_end(context: Context, history: History) -> None:
    from meshctl.shift import views

    _show(context, views.end_document(history), views.end_text(history))


def _show(context: Context, document: dict[str, object], text: str) -> None:
    if context.output == "json":
        context.print_json(document)
    else:
        context.print(text)
