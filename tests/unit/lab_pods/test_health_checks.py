"""The lab's health checkers: what counts as an answer, after how many a check changes, and what DNS then answers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from meshctl.lab.network import zones
from meshctl.lab.network.health_checks import Checked, HealthChecker, answers

HTTP: dict[str, Any] = {"Type": "HTTP", "FullyQualifiedDomainName": "lb.example.com", "ResourcePath": "/health"}
TCP: dict[str, Any] = {"Type": "TCP", "IPAddress": "127.0.0.1"}


@asynccontextmanager
async def server(status: int) -> AsyncIterator[int]:
    """A server that answers every request with this status; gives its port."""

    answered = asyncio.Event()

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await reader.readline():
            writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n".encode())
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        answered.set()

    running = await asyncio.start_server(respond, "127.0.0.1", 0)
    async with running:
        yield running.sockets[0].getsockname()[1]
        await asyncio.wait_for(answered.wait(), 30)


async def answer_of(config: dict[str, Any], status: int) -> bool:
    async with server(status) as port:
        return await answers({**config, "Port": port}, "127.0.0.1")


@pytest.mark.parametrize(
    ("config", "status", "good"), [(HTTP, 200, True), (HTTP, 302, True), (HTTP, 503, False), (TCP, 503, True)]
)
def test_what_counts_as_an_answer(config: dict[str, Any], status: int, good: bool) -> None:
    assert asyncio.run(answer_of(config, status)) is good


@pytest.mark.parametrize("config", [HTTP, TCP])
def test_nothing_that_listens_is_no_answer(config: dict[str, Any]) -> None:
    assert asyncio.run(answers({**config, "Port": 1}, "127.0.0.1")) is False


def test_a_check_is_sick_after_its_threshold_in_a_row_and_well_after_as_many() -> None:
    checked = Checked({"FailureThreshold": 3})
    for answered in (False, False, True, False, False):
        checked.take(answered=answered)
    assert checked.is_healthy
    checked.take(answered=False)
    assert not checked.is_healthy
    for _ in range(3):
        checked.take(answered=True)
    assert checked.is_healthy


def test_a_new_check_is_healthy_and_a_changed_one_begins_anew() -> None:
    checker = HealthChecker(lambda _: "")
    checker.update({"a": {"FailureThreshold": 1}})
    assert checker.sick == frozenset()
    checker.checks["a"].take(answered=False)
    checker.update({"a": {"FailureThreshold": 1}})
    assert checker.sick == {"a"}
    checker.update({"a": {"FailureThreshold": 2}})
    assert checker.sick == frozenset()
    checker.update({})
    assert checker.checks == {}


EAST = {"SetIdentifier": "east", "Weight": 153, "HealthCheckId": "e"}
WEST = {"SetIdentifier": "west", "Weight": 102, "HealthCheckId": "w"}
NONE = {"SetIdentifier": "none", "Weight": 0, "HealthCheckId": "n"}


def chosen(records: list[dict[str, Any]], *sick: str) -> set[str]:
    return {zones.choose(records, roll / 100, frozenset(sick))["SetIdentifier"] for roll in range(100)}


def test_dns_leaves_out_what_is_sick_unless_all_are() -> None:
    assert chosen([EAST, WEST]) == {"east", "west"}
    assert chosen([EAST, WEST], "w") == {"east"}
    assert chosen([EAST, WEST], "w", "e") == {"east", "west"}
    assert chosen([EAST, NONE]) == {"east"}
    assert chosen([EAST, NONE], "e") == {"none"}
