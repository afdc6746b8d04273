"""What AWS is asked before anything is made, and what its answers mean: zones, quotas, reservations. PURE.

Part of the platform (`meshctl.platforms.aws`). Only what a run would add is asked about: a plan without changes asks
nothing. Codes of quotas: "Amazon EC2 service quotas" and "Amazon VPC quotas" of the AWS documentation.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from meshctl.catalog import Machine
from meshctl.model.deployment import Deployment, Gap, Pool
from meshctl.model.questions import ApiAnswer, ApiQuestion, Findings, InPlace
from meshctl.platforms.aws.pools import too_spread

_ADDRESSES: Final = "L-0263D0A3"
_VPCS: Final = "L-F678F1CE"
# Quotas of spot instances by the beginnings of machine types ("Spot Instance quotas", EC2 user guide). That of p6 is
# not known here, and so is not looked at.
_SPOT: Final = {
    "p5": "L-C4BD4855",
    **dict.fromkeys(("p2", "p3", "p4"), "L-7212CCBC"),
    **dict.fromkeys(("g", "vt"), "L-3819A6DF"),
    **dict.fromkeys(("a", "c", "d", "h", "i", "m", "r", "t", "z"), "L-34B43A08"),
}
_ADDRESS: Final = "meshaws:ec2:Address"
_VPC: Final = "meshaws:ec2:Vpc"
_STANDARD: Final = "L-1216C47A"  # of types whose row names no quota: A, C, D, H, I, M, R, T, Z


@dataclass(frozen=True)
class Change:
    """What a run would add to what is up. `machines`: the catalog by the names of the types."""

    wanted: Deployment
    in_place: InPlace
    machines: Mapping[str, Machine]

    @cached_property
    def new_pools(self) -> tuple[Pool, ...]:
        """Pools that are not up, or that get other machines."""
        return tuple(pool for pool in self.wanted.pools if not self._is_up(pool))

    def _is_up(self, pool: Pool) -> bool:
        before = self.in_place.pool(pool.name)
        return before is not None and (before.machine, before.reservation) == (pool.machine, pool.reservation)

    @property
    def zones(self) -> tuple[str, ...]:
        """Those that have subnets, in the order of environments.yaml."""
        network = self.wanted.network
        return tuple(dict.fromkeys(subnet.zone for subnet in network.subnets)) if network else ()

    @property
    def missing_addresses(self) -> int:
        """Elastic IPs that a run would allocate, one for each zone's NAT gateway. An interrupted run has left some."""
        subnets = self.wanted.network.subnets if self.wanted.network else ()
        return max(sum(subnet.public for subnet in subnets) - self.in_place.counts.get(_ADDRESS, 0), 0)

    @property
    def missing_vpcs(self) -> int:
        return max((1 if self.wanted.network else 0) - self.in_place.counts.get(_VPC, 0), 0)

    def quota(self, pool: Pool) -> str:
        """The code of the quota that the pool's nodes count for; "" for capacity blocks, which have none."""
        if pool.market == "capacity-block":
            return ""
        if pool.market == "spot":
            return next((code for family, code in _SPOT.items() if pool.machine.startswith(family)), "")
        machine = self.machines.get(pool.machine)
        return (machine.quota_code if machine else "") or _STANDARD

    @cached_property
    def growing_quotas(self) -> tuple[str, ...]:
        """Quotas of which the mesh would use more than it does."""
        now, before = self.vcpus(self.wanted.pools), self.vcpus(self.in_place.pools)
        return tuple(sorted(code for code in now if now[code] > before[code]))

    def vcpus(self, pools: Iterable[Pool], *, at_most: bool = False) -> Counter[str]:
        """vCPUs by quota: of the nodes that are asked for now, or of as many as the mesh allows."""
        total: Counter[str] = Counter()
        for pool in pools:
            nodes = pool.nodes_max if at_most else pool.nodes
            if self.quota(pool):
                total[self.quota(pool)] += nodes * pool.cpu_cores
        return total


def questions(change: Change) -> tuple[ApiQuestion, ...]:
    return tuple(_questions(change))


