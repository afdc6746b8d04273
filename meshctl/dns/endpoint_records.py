"""Reads and writes the stack that holds the DNS records of a mesh's endpoints, and looks up its zone. EDGE.

Made by `session`, which runs the engine for it. `records` decides which record points where.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from botocore.config import Config

import stacks.edge
from meshctl.clients.aws import aws_errors
from meshctl.clients.aws.aws_errors import AwsRequest
from meshctl.clients.aws.aws_session import aws_session
from meshctl.dns import records
from meshctl.engine.run import StackRun
from meshctl.errors import MeshError
from meshctl.model.deployment import Deployment
from meshctl.model.dns_splits import Split
from meshctl.model.environment import Dns
from stacks.edge import DnsRecord

_PATIENCE = Config(connect_timeout=5, read_timeout=20, retries={"mode": "standard", "total_max_attempts": 3})


@dataclass(frozen=True)
class EndpointRecords:
    """The DNS records of one mesh. `run` makes a run of their stack: with a program, or with None to only read it."""

    mesh: str
    dns: Dns | None
    run: Callable[[Callable[[], None] | None], StackRun]

    def current(self) -> dict[str, DnsRecord]:
        """The DNS records as the state has them, by endpoint."""
        return records.records_in_state(self.run(None).state())

    def write(self, wanted: Mapping[str, DnsRecord], current: Mapping[str, DnsRecord] | None = None) -> None:
        """Make the records exactly `wanted`. `current`: what `current()` returned a moment ago, to save reading it
        again.

        Raises: MeshError when environments.yaml names no DNS zone.
        """
        before = dict(self.current() if current is None else current)
        if dict(wanted) == before:
            return
        dns = self._dns_to_write_to()
        profile = dns.profile or ""
        if any(not record.zone_id for record in wanted.values()):
            zone_id = hosted_zone_id(dns.zone, profile)
            wanted = {
                endpoint: record if record.zone_id else replace(record, zone_id=zone_id)
                for endpoint, record in wanted.items()
            }
        tags = {"meshctl.dev/mesh": self.mesh}
        self.run(partial(stacks.edge.declare, dict(wanted), before=before, profile=profile, tags=tags)).up()

    def move(self, deployment: Deployment, addresses: Mapping[str, str]) -> None:
        """Point every endpoint at `deployment`: the cutover of a migration, or its rollback."""
        current = self.current()
        self.write(records.after_cutover(deployment, current, addresses, self.dns), current)

    def split(self, hosts: Mapping[str, str], splits: Mapping[str, Split]) -> None:
        """Write these weighted records beside those of the endpoints (endpoint -> host), which lead where they did.
        An endpoint without a split loses its weighted records."""
        current = self.current()
        self.write(records.with_splits(current, hosts, splits), current)

    def lead_to_splits(self, endpoints: Collection[str]) -> None:
        """Let the hosts of these endpoints lead to their weighted records."""
        current = self.current()
        self.write(records.leading_to_splits(current, endpoints), current)

    def drop(self, environment: str) -> None:
        """Remove the records that point at an environment."""
        current = self.current()
        remaining = records.after_destroy(environment, current)
        if remaining != current:
            self.write(remaining, current)

    def _dns_to_write_to(self) -> Dns:
        if self.dns is None:
            raise MeshError(
                "DNS records of endpoints must be written or removed, but environments.yaml has no `dns`",
                hint="add `dns: {provider: route53, zone: example.com}`, with your zone, to environments.yaml",
            )
        return self.dns


def hosted_zone_id(zone: str, profile: str) -> str:
    """The Route 53 id of `zone`, which is a domain name or already an id.

    Raises: MeshError when there is no such zone or more than one, CredentialsError, UnreachableError, BusyError.
    """
    if "." not in zone:
        return zone.removeprefix("/hostedzone/")
    name = zone.rstrip(".") + "."
    with aws_errors.translate_errors(AwsRequest("Route 53", profile, "check the credentials' rights on the zone")):
        route53: Any = aws_session(profile, "us-east-1").create_client("route53", config=_PATIENCE)
        zones = route53.list_hosted_zones_by_name(DNSName=name)["HostedZones"]
    ids = [str(item["Id"]).removeprefix("/hostedzone/") for item in zones if item["Name"] == name]
    if len(ids) == 1:
        return ids[0]
    if ids:
        raise MeshError(
            f'{len(ids)} DNS zones are named "{zone}"', hint=f"set dns.zone to one of the ids: {', '.join(ids)}"
        )
    raise MeshError(f'no DNS zone "{zone}" in Route 53', hint="create the zone, or set dns.zone to one that exists")
