"""How fast a workload's storage gives and takes bytes, as far as anybody knows. PURE.

Called by `inference` (weights) and `training` (checkpoints). What `bench` has measured comes first, then what the mesh
has bought; an object store has neither, and then there is no expectation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from meshctl.advise.figures import Change
from meshctl.advise.situation import Situation, origin
from meshctl.model.deployment import Deployment, FileSystem

_MB: Final = 1e6


@dataclass(frozen=True, slots=True)
class Rate:
    """Of all clients together; `is_measured`: by `bench`, not from a price list."""

    bytes_per_s: float
    basis: str
    is_measured: bool = False


def rate(situation: Situation, name: str, direction: Literal["read", "write"]) -> Rate | None:
    """None where nothing is known."""
    measured = situation.measured(f"{direction} throughput", f"storage/{name}")
    if measured is not None:
        return Rate(measured.value * _MB, f"{direction} measured: {origin(measured)}", is_measured=True)
    system = next((each for each in situation.deployment.file_systems if each.name == name), None)
    return _bought(system) if system is not None else None


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


def unknown(name: str) -> str:
    return (
        f"no expectation known for storage {name}; `meshctl bench` measures it, or reads what fio has measured (--from)"
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
