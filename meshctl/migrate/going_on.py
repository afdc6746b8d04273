"""A migration that goes on from an expansion: which one, and that both end together. EDGE: reads and ends journals.

Called by `migration`. The expansion's journal stays open while the migration runs, so that a migration that is given up
before it has changed anything leaves the expansion as it was.
"""

from __future__ import annotations

from typing import Final

from meshctl.engine.state_store import StateStore
from meshctl.errors import UsageError
from meshctl.migrate.journal.activity import MigrationStatus
from meshctl.migrate.journal.guard import open_migration
from meshctl.migrate.journal.history import History
from meshctl.migrate.journal.journal import closed, open_journal
from meshctl.migrate.planning.inputs import Expanded
from meshctl.migrate.planning.plan import MigrationPlan
from meshctl.migrate.refusals import refuse_second, refuse_unless_expanded

_WHY_IN_FORCE: Final = "a migration goes on from it once both environments serve"


def expansion_to_go_on_from(status: MigrationStatus | None, source: str, target: str) -> Expanded | None:
    """What is expanded from source to target, where `status`, the open migration, is an expansion in force.

    Raises: UsageError where something is expanded between other environments; MigrationError where the expansion has
    stopped half-way."""
    share = status.history.share if status is not None else None
    if status is None or share is None:
        return None
    plan = status.history.plan
    present = (plan.source.environment, plan.target.environment)
    if present != (source, target):
        raise UsageError(
            f"{share.workload} is expanded from {present[0]} to {present[1]}",
            why=f"its users are sent to both, and a migration from {source} to {target} would send them all to one",
            hint=f"`meshctl contract` sends all to {present[0]} again; `meshctl migrate {present[0]} {present[1]}`"
            " moves the rest of the mesh to where it is expanded",
        )
    if share.by == "gateway":
        raise UsageError(
            f"{share.workload} is expanded by the gateway of {source}: a migration can't continue such an expansion",
            why=f"the gateway would send a share to {target} during the cutover, and again after a rollback",
            hint="run `meshctl contract`, then migrate; a migration can only continue an expansion that shares by DNS,"
            " made without --by gateway",
        )
    refuse_unless_expanded(status.migration, status.history, _WHY_IN_FORCE)
    workloads = (share.workload, *sorted(plan.workloads - {share.workload}))
    return Expanded(
        migration=status.migration, workloads=workloads, endpoints=tuple(each.name for each in plan.endpoints)
    )


def refuse_other_open(status: MigrationStatus | None, plan: MigrationPlan) -> None:
    """Raises: UsageError unless the open migration is the expansion that the plan goes on from, or there is none."""
    going_on = plan.expanded.migration if plan.expanded is not None else ""
    if status is not None and status.migration != going_on:
        refuse_second(plan.source.mesh, status.migration, status.history)
    if status is None and going_on:
        raise UsageError(
            f"expansion {going_on} is no longer in force",
            why="it has ended since the migration was planned",
            hint="run the command again: it makes a new plan",
        )
    if status is not None:
        refuse_unless_expanded(status.migration, status.history, _WHY_IN_FORCE)


def end_expansion(store: StateStore, mesh: str, history: History, outcome: str, owner: str, at: float) -> None:
    """Close the journal of the expansion before that of the migration which went on from it."""
    expanded = history.plan.expanded
    if expanded is None or not history.ends_expansion or closed(store, mesh, expanded.migration):
        return
    open_journal(store, mesh, expanded.migration, owner).add("migration", "closed", at, {"outcome": outcome})


def refuse_if_gone_on(store: StateStore, mesh: str, migration: str) -> None:
    """Raises: UsageError for an expansion that an open migration goes on from: its steps belong to that one now."""
    newest = open_migration(store, mesh)
    expanded = newest.history.plan.expanded if newest is not None else None
    if newest is not None and expanded is not None and expanded.migration == migration:
        raise UsageError(
            f"expansion {migration} goes on as migration {newest.migration}",
            hint=f"`meshctl migrations show {newest.migration}` shows how far it is, and what is possible next",
        )
