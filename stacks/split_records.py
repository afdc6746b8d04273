"""Weighted DNS records: one host name answered from two environments, each with a share. Declared for `edge`.

The host's own record becomes a CNAME to `_split.HOST`, which holds the weighted records, and goes back to an address of
one environment in one change: at no moment does the name have no record, as it would where weighted records replaced
its own, since Route 53 lets the two not stand beside each other.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Sequence
from typing import Any

import pulumi

from meshctl.model.dns_splits import (
    CHECK_FAILURES,
    CHECK_INTERVAL_S,
    HealthCheck,
    Side,
    Split,
    is_ip,
    side_name,
    split_name,
)
from stacks.resources import AwsProvider, AwsResource

_TAG_VALUE_MAX = 256  # Route 53 API, Tag


def declare_split(
    host: str, split: Split, *, zone_id: str, ttl_s: int, provider: AwsProvider
) -> Sequence[pulumi.Resource]:
    """Declare health checks and weighted records of one host; returns the weighted records."""
    return [_weighted(host, split, side, zone_id, ttl_s, provider) for side in split.sides]


def _weighted(host: str, split: Split, side: Side, zone_id: str, ttl_s: int, provider: AwsProvider) -> pulumi.Resource:
    subject = f"endpoint/{host}"
    depends_on: list[pulumi.Resource] = []
    if is_ip(side.address):
        version = ipaddress.ip_address(side.address).version
        depends_on = [
            AwsResource.declare(
                "route53:RecordSet",
                f"{subject}:{side.environment}-address",
                {
                    "HostedZoneId": zone_id,
                    "Name": side_name(host, side),
                    "Type": "A" if version == 4 else "AAAA",
                    "TTL": ttl_s,
                    "ResourceRecords": [{"Value": side.address}],
                },
                provider=provider,
            )
        ]
    check = _declare_check(host, split, side, side.check, provider) if side.check is not None else None
    return AwsResource.declare(
        "route53:RecordSet",
        f"{subject}:{side.environment}-share",
        {
            "HostedZoneId": zone_id,
            "Name": split_name(host),
            "Type": "CNAME",
            "SetIdentifier": side.environment,
            "Weight": side.weight,
            "TTL": ttl_s,
            "ResourceRecords": [{"Value": side_name(host, side)}],
            "HealthCheckId": check.get("Id") if check is not None else None,
        },
        provider=provider,
        depends_on=depends_on,
    )


def _declare_check(host: str, split: Split, side: Side, check: HealthCheck, provider: AwsProvider) -> AwsResource:
    place = "IPAddress" if is_ip(side.address) else "FullyQualifiedDomainName"
    config: dict[str, Any] = {
        "Type": check.type,
        place: side.address,
        "Port": check.port,
        "RequestInterval": CHECK_INTERVAL_S,
        "FailureThreshold": CHECK_FAILURES,
    }
    if check.path:
        config["ResourcePath"] = check.path
    if place == "IPAddress" and check.type != "TCP":
        config["FullyQualifiedDomainName"] = host  # the Host header, and the name in TLS
    reference = hashlib.sha256(f"{split.id} {host} {side.environment} {check.type}".encode()).hexdigest()
    return AwsResource.declare(
        "route53:HealthCheck",
        f"endpoint/{host}:{side.environment}-check",
        {
            "CallerReference": reference[:64],
            "HealthCheckConfig": config,
            "Tags": {"Name": _check_name(host, side)},
        },
        outputs=("Id",),
        provider=provider,
    )


def _check_name(host: str, side: Side) -> str:
    """As the console shows it: with as much of the host as the value of a tag has room for."""
    room = _TAG_VALUE_MAX - len(side.environment) - 1
    return f"{host[:room]} {side.environment}"
