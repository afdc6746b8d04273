"""What reserved pools get of an environment's reservations: the values that a platform's rule gives back. PURE.

Made by a platform (`Machines.reservations`), read by `meshctl.resolve.placement.pools`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from meshctl.model.deployment import Gap, Market


@dataclass(frozen=True, slots=True)
class Reserved:
    id: str
    market: Market
    zone: str


@dataclass
class Assigned:
    """The reservation of each pool, gaps for reservations that can't be used as environments.yaml says, and notes on
    those that no pool uses."""

    pools: dict[str, Reserved] = field(default_factory=dict)
    gaps: list[Gap] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
