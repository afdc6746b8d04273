"""The endpoints' names: one DNS record each, in a stack of its own, since names outlive every environment.

Declared by `meshctl.engine.session`: `up` points new names at their first environment, a migration's cutover moves
them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass

import pulumi

from stacks.resources import AwsProvider, AwsResource


@dataclass(frozen=True)
class Name:
    """One endpoint: its host name and what it stands for at the moment."""

    host: str
    environment: str
    address: str  # an IP address, or a load balancer's own name


def declare(
    names: Mapping[str, Name], *, hosted_zone_id: str, ttl_s: int, profile: str, tags: Mapping[str, str]
) -> None:
    """One record for each endpoint (by its name in the mesh), and the table of them as output `endpoints`."""
    aws = AwsProvider("dns", region="us-east-1", profile=profile, tags=tags)  # Route 53 is global
    for endpoint, name in sorted(names.items()):
        AwsResource.declare(
            "route53:RecordSet",
            f"endpoint/{endpoint}:record",
            {
                "HostedZoneId": hosted_zone_id,
                "Name": name.host,
                "Type": record_type(name.address),
                "TTL": ttl_s,
                "ResourceRecords": [{"Value": name.address}],
            },
            provider=aws,
        )
    pulumi.export(
        "endpoints",
        {
            endpoint: {"host": n.host, "environment": n.environment, "address": n.address}
            for endpoint, n in names.items()
        },
    )


def record_type(address: str) -> str:
    """`A` or `AAAA` for an address, `CNAME` for a name."""
    try:
        return "A" if ipaddress.ip_address(address).version == 4 else "AAAA"
    except ValueError:
        return "CNAME"
