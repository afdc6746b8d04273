"""Ctrl-C, SIGTERM and a closing terminal: what is in flight is finished, then the command ends. EDGE.

Used by `opened` for as long as a mesh is worked on, and by `context` while a person is asked.
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
    signal.SIGINT: "interrupted: finishing what is in flight (once more ends it at once)",
    signal.SIGTERM: "told to end: finishing what is in flight",
    signal.SIGHUP: "the terminal is closed: finishing what is in flight",
}
_Handler = Callable[[int, FrameType | None], object]


@contextmanager
def finishing(program: PulumiProgram, on_stop: list[Callable[[], None]]) -> Iterator[None]:
    """While the block runs, a signal has the engine finish what is in flight, after all of `on_stop` are called.

    A second Ctrl-C ends the engine at once or, without one, the command. The other signals never do: a closing terminal
    sends SIGHUP twice.
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
    """While the block runs, a signal ends the command right there: nothing is in flight. Raises: KeyboardInterrupt."""
    with _handled(signal.default_int_handler):
        yield


@contextmanager
def _handled(handler: _Handler) -> Iterator[None]:
    # `nohup` has SIGHUP ignored, so that the command outlives its terminal
    handled = [number for number in _SIGNALS if (number, signal.getsignal(number)) != (signal.SIGHUP, signal.SIG_IGN)]
    before = {number: signal.signal(number, handler) for number in handled}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)


def _say(text: str) -> None:
    """Past `sys.stderr`: a signal may come while something is being written there."""
    with suppress(OSError):
        os.write(sys.stderr.fileno(), f"{text}\n".encode())
