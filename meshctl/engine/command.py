"""Runs the `pulumi` program for the Automation API, so that Ctrl-C cancels cleanly. EDGE.

Used by `workspace`. The stock command shares our process group: a Ctrl-C in the terminal reaches the engine and its
providers at the same moment as us, and a second one kills them in the middle of a call. Here the engine has a session
of its own, and gets exactly one interrupt, which it understands as "finish what is in flight, save the state, stop".
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import IO

from pulumi import automation
from pulumi.automation import CommandResult
from semver import VersionInfo

from meshctl.engine import pulumi_private

OnOutput = Callable[[str], None]
STARTED_BY = "MESHCTL_PID"  # in the engine's environment: the process that waits for it


class PulumiProgram(automation.PulumiCommand):
    """`find` gives the program, its version checked. It is asked when the program is first run: what is wrong with a
    command is told before what is missing for it.
    """

    def __init__(self, find: Callable[[], Path], version: str) -> None:
        # The parent's __init__ starts the program once more, only to ask for its version.
        self._find = find
        self.version = VersionInfo.parse(version)
        self.killed = False  # whether one was ended at once
        self._interrupted = threading.Event()
        self._running: set[subprocess.Popen[str]] = set()
        self._unasked: set[subprocess.Popen[str]] = set()  # those of them that were not asked to stop yet

    @cached_property
    def command(self) -> str:  # type: ignore[override]  # the parent sets it at once
        """The program's path. Raises: ToolError."""
        return str(self._find())

    @property
    def interrupted(self) -> bool:
        return self._interrupted.is_set()

    @property
    def is_running(self) -> bool:
        return bool(self._running)

    def interrupt(self) -> None:
        """The first call asks running commands to stop cleanly, the second ends them."""
        if not self._interrupted.is_set():
            self._interrupted.set()
            self.finish()
            return
        warnings.filterwarnings("ignore", "Error in event stream")  # the SDK's, of an engine that is cut off
        for process in tuple(self._running):
            self.killed = True
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # the engine leads a group with its providers in it

    def finish(self) -> None:
        """Ask running commands to stop cleanly. Each is asked once: for the engine, twice means at once."""
        for process in tuple(self._running):
            with suppress(KeyError):  # `remove` is atomic: signal handlers and threads may be here together
                self._unasked.remove(process)
                process.send_signal(signal.SIGINT)

    def run(
        self,
        args: list[str],
        cwd: str,
        additional_env: Mapping[str, str],
        on_output: OnOutput | None = None,
        on_error: OnOutput | None = None,
        *,
        stdin_text: str | None = None,
    ) -> CommandResult:
        """Run one command, which an interrupt has stop at once. `stdin_text`: what it reads, where it reads anything.

        Raises: `automation.CommandError` when it fails, ToolError when there is no such program.
        """
        if "--non-interactive" not in args:
            args.insert(0, "--non-interactive")
        process = subprocess.Popen(
            [self.command, *args],
            stdin=subprocess.DEVNULL if stdin_text is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env={**os.environ, **additional_env, "PULUMI_AUTOMATION_API": "true", STARTED_BY: str(os.getpid())},
            encoding="utf-8",
            start_new_session=True,
        )
        self._unasked.add(process)
        self._running.add(process)
        if self._interrupted.is_set():  # while it was being started
            self.finish()
        try:
            if stdin_text is not None:
                threading.Thread(target=_write, args=(process.stdin, stdin_text), daemon=True).start()
            stdout, stderr = _drain(process, on_output, on_error)
        finally:
            self._running.discard(process)
            self._unasked.discard(process)
        result = CommandResult(stdout=stdout, stderr=stderr, code=process.returncode)
        if process.returncode != 0:
            raise pulumi_private.command_error(result)
        return result


def _drain(process: subprocess.Popen[str], on_output: OnOutput | None, on_error: OnOutput | None) -> tuple[str, str]:
    out: list[str] = []
    err: list[str] = []
    readers = [
        threading.Thread(target=_read, args=(process.stdout, out, on_output), daemon=True),
        threading.Thread(target=_read, args=(process.stderr, err, on_error), daemon=True),
    ]
    for reader in readers:
        reader.start()
    process.wait()
    for reader in readers:
        reader.join()
    return "\n".join(out), "\n".join(err)


def _write(stream: IO[str], text: str) -> None:
    with suppress(BrokenPipeError), stream:  # it may have ended before it read all
        stream.write(text)


def _read(stream: IO[str] | None, lines: list[str], tell: OnOutput | None) -> None:
    if stream is None:
        return
    with stream:
        for line in stream:
            lines.append(line.rstrip())
            if tell is not None:
                tell(lines[-1])
