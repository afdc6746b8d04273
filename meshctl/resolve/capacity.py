"""Gives reserved pools their capacity reservation or capacity block on AWS. PURE.

Called by `meshctl.resolve.pools`; `stacks.aws` targets the reservation in the pool's launch template.
"""

from __future__ import annotations

from dataclasses import dataclass

from meshctl.model.deployment import Market
from meshctl.model.environment import AwsEnvironment, CoreweaveEnvironment, Reservation
from meshctl.model.mesh import Mesh


@dataclass(frozen=True, slots=True)
class Reserved:
    id: str
    market: Market
    zone: str


def assign(mesh: Mesh, environment: AwsEnvironment | CoreweaveEnvironment) -> dict[str, Reserved]:
    """Pool -> reservation. Those that name a pool go to it; the rest go to reserved pools in the mesh's order."""
    if isinstance(environment, CoreweaveEnvironment):
        return {}
    capacity = environment.capacity
    entries: list[tuple[Reservation, Market]] = [(item, "reserved") for item in capacity.reservations]
    entries += [(item, "capacity-block") for item in capacity.blocks]
    reserved = [name for name, pool in mesh.pools.items() if pool.capacity == "reserved"]
    made: dict[str, Reserved] = {}
    for item, market in entries:
        if item.pool in reserved:
            made.setdefault(str(item.pool), Reserved(item.id, market, item.zone or ""))
    free = [(item, market) for item, market in entries if item.pool is None]
    open_pools = [name for name in reserved if name not in made]
    for name, (item, market) in zip(open_pools, free, strict=False):
        made[name] = Reserved(item.id, market, item.zone or "")
    return made
