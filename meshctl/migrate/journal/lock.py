"""One migration of a mesh at a time: a lock beside the state, taken by a create-only put. EDGE.

Taken by `migration` around everything that acts. Locks are numbered files, `migrations/<mesh>/locks/0003.json`: the one
that takes over a dead owner's lock creates the next number, which only one run can, and then removes the old one.
A lock of a process on another machine can't be judged from here: only `--break-lock` passes it. The same holds for a
lock that can't be read. A lock has no schema version: every version of meshctl must be able to tell who holds it, so
keys that this one does not know are ignored.
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
    """Who holds the lock. `started` (seconds since the epoch) tells a process from a later one of the same pid."""

    user: str
    host: str
    pid: int
    started: float
    since: str  # UTC, ISO 8601

    def __str__(self) -> str:
        return f"{self.user}@{self.host} pid {self.pid}"

    @property
    def is_dead(self) -> bool:
        """Known to be gone: only ever of a process on this host."""
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
    """The lock, held. `taken_over_from`: the owner whose lock was taken over, if any."""

    owner: Owner
    taken_over_from: Owner | None


@contextmanager
def locked(store: StateStore, mesh: str, *, break_lock: bool = False) -> Iterator[Lease]:
    """Hold the mesh's migration lock. Raises: LockedError naming its owner."""
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
        # two runs that listed at different moments may have created different numbers: both see it here, and give up
        other = next((path for path in store.paths(folder) if path not in (own, *old)), None)
        if other is not None:
            raise _locked(_owner(store, other) or owner)
        for path in old:
            store.delete(path)
        yield Lease(owner, previous)
    finally:
        store.delete(own)


def holder(store: StateStore, mesh: str) -> Owner | None:
    """Who took the mesh's migration lock last and did not give it back, alive or not."""
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
        f"a migration of this mesh is being worked on by {owner}",
        why=f"since {owner.since}",
        hint="wait for it; if it is gone for good, run again with --break-lock",
    )
