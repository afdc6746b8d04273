"""Answers to DNS questions from Route 53 record sets. PURE but for the choice of one record by its weight.

Called by `dns` with what the lab's AWS API returned.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

Object = dict[str, Any]
ALIAS_TTL_S = (
    60  # https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/resource-record-sets-choosing-alias-non-alias.html
)
BALANCER_TTL_S = 60  # the TTL of the names of load balancers (ELB)
LONGEST_CHAIN = 8


@dataclass(frozen=True)
class Zones:
    """`records`: (name without final dot, type) -> the ResourceRecordSets with that name and type."""

    records: Mapping[tuple[str, str], list[Object]]

    def names(self) -> set[str]:
        return {name for name, _ in self.records}


def plain(name: str) -> str:
    """A name as a key: lower case, no final dot; Route 53 writes `*` as an octal escape."""
    return name.rstrip(".").lower().replace("\\052", "*")


def from_api(record_sets: list[Object]) -> Zones:
    records: dict[tuple[str, str], list[Object]] = {}
    for each in record_sets:
        records.setdefault((plain(each["Name"]), each["Type"]), []).append(each)
    return Zones(records)


def choose(record_sets: list[Object], roll: float, sick: Set[str] = frozenset()) -> Object:
    """One of several record sets of a name: by weight where they have weights (`roll` in [0, 1)), else the first.

    Weight 0 gets nothing, unless all have it: then each is as likely
    (https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/routing-policy-weighted.html). Those whose health check
    is in `sick` are left out, unless all are sick: then all count as healthy
    (https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/health-checks-how-route-53-chooses-records.html).
    """
    record_sets = [each for each in record_sets if each.get("HealthCheckId") not in sick] or record_sets
    weighted = [each for each in record_sets if each.get("Weight")]
    if not weighted:
        return record_sets[int(roll * len(record_sets)) if "Weight" in record_sets[0] else 0]
    remaining = roll * sum(each["Weight"] for each in weighted)
    for each in weighted:
        remaining -= each["Weight"]
        if remaining < 0:
            return each
    return weighted[-1]


def answer(
    query: dns.message.Message, zones: Zones, balancers: Mapping[str, str], sick: Set[str] = frozenset()
) -> dns.message.Message:
    """The response, CNAMEs followed as far as we know the way. `balancers`: load balancer name -> address. `sick`: the
    health checks that say so."""
    response = dns.message.make_response(query)
    response.flags |= dns.flags.AA | dns.flags.RA
    if not query.question:
        response.set_rcode(dns.rcode.FORMERR)
        return response
    question = query.question[0]
    name, kind = plain(question.name.to_text()), dns.rdatatype.to_text(question.rdtype)
    exists = False
    for _ in range(LONGEST_CHAIN):
        rrset, following = lookup(name, kind, zones, balancers, sick)
        exists = exists or name_exists(name, zones, balancers)
        if rrset is not None:
            response.answer.append(rrset)
        if not following:
            break
        name = following
    if not exists:
        response.set_rcode(dns.rcode.NXDOMAIN)
    return response


def name_exists(name: str, zones: Zones, balancers: Mapping[str, str]) -> bool:
    return name in balancers or name in zones.names() or wildcard(name) in zones.names()


def wildcard(name: str) -> str:
    return "*." + name.partition(".")[2]


def lookup(
    name: str, kind: str, zones: Zones, balancers: Mapping[str, str], sick: Set[str] = frozenset()
) -> tuple[dns.rrset.RRset | None, str]:
    """The records of a name and type, and the name to go on with ("" at the end of the chain)."""
    if name in balancers:
        return (rrset_of(name, BALANCER_TTL_S, "A", [balancers[name]]) if kind == "A" else None), ""
    for owner in (name, wildcard(name)):
        record = zones.records.get((owner, kind)) or zones.records.get((owner, "CNAME"))
        record_set = choose(record, random.random(), sick) if record else None  # noqa: S311 (load sharing)
        if record_set is None:
            continue
        if "AliasTarget" in record_set:
            target = plain(record_set["AliasTarget"]["DNSName"])
            address, following = lookup(target, kind, zones, balancers, sick)
            alias_records = address and rrset_of(name, ALIAS_TTL_S, kind, [each.to_text() for each in address])
            return alias_records, following
        values = [each["Value"] for each in record_set.get("ResourceRecords", [])]
        following = plain(values[0]) if record_set["Type"] == "CNAME" and kind != "CNAME" else ""
        return rrset_of(name, int(record_set.get("TTL", ALIAS_TTL_S)), record_set["Type"], values), following
    return None, ""


def rrset_of(name: str, ttl_s: int, kind: str, values: list[str]) -> dns.rrset.RRset:
    if kind == "CNAME":
        values = [dns.name.from_text(each).to_text() for each in values]
    return dns.rrset.from_text_list(dns.name.from_text(name), ttl_s, dns.rdataclass.IN, kind, values)
