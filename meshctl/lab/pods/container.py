"""One container as a process: start, probes, restarts, stop. EDGE. Made by `lifecycle`; starts `launch`.

What runs here is the launcher; the program is its only child (see `launch`).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from meshctl.lab.pods import launch, lifetime, probes, status

Object = dict[str, Any]
_DEFAULT_MESSAGE = "/dev/termination-log"  # what the API server sets where a container names no path
_LONGEST_MESSAGE = 4096  # bytes: kubelet, MaxContainerTerminationMessageLength
HEALTHY_S = 60  # a process that has run for so long starts again without delay when it ends
Report = Callable[[str, str, str], None]  # (event type, reason, message)


@dataclass(frozen=True)
class Program:
    """What to execute. `mounts`: (source, path inside, read only). `empty`: folders that are new at each start.
    `scratch`: folders of the machine that can be written to, where nothing that is written stays."""

    argv: list[str]
    env: dict[str, str]
    cwd: str
    mounts: list[tuple[str, str, bool]]
    empty: tuple[str, ...] = ()
    scratch: tuple[str, ...] = ()


@dataclass
class Container:
    """`spec`: the Kubernetes container. `folder`: the pod's on this machine. `changed`: called on every new state."""

    spec: Object
    program: Program
    folder: Path
    address: str
    state: status.ContainerState
    changed: Callable[[], None]
    report: Report
    grace_s: float = 30
    process: asyncio.subprocess.Process | None = None
    stopping: bool = False
    log_begins_at: int = 0  # with which byte of its log its present life begins
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def keep(self, policy: str) -> None:
        """Run until it needs no further start: restart policy Always, OnFailure or Never."""
        failures = 0
        while True:
            begun = time.monotonic()
            code = await self.run_once()
            again = not self.stopping and (policy == "Always" or (policy == "OnFailure" and code != 0))
            self.state.finished = not again
            self.changed()
            if not again:
                return
            failures = 1 if time.monotonic() - begun > HEALTHY_S else failures + 1
            await self._back_off(failures)
            if self.stopping:
                self.state.finished = True
                return
            self.state.restarts += 1

    async def _back_off(self, failures: int) -> None:
        wait_s = status.backoff_s(failures)
        await asyncio.sleep(min(0.3, wait_s))  # long enough for the terminated state to be seen
        self.state.last, self.state.terminated = self.state.terminated, {}
        self.state.waiting_reason = "CrashLoopBackOff"
        self.state.message = f"back-off {wait_s:g}s restarting failed container={self.state.name}"
        self.report("Warning", "BackOff", f"Back-off restarting failed container {self.state.name}")
        self.changed()
        deadline = time.monotonic() + wait_s
        while time.monotonic() < deadline and not self.stopping:
            await asyncio.sleep(0.1)

    async def run_once(self) -> int:
        """One life of the process, from start to exit. Returns the exit code (128 + signal when killed)."""
        log_path = self.log_path
        mounts = [*self.program.mounts, *self._termination_message()]
        with log_path.open("ab") as log:
            begun_at = self.log_begins_at = log.tell()
            process = await self._spawn(
                self.program.argv,
                log,
                hostname=self.program.env["HOSTNAME"],
                root=str(self.folder / "root"),
                mounts=mounts,
                empty=self.program.empty,
                scratch=self.program.scratch,
            )
        self.process = process
        try:
            lifetime.record(self.folder / f"{self.state.name}.pid.json", process.pid)
            self.state.running_since = status.timestamp()
            self.state.terminated, self.state.message = {}, ""
            self.state.container_id = f"lab://{process.pid}-{time.time_ns()}"
            self.changed()
            self.tasks = [asyncio.ensure_future(self._watch_over())]
            returned = await process.wait()
        finally:
            for task in self.tasks:
                task.cancel()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        self.process = None
        return self._ended(returned, log_path, begun_at)

    @property
    def log_path(self) -> Path:
        return self.folder / f"{self.state.name}.log"

    def _ended(self, returned: int, log_path: Path, begun_at: int) -> int:
        code = returned if returned >= 0 else 128 - returned
        self.state.terminated = {
            "exitCode": code,
            "reason": "Completed" if code == 0 else "Error",
            "startedAt": self.state.running_since,
            "finishedAt": status.timestamp(),
            "containerID": self.state.container_id,
        }
        message = self._message_path.read_text(errors="replace") if self._message_path.exists() else ""
        if message:
            self.state.terminated["message"] = message[:_LONGEST_MESSAGE]
        elif code and self.spec.get("terminationMessagePolicy") == "FallbackToLogsOnError":
            self.state.terminated["message"] = _log_end(log_path, begun_at)
        self.state.running_since, self.state.ready, self.state.started = "", False, False
        return code

    @property
    def _message_path(self) -> Path:
        return self.folder / f"{self.state.name}.message"

    def _termination_message(self) -> list[tuple[str, str, bool]]:
        """The mount of the file whose text is the container's termination message, empty at each start. Only where the
        container names a path: at the default one, in /dev, it would hide the machine's devices."""
        path = self.spec.get("terminationMessagePath", _DEFAULT_MESSAGE)
        if path == _DEFAULT_MESSAGE:
            return []
        self._message_path.write_text("")
        return [(str(self._message_path), path, False)]

    async def _spawn(self, argv: list[str], output: Any, **more: Any) -> asyncio.subprocess.Process:
        spec = {"argv": argv, "env": self.program.env, "cwd": self.program.cwd, "parent": os.getpid(), **more}
        path = self.folder / f"{self.state.name}.{time.monotonic_ns()}.spec.json"  # read and removed by the launcher
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            json.dump(spec, file)
        return await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-S", launch.__file__, str(path),
            stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip

    async def execute(self, argv: list[str], timeout_s: float) -> int:
        """Run a command inside the container: exec probes and hooks. Raises TimeoutError."""
        if self.process is None:
            return 1
        process = await self._spawn(argv, asyncio.subprocess.DEVNULL, enter=self.process.pid)
        try:
            return await asyncio.wait_for(process.wait(), timeout_s)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    async def _watch_over(self) -> None:
        """Startup probe first, then readiness and liveness side by side."""
        startup = self.spec.get("startupProbe")
        if startup and not await probes.until_passed(startup, lambda: self._probe("Startup", startup)):
            self._end_unhealthy("startup")
            return
        self.state.started = True
        readiness, liveness = self.spec.get("readinessProbe"), self.spec.get("livenessProbe")
        if readiness:
            self._follow("Readiness", readiness, self._set_ready, passing=False)
        else:
            self._set_ready(ready=True)
        if liveness:
            self._follow("Liveness", liveness, self._end_if_dead, passing=True)
        self.changed()

    def _follow(self, which: str, probe: Object, report: Callable[[bool], None], *, passing: bool) -> None:
        follow = probes.follow(probe, lambda: self._probe(which, probe), report, passing=passing)
        self.tasks.append(asyncio.ensure_future(follow))

    async def _probe(self, which: str, probe: Object) -> bool:
        result = await probes.check(probe, self.spec, self.address, self.execute)
        if not result.ok and not self.stopping:
            self.report("Warning", "Unhealthy", f"{which} probe failed: {result.output}")
        return result.ok

    def _set_ready(self, ready: bool) -> None:  # noqa: FBT001 (a callback's argument)
        self.state.ready = ready
        self.changed()

    def _end_if_dead(self, alive: bool) -> None:  # noqa: FBT001 (a callback's argument)
        if not alive:
            self._end_unhealthy("liveness")

    def _end_unhealthy(self, which: str) -> None:
        self.report("Normal", "Killing", f"Container {self.state.name} failed {which} probe, will be restarted")
        self.tasks.append(asyncio.ensure_future(self._end(self.grace_s)))

    async def stop(self, grace_s: float) -> None:
        """End it for good: preStop hook, SIGTERM, and SIGKILL once `grace_s` is over."""
        self.stopping = True
        deadline = time.monotonic() + grace_s
        hook = self.spec.get("lifecycle", {}).get("preStop", {})
        if self.process and grace_s > 0:
            with contextlib.suppress(TimeoutError, OSError):
                await self._hook(hook, grace_s)
        await self._end(max(0.0, deadline - time.monotonic()))

    async def _hook(self, hook: Object, grace_s: float) -> None:
        if "sleep" in hook:
            await asyncio.sleep(min(hook["sleep"]["seconds"], grace_s))
        elif "exec" in hook:
            await self.execute(hook["exec"]["command"], grace_s)
        elif "httpGet" in hook:
            await probes.check(hook | {"timeoutSeconds": grace_s}, self.spec, self.address, self.execute)

    async def _end(self, grace_s: float) -> None:
        process = self.process
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            if grace_s > 0:
                process.terminate()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(process.wait(), grace_s)
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


def _log_end(path: Path, begun_at: int) -> str:
    """The end of what was logged since `begun_at`, as the kubelet tells it: at most 2048 bytes and 80 lines."""
    with path.open("rb") as log:
        log.seek(max(begun_at, path.stat().st_size - 2048))
        return "\n".join(log.read().decode(errors="replace").splitlines()[-80:])
