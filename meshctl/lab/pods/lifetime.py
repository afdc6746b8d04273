"""Children that end with the lab: used by the pod runner and the stores when they start a process. EDGE."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import psutil

PR_SET_PDEATHSIG = 1  # prctl(2)


def with_parent(parent_pid: int) -> Callable[[], None]:
    """A `preexec_fn`: the kernel kills the child when the thread that started it ends (Linux; elsewhere nothing)."""

    def set_death_signal() -> None:
        if not sys.platform.startswith("linux"):
            return
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != parent_pid:  # the parent ended before the call
            os._exit(1)

    return set_death_signal


def record(path: Path, pid: int) -> None:
    """Write down a process so that a later run can end it: the creation time tells it from a reused id."""
    try:
        created = psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return
    path.write_text(json.dumps({"pid": pid, "created": created}))


def end_recorded(path: Path) -> None:
    """Kill the process that `record` wrote down, with its children, and forget it."""
    try:
        noted = json.loads(path.read_text())
        process = psutil.Process(noted["pid"])
        if abs(process.create_time() - noted["created"]) < 1:
            for each in [*process.children(recursive=True), process]:
                each.kill()
    except (OSError, ValueError, KeyError, psutil.NoSuchProcess):
        pass
    path.unlink(missing_ok=True)
