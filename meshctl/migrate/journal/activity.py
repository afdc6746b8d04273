"""Whether anyone works on a migration now, and the commands that go on with it. PURE but for the look at a process.

The journal alone can't tell: a killed run leaves it as a running one has it. The lock names the process that holds it.
Used by `guard`, `migration` and `views`, which say it to a person.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Any, NamedTuple

from meshctl.errors import NewerVersionError, UnreadableError
from meshctl.migrate.journal.history import History
from meshctl.migrate.journal.lock import Owner

_STOPPED = {"running": "stopped", "rolling-back": "rollback stopped", "finishing": "finish stopped"}


@dataclass(frozen=True)
class Activity:
    """`owner` is None when nobody works on it. `is_here`: the owner is a process of this host, and lives; of a process
    on another host only the lock is known.
    """

    owner: Owner | None = None
    is_here: bool = True

    @property
    def active(self) -> bool | None:
        """None where it can't be told from here."""
        return False if self.owner is None else True if self.is_here else None

    def document(self) -> dict[str, Any]:
        """`active` and `worked_on_by`, for JSON."""
        owner = self.owner
        by = None if owner is None else {"user": owner.user, "host": owner.host, "pid": owner.pid, "since": owner.since}
        return {"active": self.active, "worked_on_by": by}


class MigrationStatus(NamedTuple):
    """A migration with all that can be said of it now."""

    migration: str
    history: History
    activity: Activity


class UnreadableMigration(NamedTuple):
    """A migration whose journal can't be read."""

    migration: str
    error: NewerVersionError | UnreadableError

    @property
    def text(self) -> str:
        return f"{self.error.what}: {self.error.why}; {self.error.hint}"


def activity_of(owner: Owner | None) -> Activity:
    """`owner`: who took the lock last, if anyone has."""
    if owner is None or owner.is_dead:
        return Activity()
    return Activity(owner, is_here=owner.host == socket.gethostname())


def state_text(history: History, activity: Activity) -> str:
    """How far it is, and whether anyone goes on with it at this moment."""
    owner, state = activity.owner, history.state
    if history.outcome:
        return state
    if owner is None:
        return _STOPPED.get(state, state)
    if activity.is_here:
        return f"{state} (pid {owner.pid}, since {owner.since})"
    return f"{state} on {owner.host} (pid {owner.pid}, since {owner.since}), as far as the lock says"


def next_commands(migration: str, history: History, activity: Activity) -> list[tuple[str, str]]:
    """What can be given now, and what each does; nothing while a process of this host works on it."""
    if history.outcome or activity.active:
        return []
    force = "" if activity.owner is None else " --break-lock"
    source = history.plan.source.environment
    resume = (f"meshctl migrations resume {migration}{force}", "goes on")
    back = (
        [] if history.source_lost else [(f"meshctl migrations rollback {migration}{force}", f"goes back to {source}")]
    )
    if history.state == "waiting":
        retires = "ends it" if history.source_lost else f"retires {source}"
        return [(f"meshctl migrations finish {migration}{force}", retires), *back]
    if history.direction == "rollback" or history.began("finish/source"):
        return [(resume[0], "brings it to its end")]
    return [resume, *back]


def next_text(migration: str, history: History, activity: Activity) -> str:
    """The same as one sentence, for a hint; "" where there is nothing to give."""
    said = ", ".join(f"`{command}` {what}" for command, what in next_commands(migration, history, activity))
    if said and activity.owner is not None:
        return f"once that run is gone for good: {said}"
    return said
