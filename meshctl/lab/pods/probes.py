"""Startup, readiness and liveness probes. EDGE. Run by `container` while the process lives."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx2 as httpx

Object = dict[str, Any]
Exec = Callable[[list[str], float], Awaitable[int]]  # (argv, timeout_s) -> exit code, inside the container


@dataclass
class Streak:
    """Counts results in a row. `passing` changes after successThreshold or failureThreshold equal ones."""

    success_threshold: int
    failure_threshold: int
    passing: bool
    successes: int = 0
    failures: int = 0

    def add(self, *, ok: bool) -> bool:
        self.successes, self.failures = (self.successes + 1, 0) if ok else (0, self.failures + 1)
        if self.successes >= self.success_threshold:
            self.passing = True
        if self.failures >= self.failure_threshold:
            self.passing = False
        return self.passing


def streak(probe: Object, *, passing: bool) -> Streak:
    return Streak(probe.get("successThreshold", 1), probe.get("failureThreshold", 3), passing)


def port_number(port: int | str, container: Object) -> int:
    """A probe's port by number or by the name of a container port."""
    if isinstance(port, int) or str(port).isdigit():
        return int(port)
    numbers_by_name = {each.get("name"): each["containerPort"] for each in container.get("ports", [])}
    return int(numbers_by_name[port])


@dataclass(frozen=True)
class Result:
    """`output`: the answer in the kubelet's words, where it is not a good one."""

    ok: bool
    output: str = ""


async def check(probe: Object, container: Object, address: str, execute: Exec) -> Result:
    """One probe, bounded by its timeoutSeconds. Source of the outputs: kubernetes/pkg/probe (1.34)."""
    timeout_s = float(probe.get("timeoutSeconds", 1))
    try:
        if "exec" in probe:
            code = await execute(probe["exec"]["command"], timeout_s)
            return Result(code == 0, f"command ended with exit code {code}")
        if "httpGet" in probe:
            return await _http(probe["httpGet"], container, address, timeout_s)
        if "tcpSocket" in probe:
            return await _tcp(address, port_number(probe["tcpSocket"]["port"], container), timeout_s)
        if "grpc" in probe:
            return await _grpc(probe["grpc"], address, timeout_s)
    except (OSError, TimeoutError, KeyError, httpx.HTTPError) as error:
        return Result(ok=False, output=str(error) or type(error).__name__)
    return Result(ok=False, output="missing probe handler")


async def _http(get: Object, container: Object, address: str, timeout_s: float) -> Result:
    url = f"{get.get('scheme', 'HTTP').lower()}://{address}:{port_number(get['port'], container)}{get.get('path', '/')}"
    headers = {each["name"]: each["value"] for each in get.get("httpHeaders", [])}
    # a kubelet does not verify the certificate of what it probes either (Kubernetes docs, "HTTP probes")
    async with httpx.AsyncClient(verify=False, trust_env=False, timeout=timeout_s) as client:
        try:
            status = (await client.get(url, headers=headers)).status_code
        except httpx.HTTPError as error:
            return Result(ok=False, output=f'Get "{url}": {error or type(error).__name__}')
    return Result(200 <= status < 400, f"HTTP probe failed with statuscode: {status}")


async def _tcp(address: str, port: int, timeout_s: float) -> Result:
    """Whether a connection is accepted, which is all that the kubelet asks for."""
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(address, port), timeout_s)
    except (OSError, TimeoutError) as error:
        why = os.strerror(error.errno) if error.errno else "i/o timeout"
        return Result(ok=False, output=f"dial tcp {address}:{port}: {why}")
    writer.close()
    return Result(ok=True)


async def _grpc(question: Object, address: str, timeout_s: float) -> Result:
    # only where a pod speaks gRPC, whose library takes memory and half a second
    from meshctl.clients.endpoints import grpc_health

    target, service = f"{address}:{question['port']}", question.get("service") or ""
    status = await asyncio.to_thread(grpc_health.check, target, timeout_s=timeout_s, service=service)
    return Result(status == grpc_health.SERVING, f'service unhealthy (responded with "{status}")')


async def until_passed(probe: Object, once: Callable[[], Awaitable[bool]]) -> bool:
    """The startup probe: True once it passes, False after failureThreshold periods.

    Asked at least every second, so that a start takes as long as it takes; the time until it has failed stays the same.
    """
    await asyncio.sleep(probe.get("initialDelaySeconds", 0))
    deadline = time.monotonic() + probe.get("failureThreshold", 3) * probe.get("periodSeconds", 10)
    while not await once():
        if time.monotonic() >= deadline:
            return False
        await asyncio.sleep(min(1, probe.get("periodSeconds", 10)))
    return True


async def follow(
    probe: Object, once: Callable[[], Awaitable[bool]], report: Callable[[bool], None], *, passing: bool
) -> None:
    """Readiness (`passing` False at first) or liveness (True): call `report` on every change, for ever."""
    await asyncio.sleep(probe.get("initialDelaySeconds", 0))
    counted = streak(probe, passing=passing)
    while True:
        before = counted.passing
        if counted.add(ok=await once()) != before:
            report(counted.passing)
        # a pod that is not ready yet is asked more often, as the kubelet does after a start
        await asyncio.sleep(
            probe.get("periodSeconds", 10) if counted.passing else min(1, probe.get("periodSeconds", 10))
        )
