"""Which pods stay where they run when an autoscaler makes their pool smaller, and which are missed meanwhile. PURE.

Called by `meshctl.resolve`. A job is cut off by a move, so its pods say that nobody may move them. Pods that serve may
be moved: they end their requests, and a disruption budget has others answer meanwhile, where there are others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from meshctl.model.deployment import Pool, Workload
from meshctl.model.keys import evictions


def decided(workloads: tuple[Workload, ...], pools: Iterable[Pool]) -> tuple[Workload, ...]:
    """The workloads, with jobs that stay where they run. In pools with a fixed number of nodes nobody moves them."""
    made = tuple(pools)
    return tuple(
        each.model_copy(update={"stays_on_node": True}) if evictions.stays_on_node(each, made) else each
        for each in workloads
    )


def notes(workloads: Iterable[Workload], pools: Iterable[Pool]) -> Iterator[str]:
    by_name = {pool.name: pool for pool in pools}
    for workload in workloads:
        pool = by_name[workload.pool]
        if workload.stays_on_node:
            yield (
                f"workload/{workload.name}: its pods have annotations ({', '.join(evictions.STAYING)}) that keep node"
                " autoscalers from evicting them, so that shrinking the pool interrupts no work; a job that is up gets"
                " them when its Job is next recreated"
            )
        elif _is_gone_meanwhile(workload, pool):
            yield (
                f"workload/{workload.name}: its only pod takes less than half of a node. An autoscaler that shrinks"
                f" pool {pool.name} may evict it, and the workload is down until the pod is ready elsewhere; raise"
                " `replicas`, or its `min`, to at least 2, or write"
                f' `annotations: {{{evictions.SAFE}: "false"}}` for it into environments.yaml'
            )


def _is_gone_meanwhile(workload: Workload, pool: Pool) -> bool:
    """Whether it may have one pod, which an autoscaler may move. Pods with data on the node's disk hold their node."""
    if workload.is_job or not evictions.may_shrink(pool) or workload.replicas != 1 or workload.is_grouped:
        return False
    if workload.staged_gib or workload.annotations.get(evictions.SAFE) == "false":
        return False
    return _share(workload, pool) < evictions.LITTLE_USED


def _share(workload: Workload, pool: Pool) -> float:
    if pool.gpus_per_node:
        return workload.accelerators / pool.gpus_per_node
    return max(workload.cpu / max(pool.cpu_cores, 1), workload.memory_gib / max(pool.memory_gib, 1))
