"""Plays the health checkers of Route 53: asks what health checks name, at their interval, and knows who is sick. EDGE.

Run beside the DNS server, which leaves out the records of sick checks. As there, a check is sick after
`FailureThreshold` failures in a row and well again after as many successes, HTTP needs a connection within 4 s and a
status of 2xx or 3xx within 2 s more, TCP a connection within 10 s, and a new check counts as healthy. Source: Route 53
developer guide, "How Amazon Route 53 determines whether a health check is healthy". Instead of some fifteen checkers
around the world there is one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

log = logging.getLogger(__name__)
Object = dict[str, Any]
AddressOf = Callable[[str], str]  # a load balancer's name or an IP address -> where it listens; "" for none

CONNECT_S: Final = 4.0
ANSWER_S: Final = 2.0
TCP_CONNECT_S: Final = 10.0
LOOK_S: Final = 0.5  # how often it is looked whether a check is due


@dataclass
class Checked:
    """What is known of one health check."""

    config: Object
    is_healthy: bool = True
    in_a_row: int = 0  # answers that say the opposite of `is_healthy`
    due_at: float = 0.0

    def take(self, *, answered: bool) -> None:
        """Count one answer. The state changes once enough of the opposite came in a row."""
        if answered == self.is_healthy:
            self.in_a_row = 0
            return
        self.in_a_row += 1
        if self.in_a_row >= int(self.config.get("FailureThreshold", 3)):
            self.is_healthy, self.in_a_row = answered, 0
            log.info("%s is %s", place_of(self.config), "healthy" if answered else "sick")


@dataclass
class HealthChecker:
    """`configs` is what the AWS API lists, by id, as it was read last."""

    address_of: AddressOf
    checks: dict[str, Checked] = field(default_factory=dict)

    @property
    def sick(self) -> frozenset[str]:
        return frozenset(id_ for id_, checked in self.checks.items() if not checked.is_healthy)

    def update(self, configs: Mapping[str, Object]) -> None:
        """Take over what there is now. A check that has changed begins anew."""
        for id_ in self.checks.keys() - configs.keys():
            del self.checks[id_]
        for id_, config in configs.items():
            if id_ not in self.checks or self.checks[id_].config != config:
                self.checks[id_] = Checked(config)

    async def serve(self, read: Callable[[], Awaitable[Mapping[str, Object]]]) -> None:
        """Ask whatever is due, until cancelled. `read`: the checks that exist now."""
        asking: set[asyncio.Task[None]] = set()
        while True:
            self.update(await read())
            now = time.monotonic()
            for checked in self.checks.values():
                if now >= checked.due_at:
                    checked.due_at = now + float(checked.config.get("RequestInterval", 30))
                    task = asyncio.ensure_future(self._ask(checked))
                    asking.add(task)
                    task.add_done_callback(asking.discard)
            await asyncio.sleep(LOOK_S)

    async def _ask(self, checked: Checked) -> None:
        address = self.address_of(place_of(checked.config))
        checked.take(answered=bool(address) and await answers(checked.config, address))


def place_of(config: Object) -> str:
    return str(config.get("IPAddress") or config.get("FullyQualifiedDomainName", ""))


async def answers(config: Object, address: str) -> bool:
    """Whether what listens at `address` answers one question of the check as it must."""
    kind, port = config["Type"], int(config.get("Port") or (443 if config["Type"].startswith("HTTPS") else 80))
    limit_s = TCP_CONNECT_S if kind == "TCP" else CONNECT_S
    try:
        async with asyncio.timeout(limit_s):
            reader, writer = await asyncio.open_connection(address, port, **_tls(config))
    except (OSError, TimeoutError):
        return False
    try:
        if kind == "TCP":
            return True
        async with asyncio.timeout(ANSWER_S):
            return await _status(reader, writer, config) in range(200, 400)
    except (OSError, TimeoutError, ValueError, IndexError):
        return False
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _status(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, config: Object) -> int:
    host = config.get("FullyQualifiedDomainName") or config.get("IPAddress")
    request = f"GET {config.get('ResourcePath') or '/'} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    writer.write(request.encode())
    await writer.drain()
    return int((await reader.readline()).split()[1])


def _tls(config: Object) -> Object:
    """Route 53 checks no certificate."""
    if not config["Type"].startswith("HTTPS"):
        return {}
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return {"ssl": context, "server_hostname": config.get("FullyQualifiedDomainName") or None}
