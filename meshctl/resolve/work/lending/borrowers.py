"""From which pools a burst job could borrow, whoever counts. PURE. Used by `lending` and `kai_queues`."""

from __future__ import annotations

from collections.abc import Mapping

from meshctl.model import equal_pools
from meshctl.model.deployment import Pool, Workload


def lenders_of(workload: Workload, pools: Mapping[str, Pool]) -> tuple[str, ...]:
    """The pools whose nodes can do the work of its own. Pods of what serves borrow only whole nodes: of smaller ones a
    few could keep several nodes from their owner, whose accelerators would be free, as Kueue counts them."""
    own = pools.get(workload.pool)
    if own is None:  # has a gap of its own
        return ()
    if not workload.is_job and not own.is_filled_by(workload.accelerators):
        return ()
    others = (pool for pool in pools.values() if pool.lends_nodes and pool.name != own.name)
    return tuple(pool.name for pool in others if not list(equal_pools.differences(pool, own)))


def alone(workload: Workload) -> str:
    """The note on a burst job to which nobody can lend."""
    return (
        f"workload/{workload.name}: `burst` has no effect: no other pool lends nodes with the hardware and the fabric"
        f" of pool {workload.pool}"
    )
