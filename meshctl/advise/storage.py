"""How fast a workload's storage gives and takes bytes, as far as anybody knows. PURE.

Called by `inference` (weights) and `training` (checkpoints). What `bench` has measured of one client comes first, for
as many clients as there are nodes, then what the mesh has bought; where neither is known there is no expectation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from meshctl.advise.figures import Change
from meshctl.advise.human import amount
from meshctl.advise.situation import Situation, best_of_newest, origin
from meshctl.measure.results import Result
from meshctl.model.deployment import Deployment, FileSystem
from meshctl.words import pluralize

_MB: Final = 1e6
TOLERATED: Final = 0.9  # a rate below this part of what is expected is too little


@dataclass(frozen=True, slots=True)
class Rate:
    """Of all clients together."""

    bytes_per_s: float
    basis: str


def rate(situation: Situation, name: str, direction: Literal["read", "write"]) -> Rate | None:
    """None where nothing is known."""
    system = next((each for each in situation.deployment.file_systems if each.name == name), None)
    most = _bought(system) if system is not None else None
    measured = best_of_newest(situation.measured(f"{direction} throughput", f"storage/{name}"))
    return most if measured is None else _of_clients(measured, direction, situation.nodes, most)


def _of_clients(measured: Result, direction: str, nodes: int, most: Rate | None) -> Rate:
    """fio measures one client: each node is one, and together they get no more than what was bought."""
    together = measured.value * _MB * nodes
    basis = (
        f"{direction} measured by one client ({amount(measured.value)} MB/s: {origin(measured)}),"
        f" {pluralize(nodes, 'node')} as fast as that"
    )
    if most is not None and most.bytes_per_s < together:
        return Rate(most.bytes_per_s, f"{basis}, but no more than was bought: {most.basis}")
    return Rate(together, basis)


def _bought(system: FileSystem) -> Rate | None:
    """What its service sells, or what the mesh asks for; a burst above it is not counted on."""
    if system.per_unit_throughput:
        rate_mbps = system.per_unit_throughput * system.size_gib / 1024
        return Rate(
            rate_mbps * _MB, f"{system.service}: {system.per_unit_throughput} MB/s per TiB of {system.size_gib} GiB"
        )
    if system.throughput_mbps:
        return Rate(system.throughput_mbps * _MB, f"throughput of storage {system.name} in the mesh, not measured")
    return None


def bought(deployment: Deployment) -> dict[str, Rate]:
    """What the file systems of a deployment are made to give, by name, where that is known."""
    return {each.name: rate for each in deployment.file_systems if (rate := _bought(each)) is not None}


def clients(deployment: Deployment, name: str) -> int:
    """The nodes whose pods mount it."""
    pools = {each.pool for each in deployment.workloads if any(mount.storage == name for mount in each.mounts)}
    return sum(pool.nodes for pool in deployment.pools if pool.name in pools)


def unknown(situation: Situation, name: str) -> str:
    deployment = situation.deployment
    command = (
        f"`meshctl bench {deployment.environment} --what storage --of storage/{name}` measures it"
        if any(each.name == name for each in deployment.file_systems)
        else f"`meshctl bench --from` reads what fio has measured on its mount (--of storage/{name})"
    )
    return f"no expectation known for storage {name}; {command}"


def repaired(situation: Situation, name: str, direction: Literal["read", "write"], took_s: float) -> Change | None:
    """What was bought, where its clients were measured to get less of it together: there is nothing to buy. `took_s`:
    what a transfer takes as it was measured."""
    system = next((each for each in situation.deployment.file_systems if each.name == name), None)
    most = _bought(system) if system is not None else None
    measured = best_of_newest(situation.measured(f"{direction} throughput", f"storage/{name}"))
    if most is None or measured is None:
        return None
    share = measured.value * _MB * situation.nodes / most.bytes_per_s
    if share >= TOLERATED:
        return None
    return Change(
        what=f"what was bought of storage {name}, of which {pluralize(situation.nodes, 'node')} get {share:.0%}",
        effect=f"the same in {took_s * share:,.0f} instead of {took_s:,.0f} s",
        gain=1 / share - 1,
        usd_per_hour=0,
        how=f"nothing to buy: the options of its mount, the network of the nodes, and who else uses it; {most.basis}",
    )


def faster(situation: Situation, name: str, gain: float, effect: str) -> Change | None:
    """Twice the throughput of a file system, where the mesh can ask for it."""
    system = next((each for each in situation.deployment.file_systems if each.name == name), None)
    current = _bought(system) if system is not None else None
    if system is None or current is None or system.is_adopted:
        return None
    doubled_mbps = 2 * current.bytes_per_s / _MB
    return Change(
        what=f"twice the throughput of storage {name}",
        effect=effect,
        gain=gain,
        usd_per_hour=_price_of_double(situation, system),
        how=f"storage.{name}.throughput: {doubled_mbps:.0f}MB/s",
        caution="a file system whose throughput is part of its type is made anew; `meshctl plan` says so",
    )


def _price_of_double(situation: Situation, system: FileSystem) -> float | None:
    """What it costs more, where the catalog has the price of both tiers: a service whose price goes by throughput has a
    row for each, `SERVICE-MBPS`."""
    unit, now = system.per_unit_throughput, system.price.usd_per_hour
    deployment = situation.deployment
    current, doubled = (
        situation.catalog.storage_price(deployment.provider, f"{system.service}-{mbps}", deployment.region)
        for mbps in (unit, 2 * unit)
    )
    if not unit or now is None or current is None or doubled is None:
        return None
    return round(now * (doubled.usd_per_gb_month / current.usd_per_gb_month - 1), 4)