def _questions(change: Change) -> Iterator[ApiQuestion]:
    types = sorted({pool.machine for pool in change.new_pools})
    if types:
        filters = [{"Name": "instance-type", "Values": types}]
        yield ApiQuestion(
            "offerings",
            "ec2",
            "describe_instance_type_offerings",
            "which zones have which machines",
            {"LocationType": "availability-zone", "Filters": filters},
        )
    for pool in change.new_pools:
        if pool.reservation:
            yield ApiQuestion(
                pool.reservation,
                "ec2",
                "describe_capacity_reservations",
                f"the capacity reservation {pool.reservation}",
                {"CapacityReservationIds": [pool.reservation]},
            )
    for code in change.growing_quotas:
        yield _quota_question("ec2", code, "the quotas of running instances")
    if change.missing_addresses:
        yield ApiQuestion("addresses", "ec2", "describe_addresses", "how many Elastic IPs are in use")
        yield _quota_question("ec2", _ADDRESSES, "the quota of Elastic IPs")
    if change.missing_vpcs:
        yield ApiQuestion("vpcs", "ec2", "describe_vpcs", "how many VPCs there are")
        yield _quota_question("vpc", _VPCS, "the quota of VPCs")


def _quota_question(service: str, code: str, about: str) -> ApiQuestion:
    return ApiQuestion(code, "service-quotas", "get_service_quota", about, {"ServiceCode": service, "QuotaCode": code})


def findings(change: Change, answers: Mapping[str, ApiAnswer]) -> Findings:
    zones: dict[str, tuple[str, ...]] = {}
    gaps: list[Gap] = []
    for pool in change.new_pools:
        reserved = answers.get(pool.reservation) if pool.reservation else None
        if reserved is not None and (not reserved.is_refused or _is_unknown(reserved)):
            gaps += _reservation_gaps(change, pool, reserved, zones)
        elif "offerings" in answers and not answers["offerings"].is_refused:
            gaps += _zone_gaps(change, pool, answers["offerings"], zones)
    notes = [note for code in change.growing_quotas for note in _quota_notes(change, code, answers.get(code))]
    gaps += [gap for code in change.growing_quotas for gap in _quota_gaps(change, code, answers.get(code))]
    gaps += _network_gaps(change, answers)
    gaps += [
        gap for pool in Findings(zones).placed(change.wanted).pools if pool.name in zones for gap in too_spread(pool)
    ]
    return Findings(zones, _with_their_pools(change, zones), tuple(gaps), (*notes, *_unasked(change, answers)))


