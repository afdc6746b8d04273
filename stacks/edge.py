"""The DNS records of the endpoints, in a stack of their own, because they outlive every environment.

Declared through `meshctl.dns.endpoint_records`: `up` points new records at their first environment, and a migration's
cutover moves them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pulumi
from pydantic import ConfigDict

from meshctl.model.dns_splits import SHARED_BY, Split
from meshctl.model.persisted import OWN
from meshctl.model.stack_state import STAMP
from stacks.resources import AwsProvider, AwsResource
from stacks.split_records import declare_split


@dataclass(frozen=True)
class DnsRecord:
    """The DNS record of one endpoint: its host name, the environment it points at, and how the record is written."""

    __pydantic_config__ = ConfigDict(extra="forbid")  # for `dns.records.DNS_RECORD`, which reads the outputs

    host: str
    environment: str
    address: str  # an IP address, or a load balancer's own name
    ttl_s: int = 0
    zone: str = ""  # as environments.yaml has it; empty where an older state does not tell
    zone_id: str = ""
    in_service: bool = True  # False: the record is written, but Route 53 has not said that all its servers have it
    split: Split | None = None  # the weighted records of the host, whether its own record leads to them or not

    @property
    def environments(self) -> tuple[str, ...]:
        """Those that the record leads to: several while a workload is expanded."""
        return tuple(self.environment.split(SHARED_BY))

    def document(self) -> dict[str, Any]:
        """As an output of the stack. Without a split it is what older versions write and read."""
        document = asdict(self)
        if self.split is None:
            del document["split"]
        return document


def declare(
    records: Mapping[str, DnsRecord], *, before: Mapping[str, DnsRecord], profile: str, tags: Mapping[str, str]
) -> None:
    """Declare one Route 53 record for each host, and export `records` (by endpoint) as the output `endpoints`.

    `before`, the records so far, is exported too: when a record could not be written, the old one is still in force.
    Resources are named by host, so that renaming an endpoint in the mesh keeps its record. States of older versions
    named them by endpoint, hence the aliases.
    """
    aws = AwsProvider("dns", region="us-east-1", profile=profile, tags=tags)  # Route 53 is global
    for _, record in sorted(records.items()):
        weighted = (
            declare_split(record.host, record.split, zone_id=record.zone_id, ttl_s=record.ttl_s, provider=aws)
            if record.split is not None
            else ()
        )
        AwsResource.declare(
            "route53:RecordSet",
            f"endpoint/{record.host}:record",
            {
                "HostedZoneId": record.zone_id,
                "Name": record.host,
                "Type": record_type(record.address),
                "TTL": record.ttl_s,
                "ResourceRecords": [{"Value": record.address}],
            },
            provider=aws,
            depends_on=weighted,
            aliases=[f"endpoint/{endpoint}:record" for endpoint, old in before.items() if old.host == record.host],
        )
    pulumi.export("endpoints", {endpoint: record.document() for endpoint, record in records.items()})
    pulumi.export("before", {endpoint: record.document() for endpoint, record in before.items()})
    pulumi.export(STAMP, OWN.document())


def record_type(address: str) -> str:
    """`A` or `AAAA` for an address, `CNAME` for a name."""
    try:
        return "A" if ipaddress.ip_address(address).version == 4 else "AAAA"
    except ValueError:
        return "CNAME"
