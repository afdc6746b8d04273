"""The shifts of a mesh that are under way or in force, and what other commands make of them. EDGE: reads journals.

Called by the CLI: before `up`, `destroy`, `restart` and `migrate` do anything, and for what `status` and `plan` show.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import NamedTuple

from meshctl.engine.state_store import StateStore
from meshctl.errors import LockedError
from meshctl.migrate.journal.activity import Activity, activity_of
from meshctl.migrate.journal.journal import closed, migrations, open_journal
from meshctl.migrate.journal.lock import lease_holder
from meshctl.model.deployment import POOL_LABEL
from meshctl.model.observed import OpenShift, ShiftedNode, ShiftsInForce
from meshctl.project import Project
from meshctl.shift import views
from meshctl.shift.history import SHIFT, History, read_history


class ShiftStatus(NamedTuple):
    """A shift with its history and whether a run works on it now."""

    shift: str
    history: History
    activity: Activity


def open_shifts(store: StateStore, mesh: str, environment: str = "") -> list[ShiftStatus]:
    """Those that are neither undone nor ended with their environment, oldest first: of one environment, or of all.

    Raises: NewerVersionError, UnreadableError.
    """
    statuses = []
    for shift in migrations(store, mesh, SHIFT):
        if closed(store, mesh, shift, SHIFT):
            continue
        history = read_history(open_journal(store, mesh, shift, "", SHIFT).records)
        if environment in ("", history.plan.environment):
            statuses.append(ShiftStatus(shift, history, activity_of(lease_holder(store, mesh))))
    return statuses


def open_shifts_of(project: Project, environment: str) -> list[ShiftStatus]:
    """As `open_shifts`; none where the state keeps no journals. Raises: NewerVersionError, UnreadableError."""
    store = project.state_store
    return open_shifts(store, project.mesh.name, environment) if store is not None else []


def of_project(project: Project, environment: str) -> ShiftsInForce:
    """For what resolves and shows the environment. Raises: NewerVersionError, UnreadableError."""
    shifts = open_shifts_of(project, environment)
    notes = views.status_lines([(status.history, state_text(status)) for status in shifts], time.time())
    parts = tuple(_open_shift(status) for status in shifts)
    return ShiftsInForce(shifted_nodes(shifts), waiting_gangs(shifts), gang_sizes(shifts), tuple(notes), parts)


def _open_shift(status: ShiftStatus) -> OpenShift:
    plan = status.history.plan
    resized = tuple((each.workload, each.before, each.nodes) for each in plan.resized)
    until = views.timestamp(plan.until_s) or ""
    state = status.history.state
    return OpenShift(status.shift, plan.giving, plan.taking, plan.nodes, state, until, plan.waiting, resized)


def shifted_nodes(shifts: Iterable[ShiftStatus]) -> dict[str, ShiftedNode]:
    """The nodes whose labels shifts have changed, by name. `shifts`: of one environment, oldest first."""
    nodes: dict[str, ShiftedNode] = {}
    for status in shifts:
        history = status.history
        for name, before in history.originals.items() if history.changes_nodes else ():
            home = nodes[name].home if name in nodes else before.labels.get(POOL_LABEL) or history.plan.giving
            nodes[name] = ShiftedNode(name=name, home=home, pool=history.plan.taking)
    return nodes


def waiting_gangs(shifts: Iterable[ShiftStatus]) -> frozenset[str]:
    """The jobs that shifts have stopped until their nodes are back."""
    return frozenset(name for history in _with_stopped_gangs(shifts) for name in history.plan.waiting)


def gang_sizes(shifts: Iterable[ShiftStatus]) -> dict[str, int]:
    """The gangs that shifts have made smaller, with their number of nodes. `shifts`: oldest first, since a newer one
    may have taken more."""
    return {each.workload: each.nodes for history in _with_stopped_gangs(shifts) for each in history.plan.resized}


def _with_stopped_gangs(shifts: Iterable[ShiftStatus]) -> list[History]:
    histories = (status.history for status in shifts)
    return [each for each in histories if "checkpoint" in each.intents | each.done and not each.outcome]


def refuse_while_under_way(shifts: Iterable[ShiftStatus], command: str) -> None:
    """`command`: up, destroy, restart or migrate. Raises: LockedError."""
    for status in shifts:
        if status.history.is_under_way:
            raise LockedError(
                f"{status.history.plan.environment} is part of a shift of nodes ({words(status)})",
                why=f"a node between two pools belongs to neither: `{command}` would work against the shift",
                hint=next_text(status),
            )


def refuse_in_force(shifts: Iterable[ShiftStatus], command: str, why: str) -> None:
    """Raises: LockedError also for a shift that is complete. `why`: it can't be kept by the command."""
    statuses = list(shifts)
    refuse_while_under_way(statuses, command)
    for status in statuses:
        environment = status.history.plan.environment
        raise LockedError(
            f"nodes of {environment} are shifted ({words(status)})",
            why=why,
            hint=f"`meshctl shift {environment} --undo` gives the nodes back first",
        )


def words(status: ShiftStatus) -> str:
    """`g2 from train to serve, in force`."""
    plan = status.history.plan
    return f"{', '.join(plan.nodes)} from {plan.giving} to {plan.taking}, {state_text(status)}"


def state_text(status: ShiftStatus) -> str:
    state, activity = status.history.state, status.activity
    if state == "in-force":
        return "in force"
    running = "undoing" if state == "undoing" else "under way"
    if activity.owner is None:
        failure = f": {status.history.failure}" if status.history.failure else ""
        return f"{'undo stopped' if state == 'undoing' else 'stopped'}{failure}"
    place = "" if activity.is_here else f" on {activity.owner.host}"
    return f"{running}{place} (pid {activity.owner.pid}, since {activity.owner.since})"


def next_text(status: ShiftStatus) -> str:
    """The commands that are possible next, for a hint."""
    environment, activity = status.history.plan.environment, status.activity
    if activity.active:
        return "wait until that run has ended"
    force = "" if activity.owner is None else " --break-lock"
    resume = f"`meshctl shift {environment} --resume{force}` goes on"
    undo = f"`meshctl shift {environment} --undo{force}` gives the nodes back"
    return resume if status.history.state == "undoing" else f"{resume}, {undo}"