def _with_their_pools(change: Change, zones: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """Zones of new file systems that lie in one zone, which was chosen to be that of a pool that now goes elsewhere."""
    if change.in_place.pools:
        return {}
    moved = {
        pool.zones[0]: zones[pool.name][0] for pool in change.new_pools if pool.name in zones and len(pool.zones) == 1
    }
    systems = change.wanted.file_systems
    return {system.name: moved[system.zone] for system in systems if system.zone in moved}


def _is_unknown(answer: ApiAnswer) -> bool:
    return answer.code.startswith("InvalidCapacityReservationId")


def _zone_gaps(change: Change, pool: Pool, answer: ApiAnswer, zones: dict[str, tuple[str, ...]]) -> Iterator[Gap]:
    """Puts the pool into zones that have its machine."""
    offerings = answer.content.get("InstanceTypeOfferings", [])
    offered = {each["Location"] for each in offerings if each["InstanceType"] == pool.machine}
    in_one_zone = len(pool.zones) == 1
    candidates = tuple(dict.fromkeys((*pool.zones, *change.zones)))
    fitting = tuple(zone for zone in candidates if zone in offered)
    if not fitting:
        yield _not_offered(change, pool, offered)
    elif in_one_zone and fitting[0] != pool.zones[0]:
        zones[pool.name] = fitting[:1]
    elif not in_one_zone and len(fitting) < len(pool.zones):
        zones[pool.name] = fitting


def _not_offered(change: Change, pool: Pool, offered: set[str]) -> Gap:
    region = change.wanted.region
    other_machines = "another accelerator or less of it in the pool, or another region"
    return Gap(
        subject=f"pool/{pool.name}",
        wanted=f"{pool.machine} in {' or '.join(change.zones)}",
        best=f"this account has it in {', '.join(sorted(offered))}" if offered else f"{region} does not have it",
        hint=f"add {sorted(offered)[0]} to the environment's `zones`" if offered else other_machines,
    )


def _reservation_gaps(
    change: Change, pool: Pool, answer: ApiAnswer, zones: dict[str, tuple[str, ...]]
) -> Iterator[Gap]:
    """Puts the pool into the zone of its reservation."""
    subject = f"capacity/{pool.reservation}"
    hint = "correct `capacity` in environments.yaml: `aws ec2 describe-capacity-reservations` lists what there is"
    reservation = next(iter(answer.content.get("CapacityReservations", ())), None)
    if reservation is None:
        yield Gap(subject=subject, wanted=f"a reservation for pool {pool.name}", best="it does not exist", hint=hint)
        return
    zone = reservation["AvailabilityZone"]
    best = _unfit(pool, reservation)
    if best:
        yield Gap(subject=subject, wanted=f"{pool.nodes} x {pool.machine} for pool {pool.name}", best=best, hint=hint)
    elif zone not in change.zones:
        hint = f"add {zone} to the environment's `zones`"
        yield Gap(subject=subject, wanted=f"nodes of pool {pool.name} in {zone}", best="no subnet there", hint=hint)
    else:
        zones[pool.name] = (zone,)


def _unfit(pool: Pool, reservation: Mapping[str, Any]) -> str:
    """Why the pool can't have the reservation; "" where it can. A scheduled one becomes active by itself."""
    if reservation["InstanceType"] != pool.machine:
        return f"it is for {reservation['InstanceType']}"
    if reservation["State"] not in ("active", "scheduled"):
        return f"it is {reservation['State']}"
    total = reservation["TotalInstanceCount"]
    return f"it has {total}" if total < pool.nodes else ""


def _quota_gaps(change: Change, code: str, answer: ApiAnswer | None) -> Iterator[Gap]:
    quota = _quota(answer)
    wanted = change.vcpus(change.wanted.pools)[code]
    if quota is not None and wanted > quota.value:
        yield Gap(
            subject=f"quota/{code}",
            wanted=f"{wanted} vCPUs of {quota.name} ({_by_pool(change, code)})",
            best=f"the account may run {quota.value:g}",
            hint=_more(change, "ec2", code, wanted),
        )


def _quota_notes(change: Change, code: str, answer: ApiAnswer | None) -> Iterator[str]:
    quota = _quota(answer)
    at_most = change.vcpus(change.wanted.pools, at_most=True)[code]
    if quota is not None and change.vcpus(change.wanted.pools)[code] <= quota.value < at_most:
        yield (
            f"the quota {quota.name} ({code}) is {quota.value:g} vCPUs: enough for now, and too few for all nodes that"
            f" the mesh allows ({at_most})"
        )


def _by_pool(change: Change, code: str) -> str:
    pools = [pool for pool in change.wanted.pools if change.quota(pool) == code and pool.nodes]
    return ", ".join(f"pool {pool.name}: {pool.nodes} x {pool.cpu_cores}" for pool in pools)


def _network_gaps(change: Change, answers: Mapping[str, ApiAnswer]) -> Iterator[Gap]:
    of_zones = "Elastic IPs, one for each zone's NAT gateway"
    wants = (
        ("addresses", "Addresses", "ec2", _ADDRESSES, change.missing_addresses, of_zones),
        ("vpcs", "Vpcs", "vpc", _VPCS, change.missing_vpcs, "VPCs"),
    )
    for name, key, service, code, wanted, words in wants:
        quota, answer = _quota(answers.get(code)), answers.get(name)
        if not wanted or quota is None or answer is None or answer.is_refused:
            continue
        used = len(answer.content.get(key, []))
        if used + wanted > quota.value:
            yield Gap(
                subject=f"quota/{code}",
                wanted=f"{wanted} more {words}",
                best=f"the account has {used} of {quota.value:g}",
                hint=_more(change, service, code, used + wanted),
            )


@dataclass(frozen=True)
class _Quota:
    name: str
    value: float


def _quota(answer: ApiAnswer | None) -> _Quota | None:
    quota: Mapping[str, Any] = answer.content.get("Quota", {}) if answer is not None else {}
    return _Quota(quota.get("QuotaName", ""), float(quota["Value"])) if "Value" in quota else None


def _more(change: Change, service: str, code: str, wanted: float) -> str:
    region, profile = change.wanted.region, change.wanted.profile
    options = f" --profile {profile}" if profile else ""
    return (
        f"`aws service-quotas request-service-quota-increase --service-code {service} --quota-code {code}"
        f" --desired-value {math.ceil(wanted)} --region {region}{options}`; AWS may take hours to days to answer"
    )


def _unasked(change: Change, answers: Mapping[str, ApiAnswer]) -> Iterator[str]:
    """What AWS did not want to say, with its code."""
    refused: dict[str, str] = {}
    for question in questions(change):
        answer = answers.get(question.name)
        if answer is not None and answer.is_refused and not _is_unknown(answer):
            refused[question.about] = answer.code
    for about, code in refused.items():
        yield f"AWS was not asked about {about}: it refused the question ({code})"
