"""What the last run knew of the reservations of pools, where this one did not hear of them. PURE.

Called by `running_pods`. A run may have nobody to ask (no credentials), or no reason to: what the last one knew holds
then. The nodes of a pool that is up stay in the placement group that they were launched in, or in none: another launch
template would replace them all.
"""

from __future__ import annotations

from meshctl.model.deployment import Deployment, Pool, ReservedCapacity
from meshctl.model.questions import InPlace


def as_last_known(deployment: Deployment, up: Deployment | None, in_place: InPlace) -> Deployment:
    """`up`: what the last run declared; `in_place`: what of it is there."""
    if up is None or not any(pool.reservation for pool in deployment.pools):
        return deployment
    declared = {pool.name: pool for pool in up.pools}
    pools = (_pool(pool, declared.get(pool.name), in_place.made_pool(pool.name)) for pool in deployment.pools)
    return deployment.model_copy(update={"pools": tuple(pools)})


def _pool(pool: Pool, declared: Pool | None, running: Pool | None) -> Pool:
    if declared is None or not pool.reservation or declared.reservation != pool.reservation:
        return pool
    reserved = pool.reserved or declared.reserved
    if running is not None and reserved is not None:
        group = running.reserved.placement_group if running.reserved else ""
        reserved = reserved.model_copy(update={"placement_group": group})
    return pool.model_copy(update={"reserved": _or_none(reserved)})


def _or_none(reserved: ReservedCapacity | None) -> ReservedCapacity | None:
    """None for what says nothing, as deployments of older releases have it."""
    return None if reserved == ReservedCapacity() else reserved
