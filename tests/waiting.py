"""Waiting for what happens by itself: polled, with a limit that a slow machine does not reach."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from typing import Any, TypeVar

Result = TypeVar("Result")
WAIT_S = 60.0
COMMAND_S = 180.0  # for a program that a test starts and waits for


def wait_until(look: Callable[[], Result], *, every_s: float = 0.1) -> Result:
    """The first true thing that `look` returns; fails after `WAIT_S` with the last one."""
    deadline = time.monotonic() + WAIT_S
    while not (found := look()):
        assert time.monotonic() < deadline, f"{look} stayed {found!r} for {WAIT_S:g} s"
        time.sleep(every_s)
    return found


def end(process: subprocess.Popen[Any]) -> None:
    """Ask the process to end, and kill it where it does not."""
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(WAIT_S)
