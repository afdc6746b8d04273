"""Who is changing a stack at the moment, according to the lock next to its state. EDGE (reads the process table).

Used by `project` for `status`, if the state is in a folder or a bucket. Pulumi puts a lock there while a run lasts
(`backend/diy/lock.go`): a JSON file with process id, user, host and time. A killed run leaves it behind.
"""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass

import psutil

from meshctl.engine import running_engines


@dataclass(frozen=True)
class Holder:
    """`since` is a time in ISO format; `pid` that of the engine."""

    user: str
    host: str
    pid: int
    since: str

    def __str__(self) -> str:
        return f"an `up` or `destroy` by {self.user} on {self.host} (pid {self.pid}) is running since {self.since}"


def folder_of(mesh: str, stack: str) -> str:
    """The folder of a stack's locks, below the folder of the state."""
    return f".pulumi/locks/organization/{mesh}/{stack}/"


def holder(text: str | None) -> Holder | None:
    """Who holds the lock; None when there is no lock, or it belongs to a process of this machine that has ended."""
    try:
        lock = json.loads(text or "")
        since = str(lock["timestamp"]).partition(".")[0]
        owner = Holder(str(lock["username"]), str(lock["hostname"]), int(lock["pid"]), since)
    except (ValueError, KeyError, TypeError):  # the file is being written, or has just been removed
        return None
    is_gone = owner.host == socket.gethostname() and not _is_engine(owner.pid)
    return None if is_gone else owner


def _is_engine(pid: int) -> bool:
    """Whether a pulumi program with this id is running; the id may belong to another process by now."""
    try:
        return running_engines.running_engine(pid) is not None
    except psutil.Error:
        return False
