"""`status` says who is changing an environment: as the lock beside the state has it, and only while that lives."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from meshctl.engine import stack_locks
from meshctl.operate.status import EnvironmentStatus, status_text, with_holder
from meshctl.project import Project

HOST = socket.gethostname()
LOCK = {"pid": os.getpid(), "username": "ann", "hostname": HOST, "timestamp": "2026-11-28T14:00:00.123456Z"}


def opened(folder: Path) -> Project:
    state = SimpleNamespace(backend="file://./.meshctl/state")
    environments, session = SimpleNamespace(state=state), SimpleNamespace(folder=folder)
    return Project(cast("Any", SimpleNamespace(name="m")), cast("Any", environments), cast("Any", session))


def locked(folder: Path, environment: str, text: str) -> None:
    place = folder / ".meshctl/state/.pulumi/locks/organization/m" / environment
    place.mkdir(parents=True)
    (place / "0f.json").write_text(text)


def test_a_running_up_is_told_with_who_and_since_when(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack_locks, "_is_engine", lambda pid: pid == os.getpid())
    locked(tmp_path, "e", json.dumps(LOCK))
    holder = opened(tmp_path).running("e")
    assert holder == stack_locks.Holder("ann", HOST, os.getpid(), "2026-11-28T14:00:00")
    assert opened(tmp_path).running("e2") is None
    found = with_holder(EnvironmentStatus("e", "degraded", error="the last `up` or `destroy` did not finish"), holder)
    who = f"ann on {HOST} (pid {os.getpid()})"
    assert status_text(found) == (
        f"e: degraded\n  an `up` or `destroy` by {who} is running since 2026-11-28T14:00:00:"
        " what is missing may still come\n"
    )
    assert found.document()["running"]["user"] == "ann"
    unknown = with_holder(EnvironmentStatus("e", "unknown", error="no answer"), holder)
    assert "no answer" in status_text(unknown)


def test_a_lock_of_a_process_that_is_gone_is_no_run(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait(timeout=30)
    locked(tmp_path, "e", json.dumps({**LOCK, "pid": gone.pid}))
    assert opened(tmp_path).running("e") is None
    locked(tmp_path, "g", json.dumps(LOCK))  # the number is this process's by now, which is no engine
    assert opened(tmp_path).running("g") is None
    locked(tmp_path, "f", json.dumps({**LOCK, "pid": gone.pid, "hostname": "another-host"}))
    assert opened(tmp_path).running("f") is not None


def test_a_lock_that_is_no_text_is_no_run(tmp_path: Path) -> None:
    locked(tmp_path, "e", "")
    (tmp_path / ".meshctl/state/.pulumi/locks/organization/m/e/0f.json").write_bytes(b"\xff\xfe{")
    assert opened(tmp_path).running("e") is None


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "7", json.dumps({**LOCK, "pid": None})])
def test_what_is_no_lock_is_no_run(text: str) -> None:
    assert stack_locks.holder(text) is None
    status = EnvironmentStatus("e", "up")
    assert with_holder(status, None) is status
    assert status.document()["running"] is None
