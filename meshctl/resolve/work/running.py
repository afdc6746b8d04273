"""Workloads that are up as the mesh wants them, which are not refused for what changed around them. PURE.

Called by `resolve`, where what is up is known.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from meshctl.model.deployment import Deployment, Pool, Workload
from meshctl.resolve.placement.allocatable import Usable
from meshctl.resolve.work import workloads


def unchanged(carried: Iterable[Workload], up: Deployment | None) -> frozenset[str]:
    """The names of those whose pods are up, as many as are wanted, on nodes that were chosen by the same rules."""
    before = {each.name: (each.pool, each.pods, each.pod) for each in up.workloads if each.runs} if up else {}
    return frozenset(each.name for each in carried if before.get(each.name) == (each.pool, each.pods, each.pod))


def kept_off_notes(
    carried: Iterable[Workload], pools: Iterable[Pool], usable: Mapping[str, Usable], up: Collection[str]
) -> Iterator[str]:
    """On those of `up` whose rules match too few nodes by now: their pods run, and a new one may find no node."""
    homes = {pool.name: workloads.Home(pool, usable[pool.name]) for pool in pools}
    for workload in carried:
        shortage = (
            workloads.kept_off(workload, homes[workload.pool])
            if workload.name in up and workload.pool in homes
            else None
        )
        if shortage is not None:
            yield f"{shortage.subject} is up and stays, but a pod that starts anew may find no node: {shortage.best}"
