"""Runs the `pulumi` program for the Automation API, so that Ctrl-C cancels cleanly. EDGE.

Used by `workspace`. The SDK's own command shares our process group: a Ctrl-C in the terminal reaches the engine and its
providers at the same moment as us, and a second one kills them in the middle of a call. Here the engine runs in a
session of its own and gets exactly one SIGINT, on which it finishes what is in flight, saves the state and stops.
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
from meshctl.engine.running_engines import STARTED_BY

OnOutput = Callable[[str], None]


class PulumiProgram(automation.PulumiCommand):
    """`find` returns the path of the program, whose version it has checked. It is called when the program is first run,
    so that errors in the user's files are reported before a missing program.
    """

    def __init__(self, find: Callable[[], Path], version: str) -> None:
        # The parent's __init__ is not called: it would start the program only to ask for its version.
        self._find = find
        self.version = VersionInfo.parse(version)
        self.killed = False  # whether a run was killed by a second interrupt
        self._interrupted = threading.Event()
        self._running: set[subprocess.Popen[str]] = set()
        self._not_interrupted: set[subprocess.Popen[str]] = (
            set()
        )  # running processes that have not got their SIGINT yet

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
        """The first call asks running commands to stop cleanly, the second kills them."""
        if not self._interrupted.is_set():
            self._interrupted.set()
            self.finish()
            return
        warnings.filterwarnings("ignore", "Error in event stream")  # the SDK warns when the engine is killed
        for process in tuple(self._running):
            self.killed = True
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # the engine leads a group with its providers in it

    def finish(self) -> None:
        """Ask running commands to stop cleanly. Each process gets one SIGINT: Pulumi treats a second one as "abort
        now".
        """
        for process in tuple(self._running):
            with suppress(KeyError):  # `remove` is atomic: a signal handler and a thread may both get here
                self._not_interrupted.remove(process)
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
        """Run one command; an interrupt stops it. `stdin_text`: the text on its standard input.

        Raises: `automation.CommandError` when it fails, ToolError when the program is missing.
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
        self._not_interrupted.add(process)
        self._running.add(process)
        if self._interrupted.is_set():  # the interrupt came while the process was being started
            self.finish()
        try:
            if stdin_text is not None:
                threading.Thread(target=_write, args=(process.stdin, stdin_text), daemon=True).start()
            stdout, stderr = _drain(process, on_output, on_error)
        finally:
            self._running.discard(process)
            self._not_interrupted.discard(process)
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
    with suppress(BrokenPipeError), stream:  # the process may end before it has read everything
        stream.write(text)


def _read(stream: IO[str] | None, lines: list[str], on_line: OnOutput | None) -> None:
    if stream is None:
        return
    with stream:
        for line in stream:
            lines.append(line.rstrip())
            if on_line is not None:
                on_line(lines[-1])
