"""Handles Ctrl-C, SIGTERM and a closing terminal: operations in flight finish, then the command ends. EDGE.

Used by `opened` while a command works on a mesh, and by `context` while it asks the user.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from meshctl.engine.command import PulumiProgram

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_FIRST = {
    signal.SIGINT: "interrupted: finishing what is in flight (press Ctrl-C again to abort at once)",
    signal.SIGTERM: "got SIGTERM: finishing what is in flight",
    signal.SIGHUP: "the terminal was closed: finishing what is in flight",
}
_Handler = Callable[[int, FrameType | None], object]


@contextmanager
def finishing(program: PulumiProgram, on_stop: list[Callable[[], None]]) -> Iterator[None]:
    """While the block runs, a signal calls all of `on_stop`, and then lets the engine finish what is in flight.

    A second Ctrl-C kills the engine or, when none is running, ends the command. Other signals never do that, because a
    closing terminal sends SIGHUP twice.
    """

    def stop(number: int, _frame: FrameType | None) -> None:
        again = program.interrupted
        if again and number != signal.SIGINT:
            return
        for act in on_stop:
            act()
        nothing_to_end = again and not program.is_running
        program.interrupt()
        if not again:
            _say(_FIRST[signal.Signals(number)])
        if nothing_to_end:
            raise KeyboardInterrupt

    with _handled(stop):
        yield


@contextmanager
def at_once() -> Iterator[None]:
    """While the block runs, a signal ends the command at once, as nothing is in flight. Raises: KeyboardInterrupt."""
    with _handled(signal.default_int_handler):
        yield


@contextmanager
def once() -> Iterator[None]:
    """As `at_once`, for what removes on its way out what it has made: signals after the first one are ignored, as a
    closing terminal sends SIGHUP twice. Raises: KeyboardInterrupt."""
    has_come = False

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal has_come
        if not has_come:
            has_come = True
            raise KeyboardInterrupt

    with _handled(stop):
        yield


@contextmanager
def _handled(handler: _Handler) -> Iterator[None]:
    # under `nohup` SIGHUP is ignored, and must stay so: the command outlives its terminal
    handled = [number for number in _SIGNALS if (number, signal.getsignal(number)) != (signal.SIGHUP, signal.SIG_IGN)]
    previous = {number: signal.signal(number, handler) for number in handled}
    try:
        yield
    finally:
        for number, previous_handler in previous.items():
            signal.signal(number, previous_handler)


def _say(text: str) -> None:
    """Write to the file descriptor, since a signal may come in the middle of a write to `sys.stderr`."""
    with suppress(OSError):
        os.write(sys.stderr.fileno(), f"{text}\n".encode())
