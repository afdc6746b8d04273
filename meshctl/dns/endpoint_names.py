"""The stack of a mesh's endpoint names: reads them, writes them, finds their DNS zone. EDGE.

Made by `session`, which runs the engine for it; `names` decides which name leads where.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from botocore.config import Config

import stacks.edge
from meshctl.clients import aws_errors
from meshctl.clients.aws_errors import Asked
from meshctl.clients.aws_session import aws_session
from meshctl.dns import names
from meshctl.engine.run import StackRun
from meshctl.errors import MeshError
from meshctl.model.deployment import Deployment
from meshctl.model.environment import Dns
from stacks.edge import Name

_PATIENCE = Config(connect_timeout=5, read_timeout=20, retries={"mode": "standard", "total_max_attempts": 3})


@dataclass(frozen=True)
class EndpointNames:
    """The names of one mesh. `run` makes a run of their stack with a program, or of None for one that only reads."""

    mesh: str
    dns: Dns | None
    run: Callable[[Callable[[], None] | None], StackRun]

    def current(self) -> dict[str, Name]:
        """Where each endpoint's name points, by endpoint."""
        return names.names_of(self.run(None).state())

    def write(self, wanted: Mapping[str, Name], current: Mapping[str, Name] | None = None) -> None:
        """Make the names exactly these; `current`: what `current()` has just said, where it was asked.

        Raises: MeshError when there is no DNS zone to write them to.
        """
        before = dict(self.current() if current is None else current)
        if dict(wanted) == before:
            return
        dns = self._written_to()
        profile = dns.profile or ""
        if any(not name.zone_id for name in wanted.values()):
            zone_id = hosted_zone_id(dns.zone, profile)
            wanted = {
                endpoint: name if name.zone_id else replace(name, zone_id=zone_id) for endpoint, name in wanted.items()
            }
        tags = {"meshctl.dev/mesh": self.mesh}
        self.run(partial(stacks.edge.declare, dict(wanted), before=before, profile=profile, tags=tags)).up()

    def move(self, deployment: Deployment, addresses: Mapping[str, str]) -> None:
        """Point every endpoint at `deployment`: a migration's cutover, or its way back."""
        current = self.current()
        self.write(names.moved(deployment, current, addresses, self.dns), current)

    def drop(self, environment: str) -> None:
        """Remove the names that point at an environment."""
        current = self.current()
        left = names.after_destroy(environment, current)
        if left != current:
            self.write(left, current)

    def _written_to(self) -> Dns:
        if self.dns is None:
            raise MeshError(
                "endpoints' names are to be written or removed, but environments.yaml says nothing of DNS",
                hint="add `dns: {provider: route53, zone: example.com}`",
            )
        return self.dns


def hosted_zone_id(zone: str, profile: str) -> str:
    """The Route 53 id of `zone`, which is an id already or a domain name.

    Raises: MeshError when there is no such zone or more than one, CredentialsError, UnreachableError,
    BusyError.
    """
    if "." not in zone:
        return zone.removeprefix("/hostedzone/")
    name = zone.rstrip(".") + "."
    with aws_errors.named(Asked("Route 53", profile, "check the credentials' rights on the zone")):
        route53: Any = aws_session(profile, "us-east-1").create_client("route53", config=_PATIENCE)
        found = route53.list_hosted_zones_by_name(DNSName=name)["HostedZones"]
    ids = [str(item["Id"]).removeprefix("/hostedzone/") for item in found if item["Name"] == name]
    if len(ids) == 1:
        return ids[0]
    if ids:
        raise MeshError(
            f'{len(ids)} DNS zones are named "{zone}"', hint=f"set dns.zone to one of the ids: {', '.join(ids)}"
        )
    raise MeshError(f'no DNS zone "{zone}" in Route 53', hint="create the zone, or set dns.zone to one that exists")
