"""Gives reserved pools their capacity reservation or capacity block on AWS. PURE.

Called by `meshctl.resolve.placement.pools` through the platform; `stacks.aws` targets the reservation in the pool's
launch template.
"""

from __future__ import annotations

from meshctl.model.deployment import Gap, Market
from meshctl.model.mesh import Mesh
from meshctl.platforms.aws.environment import AwsEnvironment, Reservation
from meshctl.resolve.placement.capacity import Assigned, Reserved


def assign(mesh: Mesh, environment: AwsEnvironment) -> Assigned:
    """Reservations that name a pool go to it; the others go to the reserved pools in the mesh's order.

    A reservation that names a pool which can't have it contradicts the mesh: a gap. One that is left over may be meant
    for another mesh: a note.
    """
    assigned = Assigned()
    capacity = environment.capacity
    entries: list[tuple[Reservation, Market]] = [(item, "reserved") for item in capacity.reservations]
    entries += [(item, "capacity-block") for item in capacity.blocks]
    reserved = [name for name, pool in mesh.pools.items() if pool.capacity == "reserved"]
    for item, market in entries:
        if item.pool in reserved and item.pool not in assigned.pools:
            assigned.pools[item.pool] = Reserved(item.id, market, item.zone or "")
        elif item.pool is not None:
            assigned.gaps.append(_refused(mesh, item, item.pool, assigned.pools.get(item.pool)))
    without_pool = [(item, market) for item, market in entries if item.pool is None]
    open_pools = [name for name in reserved if name not in assigned.pools]
    for name, (item, market) in zip(open_pools, without_pool, strict=False):
        assigned.pools[name] = Reserved(item.id, market, item.zone or "")
    assigned.notes = [
        f"capacity {item.id} is not used: no pool with `capacity: reserved` is left for it"
        for item, _ in without_pool[len(open_pools) :]
    ]
    return assigned


def _refused(mesh: Mesh, item: Reservation, pool: str, holder: Reserved | None) -> Gap:
    if holder is not None:
        best = f"pool {pool} has {holder.id}, and takes one"
        hint = "remove one of the two, or split the pool: a node group starts its nodes in one reservation"
    else:
        best = f"pool {pool} is {mesh.pools[pool].capacity}" if pool in mesh.pools else "no such pool"
        hint = f"set `capacity: reserved` on pool {pool}, or leave the entry out"
    return Gap(subject=f"capacity/{item.id}", wanted=f"pool {pool} in it", best=best, hint=hint)
