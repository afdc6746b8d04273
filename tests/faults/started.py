"""`meshctl` as a process of its own, for tests that kill it or send it a signal. What it says goes to a file, so that
no wait for a line hangs, and nothing of it outlives the block that started it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil

from tests.hangups import hangups_not_ignored
from tests.lab_fixture import RunningLab

LIMIT_S = 400.0  # a whole environment comes up in a fraction of it


class Started:
    """A running command, and the file with what it says."""

    def __init__(self, here: RunningLab, arguments: tuple[str, ...]) -> None:
        self.log = here.folder / f"started-{time.monotonic_ns()}.log"
        command = [sys.executable, "-m", "meshctl.cli.main", *arguments]
        with self.log.open("wb") as log, hangups_not_ignored():
            self.process = subprocess.Popen(
                command,
                cwd=here.folder,
                env=here.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def said(self) -> str:
        return self.log.read_text()

    def wait_until(self, look: Callable[[], object], what: str) -> None:
        """Until `look` sees something. Fails when the command ends before that, or after `LIMIT_S`."""
        deadline = time.monotonic() + LIMIT_S
        while not look():
            if self.process.poll() is not None:
                assert look(), f"ended before {what}:\n{self.said()}"
                return
            assert time.monotonic() < deadline, f"no {what} in {LIMIT_S:g} s:\n{self.said()}"
            time.sleep(0.01)

    def wait_for(self, words: str) -> None:
        self.wait_until(lambda: words in self.said(), repr(words))

    def ended(self) -> int:
        """The exit code, once it has ended by itself or by a signal."""
        try:
            return self.process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"did not end in {LIMIT_S:g} s:\n{self.said()}") from None

    def kill(self) -> None:
        """`kill -9` of meshctl, and of the engine with its providers (sessions of their own); nothing once it has
        ended."""
        if self.process.poll() is not None:
            return
        family: list[psutil.Process] = []
        with contextlib.suppress(psutil.NoSuchProcess):
            family = psutil.Process(self.process.pid).children(recursive=True)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait(LIMIT_S)


@contextmanager
def started(here: RunningLab, *arguments: str) -> Iterator[Started]:
    command = Started(here, arguments)
    try:
        yield command
    finally:
        command.kill()


def kill_when(here: RunningLab, words: str, *arguments: str) -> None:
    """Kill the command with everything that it has started, in the middle of the call that it announces so."""
    with started(here, "-v", *arguments) as command:
        command.wait_for(words)
        time.sleep(0.3)  # in the middle of the call
        command.kill()
        assert command.process.returncode == -signal.SIGKILL, f"ended before it was killed:\n{command.said()}"
