"""Waiting for what happens by itself: polled, with a limit that a slow machine does not reach."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")
WAIT_S = 60.0


def wait_until(look: Callable[[], Result], *, every_s: float = 0.1) -> Result:
    """The first true thing that `look` returns; fails after `WAIT_S` with the last one."""
    deadline = time.monotonic() + WAIT_S
    while not (found := look()):
        assert time.monotonic() < deadline, f"{look} stayed {found!r} for {WAIT_S:g} s"
        time.sleep(every_s)
    return found
