"""The lab's DNS server, UDP and TCP, over the zones of the lab's Route 53. EDGE. Run by `__main__`.

Record sets are read from the AWS API when a question comes, at most every `FRESH_S`. While the API doesn't answer, or
takes its time, names lead where they led when it last did, as Route 53's name servers go on without its API. Before it
ever answered the answer is SERVFAIL: an unreachable API is never read as "no such name".
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping
from typing import Any

import boto3
import dns.exception
import dns.flags
import dns.inet
import dns.message
import dns.rcode
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from meshctl.lab.network import zones
from meshctl.lab.network.health_checks import HealthChecker

log = logging.getLogger(__name__)
FRESH_S = 0.3
CHECKS_FRESH_S = 5.0  # how old the list of health checks may be
PATIENCE_S = 0.5  # how long a question waits for the API when there is an older answer
UDP_BYTES = 1232
ACCESS_KEY, SECRET_KEY = "LABDNS00000000000001", "lab"


class Route53:
    """The record sets of every hosted zone, read again after `FRESH_S`. An answer of the API never replaces a newer
    one."""

    def __init__(self, endpoint: str) -> None:
        # patient: until the API answers, names lead where they led before, so that a slow answer does no harm
        config = Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=60)
        self.client: Any = boto3.client(
            "route53",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            config=config,
        )
        self.read_at = -FRESH_S
        self.zones: zones.Zones | None = None
        self.health_checks: dict[str, dict[str, Any]] = {}  # their configurations by id
        self.reading: asyncio.Task[zones.Zones] | None = None

    async def current(self) -> zones.Zones:
        """The zones as the API last gave them. Raises: BotoCoreError, ClientError if it has never answered."""
        if self.zones is not None and time.monotonic() - self.read_at < FRESH_S:
            return self.zones
        if self.reading is None or self.reading.done():
            self.reading = asyncio.ensure_future(self._refresh())
        if self.zones is None:
            return await asyncio.shield(self.reading)
        await asyncio.wait([self.reading], timeout=PATIENCE_S)
        return self.zones

    async def _refresh(self) -> zones.Zones:
        try:
            self.zones = await asyncio.to_thread(self.read)
        except (BotoCoreError, ClientError) as error:
            log.warning("Route 53 does not answer: %s", error)
            if self.zones is None:
                raise
        self.read_at = time.monotonic()
        return self.zones

    def read(self) -> zones.Zones:
        balancers: list[dict[str, Any]] = []
        for page in self.client.get_paginator("list_hosted_zones").paginate():
            for zone in page["HostedZones"]:
                records = self.client.get_paginator("list_resource_record_sets").paginate(HostedZoneId=zone["Id"])
                balancers.extend(each for part in records for each in part["ResourceRecordSets"])
        checks = [
            each for page in self.client.get_paginator("list_health_checks").paginate() for each in page["HealthChecks"]
        ]
        self.health_checks = {each["Id"]: each["HealthCheckConfig"] for each in checks}
        return zones.from_api(balancers)


class DnsServer:
    """`balancers` is the live table of load balancer names."""

    def __init__(self, route53: Route53, balancers: Mapping[str, str]) -> None:
        self.route53 = route53
        self.balancers = balancers
        self.checker = HealthChecker(lambda place: balancers.get(zones.plain(place), _ip_address(place)))

    async def respond(self, wire: bytes) -> bytes | None:
        """The response in wire format; None for what is no DNS query."""
        try:
            query = dns.message.from_wire(wire)
        except (dns.exception.DNSException, ValueError):
            return None
        try:
            return zones.answer(query, await self.route53.current(), self.balancers, self.checker.sick).to_wire()
        except (BotoCoreError, ClientError):
            failed = dns.message.make_response(query)
            failed.set_rcode(dns.rcode.SERVFAIL)
            return failed.to_wire()

    async def serve(self, address: str, port: int) -> None:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: Udp(self), local_addr=(address, port))
        server = await asyncio.start_server(self._stream, address, port)
        try:
            await server.serve_forever()
        finally:
            transport.close()

    async def check_health(self) -> None:
        """Ask what the health checks of Route 53 name, until cancelled; answers leave out what is sick."""
        await self.checker.serve(self._health_checks)

    async def _health_checks(self) -> Mapping[str, dict[str, Any]]:
        if time.monotonic() - self.route53.read_at > CHECKS_FRESH_S:
            with contextlib.suppress(BotoCoreError, ClientError):
                await self.route53.current()
        return self.route53.health_checks

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                length = int.from_bytes(await reader.readexactly(2))
                response = await self.respond(await reader.readexactly(length))
                if response is None:
                    break
                writer.write(len(response).to_bytes(2) + response)
                await writer.drain()
        writer.close()


class Udp(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self.server = server
        self.tasks: set[asyncio.Task[None]] = set()
        self.transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        task = asyncio.ensure_future(self._answer(data, addr))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _answer(self, data: bytes, addr: tuple[str, int]) -> None:
        response = await self.server.respond(data)
        if response is not None and self.transport:
            self.transport.sendto(response if len(response) <= UDP_BYTES else truncated(response), addr)


def _ip_address(place: str) -> str:
    """`place` if it is an address; "" for a name that no load balancer has."""
    return place if dns.inet.is_address(place) else ""


def truncated(response: bytes) -> bytes:
    """The same response without records, flagged so that the client asks again by TCP."""
    message = dns.message.from_wire(response)
    for section in (message.answer, message.authority, message.additional):
        section.clear()
    message.flags |= dns.flags.TC
    return message.to_wire()
