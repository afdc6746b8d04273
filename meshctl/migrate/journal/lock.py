"""The lock that lets only one run at a time work on the migrations and shifts of a mesh. EDGE.

Held by `migration`, and by `meshctl.shift.shifts`, around everything that changes something. Locks are numbered files
beside the state, `migrations/<mesh>/locks/0003.json`. A run that takes over the lock of a dead process creates the file
with the next number, which only one run can do, and then deletes the old file. Whether a process on another machine is
alive can't be checked, so its lock is only replaced with `--break-lock`; so is a lock that can't be read. A lock has no
schema version: every version of meshctl must be able to tell who holds it, so unknown keys are ignored.
"""

from __future__ import annotations

import getpass
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Final

import psutil
from pydantic import TypeAdapter, ValidationError

from meshctl.engine.state_store import StateStore
from meshctl.errors import LockedError, UnreadableError


@dataclass(frozen=True)
class Owner:
    """The process that holds the lock. `started` (seconds since the epoch) tells apart processes with the same pid."""

    user: str
    host: str
    pid: int
    started: float
    since: str  # UTC, ISO 8601

    def __str__(self) -> str:
        return f"{self.user}@{self.host} pid {self.pid}"

    @property
    def is_dead(self) -> bool:
        """Whether the process is known to be gone; always False for a process on another host."""
        if self.host != socket.gethostname():
            return False
        try:
            process = psutil.Process(self.pid)
            return abs(process.create_time() - self.started) > 2 or process.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True


_ADAPTER: Final = TypeAdapter(Owner)
_UNREADABLE: Final = Owner("an unknown user (the lock can't be read)", "an unknown host", 0, 0.0, "an unknown time")


def this_process() -> Owner:
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    started = psutil.Process().create_time()
    return Owner(_user(), socket.gethostname(), os.getpid(), started, since)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # OSError from Python 3.13 on: a user of a container that /etc/passwd doesn't know
        return f"uid {os.getuid()}"


@dataclass(frozen=True)
class Lease:
    """The lock while this run holds it. `taken_over_from`: the previous owner, if its lock was taken over."""

    owner: Owner
    taken_over_from: Owner | None


@contextmanager
def locked(store: StateStore, mesh: str, *, break_lock: bool = False) -> Iterator[Lease]:
    """Hold the mesh's migration lock. Raises: LockedError that names the owner."""
    folder = f"migrations/{mesh}/locks"
    old = store.paths(folder)
    previous = _owner(store, old[-1]) if old else None
    if previous is not None and not previous.is_dead and not break_lock:
        raise _locked(previous)
    owner = this_process()
    names = [path.rpartition("/")[2].removesuffix(".json") for path in old]
    number = max((int(name) for name in names if name.isdecimal()), default=-1) + 1
    own = f"{folder}/{number:04d}.json"
    if not store.create(own, json.dumps(asdict(owner))):
        raise _locked(_owner(store, own) or owner)
    try:
        # two runs that listed the locks at different moments may both have created one, with different numbers:
        # each sees the other's here and gives up
        other = next((path for path in store.paths(folder) if path not in (own, *old)), None)
        if other is not None:
            raise _locked(_owner(store, other) or owner)
        for path in old:
            store.delete(path)
        yield Lease(owner, previous)
    finally:
        store.delete(own)


def lease_holder(store: StateStore, mesh: str) -> Owner | None:
    """The owner of the mesh's migration lock, whether its process is alive or not; None if there is no lock."""
    paths = store.paths(f"migrations/{mesh}/locks")
    return _owner(store, paths[-1]) if paths else None


def _owner(store: StateStore, path: str) -> Owner | None:
    try:
        text = store.read(path)
        return _ADAPTER.validate_json(text) if text is not None else None
    except (ValidationError, UnreadableError):
        return _UNREADABLE


def _locked(owner: Owner) -> LockedError:
    return LockedError(
        f"another run works on a migration or a shift of this mesh: {owner}",
        why=f"since {owner.since}",
        hint="wait until it has ended; if it is gone for good, repeat the command with --break-lock",
    )
