"""Whether a run works on a migration now, and which commands are possible next. PURE but for the look at a process.

The journal can't tell a killed run from one that still works. The lock can, because it names the process that holds it.
Used by `guard`, `migration` and `views`, which show it to users.
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
    """`owner` is None when no run works on the migration. `is_here`: the owner is a living process of this host. Of a
    process on another host only the lock is known.
    """

    owner: Owner | None = None
    is_here: bool = True

    @property
    def active(self) -> bool | None:
        """None if the owner is on another host, where this process can't check."""
        return False if self.owner is None else True if self.is_here else None

    def document(self) -> dict[str, Any]:
        """`active` and `worked_on_by`, for JSON."""
        owner = self.owner
        by = None if owner is None else {"user": owner.user, "host": owner.host, "pid": owner.pid, "since": owner.since}
        return {"active": self.active, "worked_on_by": by}


class MigrationStatus(NamedTuple):
    """A migration with its history and whether a run works on it now."""

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
    """`owner` is the owner of the newest lock, if there is one."""
    if owner is None or owner.is_dead:
        return Activity()
    return Activity(owner, is_here=owner.host == socket.gethostname())


def state_text(history: History, activity: Activity) -> str:
    """The state of the migration, and whether a run works on it now."""
    owner, state = activity.owner, history.state
    if history.outcome:
        return state
    if history.share is not None and state == "waiting":
        what = f"{history.share.text} of {history.share.workload}"
        state = f"expanded, {what}"
        if history.round_is_open:
            state = f"expanded; the change to {what} {'has stopped' if owner is None else 'is under way'}"
    if owner is None:
        return _STOPPED.get(state, state)
    if activity.is_here:
        return f"{state} (pid {owner.pid}, since {owner.since})"
    return f"{state} on {owner.host} (pid {owner.pid}, since {owner.since}), according to the lock"


def next_commands(migration: str, history: History, activity: Activity) -> list[tuple[str, str]]:
    """The commands that are possible now, each with its effect; none while a process of this host works on it."""
    if history.outcome or activity.active:
        return []
    force = "" if activity.owner is None else " --break-lock"
    source = history.plan.source.environment
    resume = (f"meshctl migrations resume {migration}{force}", "goes on")
    back = (
        [] if history.source_lost else [(f"meshctl migrations rollback {migration}{force}", f"goes back to {source}")]
    )
    if history.share is not None and history.state == "waiting":
        target, workload = history.plan.target.environment, history.share.workload
        again = f"meshctl expand {source} {target} --workload {workload}"
        open_round = [resume] if history.round_is_open else []
        copy = [(f"{again}{force}", f"copies what is new in {source}")] if history.plan.moves else []
        return [
            *open_round,
            (f"{again} --share PERCENT{force}", "changes the share"),
            *copy,
            (f"meshctl migrate {source} {target}{force}", "moves the whole mesh there"),
            (f"meshctl contract{force}", f"leads all to {source} again"),
        ]
    if history.state == "waiting":
        effect = "ends it" if history.source_lost else f"destroys {source}"
        return [(f"meshctl migrations finish {migration}{force}", effect), *back]
    if history.direction == "rollback" or history.began("finish/source"):
        return [(resume[0], "completes it")]
    return [resume, *back]


def next_text(migration: str, history: History, activity: Activity) -> str:
    """The same as one sentence, for a hint; "" if no command is possible."""
    commands = ", ".join(f"`{command}` {effect}" for command, effect in next_commands(migration, history, activity))
    if commands and activity.owner is not None:
        return f"if that run is gone for good: {commands}"
    return commands
