"""Records are only added to a journal, by one run at a time; the lock has one live owner."""

from __future__ import annotations

import json
import os
import pwd
import socket
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from meshctl.engine.state_store import StateStore, open_state_store
from meshctl.errors import LockedError, UsageError
from meshctl.migrate.journal import lock
from meshctl.migrate.journal.journal import migrations, open_journal


@pytest.fixture
def store(tmp_path: Path) -> StateStore:
    return open_state_store("file://./.meshctl/state", tmp_path)


def leave_lock(store: StateStore, owner: lock.Owner, number: int = 0) -> None:
    assert store.create(f"migrations/demo/locks/{number:04d}.json", json.dumps(asdict(owner)))


def ended_process() -> lock.Owner:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait(timeout=30)
    return replace(lock.this_process(), pid=process.pid, started=1.0)


def test_records_are_numbered_and_read_back(store: StateStore) -> None:
    journal = open_journal(store, "demo", "m1", "me")
    journal.add("seed/weights", "intent", 1.0)
    journal.add("seed/weights", "done", 2.0, {"objects": 3})
    read = open_journal(store, "demo", "m1", "you")
    assert read.records == journal.records
    assert [record.number for record in read.records] == [0, 1]
    assert migrations(store, "demo") == ["m1"]
    assert store.paths("migrations/demo/m1") == [
        "migrations/demo/m1/0000-seed.weights-intent.json",
        "migrations/demo/m1/0001-seed.weights-done.json",
    ]


def test_a_run_that_was_overtaken_can_write_no_more(store: StateStore) -> None:
    old = open_journal(store, "demo", "m1", "old")
    old.add("a", "intent", 1.0)
    open_journal(store, "demo", "m1", "new").add("b", "intent", 2.0)
    with pytest.raises(LockedError):
        old.add("a", "done", 3.0)
    assert len(store.paths("migrations/demo/m1")) == 2


def test_a_record_whose_write_was_answered_twice_is_one_s_own(
    store: StateStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer to the first write is lost. The client writes again and finds its own record."""
    create = StateStore.create
    monkeypatch.setattr(StateStore, "create", lambda *call: create(*call) and create(*call))
    journal = open_journal(store, "demo", "m1", "me")
    assert journal.add("a", "intent", 1.0) == open_journal(store, "demo", "m1", "me").records[0]


def test_records_reach_the_disk_before_add_returns(store: StateStore, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_ino)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    open_journal(store, "demo", "m1", "me").add("a", "intent", 1.0)
    assert store.folder is not None
    file = store.folder / "migrations/demo/m1/0000-a-intent.json"
    assert {file.stat().st_ino, file.parent.stat().st_ino, store.folder.stat().st_ino} <= set(synced)


def test_the_lock_is_held_once_and_says_by_whom(store: StateStore) -> None:
    with lock.locked(store, "demo") as lease:
        assert lease.taken_over_from is None
        with pytest.raises(LockedError) as error, lock.locked(store, "demo"):
            pass
        assert f"pid {os.getpid()}" in error.value.what
        assert error.value.why.startswith("since 20")
        assert "--break-lock" in error.value.hint
        assert error.value.exit_code == 75
        with lock.locked(store, "other-mesh"):
            pass
    with lock.locked(store, "demo"):
        pass
    assert store.paths("migrations/demo") == []


def test_a_user_without_a_name_is_told_by_number(store: StateStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Containers run as users that /etc/passwd doesn't know, and whose environment has no USER."""
    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", {}.__getitem__)
    with lock.locked(store, "demo") as lease:
        assert lease.owner.user == f"uid {os.getuid()}"
        with pytest.raises(LockedError, match=f": uid {os.getuid()}@"), lock.locked(store, "demo"):
            pass


def test_a_dead_owner_s_lock_is_taken_over(store: StateStore) -> None:
    leave_lock(store, ended_process())
    with lock.locked(store, "demo") as lease:
        assert lease.taken_over_from is not None
        assert store.paths("migrations/demo/locks") == ["migrations/demo/locks/0001.json"]


def test_a_reused_pid_is_not_the_owner(store: StateStore) -> None:
    leave_lock(store, replace(lock.this_process(), started=1.0))
    with lock.locked(store, "demo") as lease:
        assert lease.taken_over_from is not None


def test_an_owner_on_another_machine_may_live(store: StateStore) -> None:
    leave_lock(store, replace(ended_process(), host=f"not-{socket.gethostname()}"))
    with pytest.raises(LockedError), lock.locked(store, "demo"):
        pass
    with lock.locked(store, "demo", break_lock=True) as lease:
        assert lease.taken_over_from is not None


def test_of_two_that_take_over_at_once_one_wins(store: StateStore, monkeypatch: pytest.MonkeyPatch) -> None:
    leave_lock(store, ended_process())
    stale = store.paths("migrations/demo/locks")
    with lock.locked(store, "demo"):
        # the second run listed before the first took over
        real = StateStore.paths
        monkeypatch.setattr(StateStore, "paths", lambda self, prefix: stale)
        with pytest.raises(LockedError), lock.locked(store, "demo", break_lock=True):
            pass
        monkeypatch.setattr(StateStore, "paths", real)


def test_a_backend_without_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Pulumi Cloud"):
        open_state_store("", tmp_path)
    with pytest.raises(UsageError):
        open_state_store("https://api.pulumi.com", tmp_path)
