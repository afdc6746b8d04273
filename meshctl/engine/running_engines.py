"""Finds running pulumi programs by process id, and whether their meshctl has ended. EDGE (reads the process table).

Called by `run` and `stack_locks`, which know the process id from the lock of a stack. `command` starts the programs and
tells them who did.
"""

from __future__ import annotations

import psutil

STARTED_BY = "MESHCTL_PID"  # in the engine's environment: the process id of the meshctl that waits for it


def running_engine(pid: int) -> psutil.Process | None:
    """The running pulumi program with this process id; None when there is none."""
    try:
        process = psutil.Process(pid)
        is_engine = process.name().startswith("pulumi") and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return None
    return process if is_engine else None


def is_orphan(engine: psutil.Process) -> bool:
    """Whether the meshctl that started the engine has ended, so that it has another parent now. False for engines that
    another program started."""
    try:
        return engine.environ().get(STARTED_BY, str(engine.ppid())) != str(engine.ppid())
    except psutil.Error:
        return False
