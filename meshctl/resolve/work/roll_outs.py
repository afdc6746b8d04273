"""Decides for each workload that serves what a roll-out does first: start one more pod, or end one. PURE.

Called by `meshctl.resolve`, once everything is known to fit; rendered as `maxSurge` and `maxUnavailable`. A pod that
finds no place is waited for until the roll-out fails, and may push jobs out meanwhile: one more is started only where
it certainly fits beside all pods of the pool, those of jobs among them, on the nodes that the pool starts with. One
`up` may roll several workloads, so that each of these pods has a place of its own. Where pods have ports of their
nodes, one always ends first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Literal

from meshctl.model.deployment import Pool, Workload
from meshctl.model.keys import roll_outs
from meshctl.resolve.placement.allocatable import Usable
from meshctl.resolve.placement.packing import Nodes, Pods
from meshctl.resolve.placement.spare_room import has_place
from meshctl.resolve.work.workloads import Home, most_pods_of, pods_of

# What pods that nobody declared may ask for on a node, beyond what `allocatable` counts for a machine type: add-ons of
# the cluster, drivers, device plugins, and the kubelet's share for as many pods as a small node may have.
_UNSEEN_CPU: Final = 0.6
_UNSEEN_MEMORY_GIB: Final = 2.0


def decided(
    workloads: tuple[Workload, ...], pools: Iterable[Pool], usable: Mapping[str, Usable]
) -> tuple[Workload, ...]:
    """The workloads, each with what its roll-outs do first. `usable`: as for `workloads.gaps`."""
    homes = {pool.name: Home(pool, usable[pool.name]) for pool in pools}
    new_first: set[str] = set()
    for name, home in homes.items():
        new_first |= _starting_new_first([workload for workload in workloads if workload.pool == name], home)
    return tuple(_with_rule(workload, homes[workload.pool].pool, new_first) for workload in workloads)


def _with_rule(workload: Workload, pool: Pool, new_first: set[str]) -> Workload:
    if workload.is_job or workload.is_grouped or roll_outs.keeps_volumes(workload):
        return workload
    is_new_first = workload.name in new_first
    if workload.has_range and not is_new_first and not _ends_old_first(workload):
        # one more replica has room as long as there are fewer than the most that there may be
        return workload.model_copy(update={"roll_out": "new-first-unless-full"})
    if is_new_first == roll_outs.older_rule(workload, pool):
        return workload  # what is up keeps its bytes
    rule: Literal["new-first", "old-first"] = "new-first" if is_new_first else "old-first"
    return workload.model_copy(update={"roll_out": rule})


def _starting_new_first(members: list[Workload], home: Home) -> set[str]:
    """Those with a single pod choose first: the others still have one while another is replaced."""
    pods = [most_pods_of(workload, home.pool) for workload in members]
    nodes = _certain(home)
    chosen: set[str] = set()
    for workload in sorted(members, key=lambda workload: workload.replicas > 1):
        if workload.is_job or workload.is_grouped or _ends_old_first(workload):
            continue
        wants = pods_of(workload, home.pool).wants
        if has_place(wants, tuple(pods), nodes):
            pods.append(Pods(1, wants))
            chosen.add(workload.name)
    return chosen


def _ends_old_first(workload: Workload) -> bool:
    """Whether an old pod has what the new one needs."""
    return (
        roll_outs.keeps_volumes(workload)
        or roll_outs.needs_volume_of_one_node(workload)
        or roll_outs.uses_node_ports(workload)
    )


def _certain(home: Home) -> Nodes:
    """What the nodes certainly have for pods of the mesh."""
    if home.usable.is_seen:
        return home.nodes
    unseen = (0, _UNSEEN_CPU, _UNSEEN_MEMORY_GIB, 0, 0, 0)
    return tuple(
        (tuple(has - less for has, less in zip(free, unseen, strict=True)), count) for free, count in home.nodes
    )
