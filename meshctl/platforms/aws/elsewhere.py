"""Where else AWS may have machines for a pool that got none: other zones, other machines that fit. PURE.

Part of the platform (`meshctl.platforms.aws`). AWS tells which zones have a type at all, and never how many are free: a
place is worth a try, and no more than that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from meshctl.model.deployment import Deployment, Pool
from meshctl.model.questions import ApiAnswer, ApiQuestion

# As EC2 and EC2 Auto Scaling name it in the text of `AsgInstanceLaunchFailures` (on-demand and spot).
# The last two: a reservation that has ended or has been used up since it was looked at before the run.
CODES: Final = frozenset(
    {
        "InsufficientInstanceCapacity",
        "UnfulfillableCapacity",
        "InvalidCapacityReservationState",
        "ReservationCapacityExceeded",
    }
)
_OFFERINGS: Final = "elsewhere"
_MOST_MACHINES: Final = 3


def questions(pools: tuple[Pool, ...]) -> tuple[ApiQuestion, ...]:
    types = sorted({machine for pool in pools if not pool.reservation for machine in (pool.machine, *_others(pool))})
    if not types:
        return ()
    arguments = {
        "LocationType": "availability-zone",
        "Filters": [{"Name": "instance-type", "Values": types}],
    }
    about = "which zones have which machines"
    return (ApiQuestion(_OFFERINGS, "ec2", "describe_instance_type_offerings", about, arguments),)


def _others(pool: Pool) -> tuple[str, ...]:
    return pool.alternatives[:_MOST_MACHINES]


def places(deployment: Deployment, pool: Pool, answers: Mapping[str, ApiAnswer]) -> tuple[str, ...]:
    """In words, the zones of the pool's own machine first. A pool in a reservation has no others."""
    if pool.reservation:
        return (
            f"another reservation in `capacity` of {deployment.environment}: {pool.reservation} has none for it now",
        )
    answer = answers.get(_OFFERINGS)
    if answer is None or answer.is_refused:
        return ()
    return tuple(_places(deployment, pool, answer.content.get("InstanceTypeOfferings", [])))


def _places(deployment: Deployment, pool: Pool, offerings: list[dict[str, Any]]) -> Iterator[str]:
    zones = {
        machine: sorted(each["Location"] for each in offerings if each["InstanceType"] == machine)
        for machine in (pool.machine, *_others(pool))
    }
    other_zones = [zone for zone in zones[pool.machine] if zone not in pool.zones]
    if other_zones:
        yield f"{pool.machine} in {' or '.join(other_zones)} ({_change_of_zones(deployment, pool)})"
    others = [f"{machine} in {' or '.join(zones[machine])}" for machine in _others(pool) if zones[machine]]
    if others:
        yield f"another machine that fits: {', '.join(others)}"


def _change_of_zones(deployment: Deployment, pool: Pool) -> str:
    """A pool that lies in one zone goes to the first that has its machine; what is up stays where it is."""
    place = "first in" if len(pool.zones) == 1 else "to"
    verb = "put the zone" if len(pool.zones) == 1 else "add the zone"
    return f"{verb} {place} `zones` of {deployment.environment}"
