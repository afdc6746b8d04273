"""What an open migration forbids the other commands. EDGE: it reads the journal; `refuse` itself is pure.

Called by the CLI before `up` and `destroy` do anything. A migration owns both its environments: an `up` of the source
would start a second trainer on data that has moved on, and a `destroy` would take one of the two ways out away.
"""

from __future__ import annotations

from meshctl.errors import LockedError
from meshctl.migrate.history import History, read_history
from meshctl.migrate.journal import closed, migrations, open_journal
from meshctl.migrate.state_store import StateStore

_TARGET_RUNS = ("waiting", "finishing")  # the target is what serves, and is kept up to date like any environment


def open_migration(store: StateStore, mesh: str) -> tuple[str, History] | None:
    """The id and history of the migration that is neither finished nor rolled back; there is one at most."""
    for migration in reversed(migrations(store, mesh)):
        if not closed(store, mesh, migration):
            return migration, read_history(open_journal(store, mesh, migration, "").records)
    return None


def refuse(migration: str, history: History, environment: str, command: str) -> None:
    """`command`: up, restart or destroy. Raises: LockedError when a migration has the environment in its hands."""
    source, target = history.plan.source.environment, history.plan.target.environment
    if environment not in (source, target):
        return
    if command != "destroy" and environment == target and history.state in _TARGET_RUNS:
        return
    raise LockedError(
        f"{environment} is part of migration {migration} ({source} -> {target}), which is {history.state}",
        why=_why(command, environment, history),
        hint=_hint(migration, history),
    )


def _why(command: str, environment: str, history: History) -> str:
    if command == "destroy":
        return "it would take away what the migration goes on with, or goes back to"
    if environment == history.plan.source.environment and history.state in _TARGET_RUNS:
        return "its workloads are paused: started beside those of the target, both would write the same work"
    return "two runs would change it at once"


def _hint(migration: str, history: History) -> str:
    if history.state == "waiting":
        return f"`meshctl migrations finish {migration}` retires the source, `… rollback {migration}` goes back to it"
    if history.direction != "forward":
        return f"`meshctl migrations resume {migration}` brings it to its end"
    return f"`meshctl migrations resume {migration}` goes on, `… rollback {migration}` goes back"
