"""Keeps the programs of one control plane running: `python -m meshctl.lab.supervisor`. EDGE.

Started by `clusters`, one for each control plane. With a command after `--` (kwokctl's) it makes the control plane
first; without one it starts the programs of a control plane that is there. As the kernel makes it the parent of what
kwokctl started, it is told of every end, with the exit code, and sleeps until then. Each end is written down in
`ended.json` (`restarts.Ending`), the logs go on. SIGTERM ends the supervisor alone.

    <folder>/created       the exit code of the command that made the control plane
    <folder>/ended.json    the ends of its programs
"""

from __future__ import annotations

import argparse
import ctypes
import dataclasses
import http.client
import json
import os
import signal
import socket
import ssl
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import yaml

from meshctl.lab.restarts import FIRST_DELAY_S, MARK, Ending, delay_s, last_words
from meshctl.lab.state import write_atomically

PR_SET_CHILD_SUBREAPER = 36  # prctl(2)
CREATED, ENDED = "created", "ended.json"
KEPT_ENDINGS = 50
LOOK_AGAIN_S = 0.5
ANSWER_TIMEOUT_S = 2.0
LOG_END_BYTES = 65536
SIGNALS = {signal.SIGCHLD, signal.SIGTERM}


class Supervisor:
    """The programs of the control plane that kwokctl keeps at `home`."""

    def __init__(self, home: Path, folder: Path, *, first_delay_s: float = FIRST_DELAY_S) -> None:
        self.home = home
        self.folder = folder
        self.first_delay_s = first_delay_s
        self.endings: list[Ending] = []
        self.due: dict[str, float] = {}  # program -> when it may be started
        self.making = 0  # process id of the command that makes the control plane

    def make(self, command: list[str]) -> None:
        self.making = os.posix_spawn(command[0], command, os.environ, setsigmask=[])

    def start_all(self) -> None:
        self.due = dict.fromkeys(programs_of(self.home), 0.0)

    def run(self) -> int:
        """Until SIGTERM, or until the control plane could not be made. Returns the exit code."""
        while True:
            code = self._reap()
            if code:
                return code
            self._start_due()
            wait_s = LOOK_AGAIN_S if self.due else None
            got = signal.sigwaitinfo(SIGNALS) if wait_s is None else signal.sigtimedwait(SIGNALS, wait_s)
            if got is not None and got.si_signo == signal.SIGTERM:
                return 0

    def _reap(self) -> int:
        """Take note of everything that ended. Not 0 when that was the making of the control plane, and it failed."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return 0
            if pid == 0:
                return 0
            code = os.waitstatus_to_exitcode(status)
            if pid == self.making:
                write_atomically(self.folder / CREATED, str(code))
                if code:
                    return abs(code)
            elif program := self._program_of(pid):
                self._ended(program, code)

    def _program_of(self, pid: int) -> str:
        pids = {file.stem: file.read_text() for file in (self.home / "pids").glob("*.pid")}
        return next((program for program, text in pids.items() if text.strip() == str(pid)), "")

    def _ended(self, program: str, exit_code: int) -> None:
        now = time.time()
        before = [each.at for each in self.endings if each.program == program]
        delay = delay_s([*before, now], first_s=self.first_delay_s)
        log = self._log(program)
        words = last_words(_end_of(log))
        self.endings.append(Ending(program, now, exit_code, words, str(log), restarted=delay is not None))
        if delay is not None:
            self.due[program] = time.monotonic() + delay
        document = [dataclasses.asdict(each) for each in self.endings[-KEPT_ENDINGS:]]
        write_atomically(self.folder / ENDED, json.dumps(document, indent=1))

    def _start_due(self) -> None:
        if not self.due:
            return
        programs = programs_of(self.home)
        for program, at in list(self.due.items()):
            needs = [programs[name] for name in programs[program].get("links", ()) if name in programs]
            if time.monotonic() >= at and all(answers(each) for each in needs):
                del self.due[program]
                self._start(programs[program])

    def _start(self, component: dict[str, Any]) -> None:
        log = self._log(component["name"])
        with log.open("a") as stream:
            stream.write(f"{MARK}{component['name']} is started again\n")
        environment = dict(os.environ) | {each["name"]: each["value"] for each in component.get("envs", ())}
        pid = os.posix_spawn(
            component["binary"],
            [component["binary"], *component.get("args", ())],
            environment,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
            setsigmask=[],
        )
        write_atomically(self.home / "pids" / f"{component['name']}.pid", str(pid))

    def _log(self, program: str) -> Path:
        return self.home / "logs" / f"{program}.log"


def programs_of(home: Path) -> dict[str, dict[str, Any]]:
    """kwokctl's own list by name: binary, arguments, ports and what each program links to."""
    for document in yaml.safe_load_all((home / "kwok.yaml").read_text()):
        if document and document.get("kind") == "KwokctlConfiguration":
            return {each["name"]: each for each in document["components"]}
    return {}


def _end_of(log: Path) -> str:
    try:
        with log.open("rb") as stream:
            stream.seek(max(0, log.stat().st_size - LOG_END_BYTES))
            return stream.read().decode(errors="replace")
    except OSError:
        return ""


def answers(component: dict[str, Any]) -> bool:
    """Whether a program takes requests: the API server says that it is ready, another one has an open port."""
    ports = {each["name"]: each["port"] for each in component.get("ports", ())}
    try:
        if "https" not in ports:
            socket.create_connection(("127.0.0.1", ports["http"]), ANSWER_TIMEOUT_S).close()
            return True
        context = ssl._create_unverified_context()  # noqa: S323 (this machine's own, and nothing is told to it)
        connection = http.client.HTTPSConnection("127.0.0.1", ports["https"], timeout=ANSWER_TIMEOUT_S, context=context)
        with closing(connection):
            connection.request("GET", "/readyz")
            return connection.getresponse().status in {200, 401, 403}  # who may not ask has been answered, too
    except (OSError, http.client.HTTPException, KeyError):
        return False


def main() -> int:
    parser = argparse.ArgumentParser(prog="meshctl.lab.supervisor")
    parser.add_argument("--home", type=Path, required=True, help="where kwokctl keeps the control plane")
    parser.add_argument("--folder", type=Path, required=True, help="where to write what happens to it")
    parser.add_argument("command", nargs="*", help="makes the control plane")
    options = parser.parse_args()
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    supervisor = Supervisor(options.home, options.folder)
    if options.command:
        supervisor.make(options.command)
    else:
        supervisor.start_all()
    return supervisor.run()


if __name__ == "__main__":
    sys.exit(main())
