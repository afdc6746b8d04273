"""The endpoints' names: one DNS record each, in a stack of its own, since names outlive every environment.

Declared by `meshctl.deploy.session`: `up` points new names at their first environment, a migration's cutover moves
them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import pulumi
from pydantic import ConfigDict

from meshctl.model.persisted import OWN
from meshctl.model.stack_state import STAMP
from stacks.resources import AwsProvider, AwsResource


@dataclass(frozen=True)
class Name:
    """One endpoint: its host name, what it stands for at the moment, and how its record is written."""

    __pydantic_config__ = ConfigDict(extra="forbid")  # for `dns.names.NAME`, which reads the outputs

    host: str
    environment: str
    address: str  # an IP address, or a load balancer's own name
    ttl_s: int = 0
    zone: str = ""  # as environments.yaml has it; empty where an older state does not tell
    zone_id: str = ""
    in_service: bool = True  # False: the record is written, but Route 53 has not said that all its servers have it


def declare(names: Mapping[str, Name], *, before: Mapping[str, Name], profile: str, tags: Mapping[str, str]) -> None:
    """One record for each host, and the table of the names (by endpoint) as output `endpoints`; `before`, the table so
    far, is an output too: where a record could not be written, it is still the true one.

    A record is named by its host: whatever the endpoint is called in the mesh, it stays the same one. Older states
    have it under the endpoint's name.
    """
    aws = AwsProvider("dns", region="us-east-1", profile=profile, tags=tags)  # Route 53 is global
    for _, name in sorted(names.items()):
        AwsResource.declare(
            "route53:RecordSet",
            f"endpoint/{name.host}:record",
            {
                "HostedZoneId": name.zone_id,
                "Name": name.host,
                "Type": record_type(name.address),
                "TTL": name.ttl_s,
                "ResourceRecords": [{"Value": name.address}],
            },
            provider=aws,
            aliases=[f"endpoint/{endpoint}:record" for endpoint, old in before.items() if old.host == name.host],
        )
    pulumi.export("endpoints", {endpoint: asdict(name) for endpoint, name in names.items()})
    pulumi.export("before", {endpoint: asdict(name) for endpoint, name in before.items()})
    pulumi.export(STAMP, OWN.document())


def record_type(address: str) -> str:
    """`A` or `AAAA` for an address, `CNAME` for a name."""
    try:
        return "A" if ipaddress.ip_address(address).version == 4 else "AAAA"
    except ValueError:
        return "CNAME"
