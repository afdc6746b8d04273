"""What an open migration forbids the other commands. EDGE: it reads the journal; `refuse` itself is pure.

Called by the CLI before `up` and `destroy` do anything. A migration owns both its environments: an `up` of the source
would start a second trainer on data that has moved on, and a `destroy` would take one of the two ways out away.
"""

from __future__ import annotations

from typing import Literal

from meshctl.engine.state_store import StateStore
from meshctl.errors import LockedError, NewerVersionError, UnreadableError
from meshctl.migrate.journal.activity import (
    Activity,
    MigrationStatus,
    UnreadableMigration,
    activity_of,
    next_text,
    state_text,
)
from meshctl.migrate.journal.history import History, read_history
from meshctl.migrate.journal.journal import closed, migrations, open_journal
from meshctl.migrate.journal.lock import holder
from meshctl.project import Project

_TARGET_RUNS = ("waiting", "finishing")  # the target is what serves, and is kept up to date like any environment


def open_migration(store: StateStore, mesh: str) -> MigrationStatus | None:
    """The migration that is neither finished nor rolled back; there is one at most.

    Raises: NewerVersionError, UnreadableError.
    """
    seen = latest_open_migration(store, mesh)
    if isinstance(seen, UnreadableMigration):
        raise seen.error
    return seen


def latest_open_migration(store: StateStore, mesh: str) -> MigrationStatus | UnreadableMigration | None:
    """As `open_migration`, for who only shows it: a journal that can't be read is no error."""
    for migration in reversed(migrations(store, mesh)):
        try:
            if not closed(store, mesh, migration):
                history = read_history(open_journal(store, mesh, migration, "").records)
                return MigrationStatus(migration, history, activity_of(holder(store, mesh)))
        except (NewerVersionError, UnreadableError) as error:
            return UnreadableMigration(migration, error)
    return None


def latest_open_migration_of(project: Project) -> MigrationStatus | UnreadableMigration | None:
    """As `latest_open_migration`, of the project's mesh."""
    store = project.state_store
    return latest_open_migration(store, project.mesh.name) if store is not None else None


def open_migration_of(project: Project) -> MigrationStatus | None:
    """The mesh's migration that is neither finished nor rolled back. Raises: NewerVersionError, UnreadableError."""
    store = project.state_store
    return open_migration(store, project.mesh.name) if store is not None else None


def refuse_if_migrating(project: Project, environment: str, command: Literal["up", "destroy", "restart"]) -> None:
    """Raises: LockedError when an open migration has the environment in its hands."""
    seen = open_migration_of(project)
    if seen is not None:
        refuse(*seen, environment, command)


def refuse(migration: str, history: History, activity: Activity, environment: str, command: str) -> None:
    """`command`: up, restart or destroy. Raises: LockedError when a migration has the environment in its hands."""
    source, target = history.plan.source.environment, history.plan.target.environment
    if environment not in (source, target):
        return
    if command != "destroy" and environment == target and history.state in _TARGET_RUNS:
        return
    raise LockedError(
        f"{environment} is part of migration {migration} ({source} -> {target}): {state_text(history, activity)}",
        why=_why(command, environment, history, activity),
        hint=next_text(migration, history, activity) or "wait for it",
    )


def _why(command: str, environment: str, history: History, activity: Activity) -> str:
    if command == "destroy":
        return "it would take away what the migration goes on with, or goes back to"
    if environment == history.plan.source.environment and history.state in _TARGET_RUNS:
        return "its workloads are paused: started beside those of the target, both would write the same work"
    if activity.active is False:
        return "it is half moved: an `up` would start again what was stopped for the move"
    return "two runs would change it at once"
