"""How many replicas of what serves may be on nodes that other pools lend, and what to say of them. PURE.

Called by `meshctl.resolve` for workloads that serve with `burst`, and by `lending` for what is said of them. Load fills
their own pool first; only what that has no room for borrows (ADR 0079). Nodes that others lend promise nothing, so that
a mesh whose pools lend less in one environment, or nothing, comes up there all the same, with fewer replicas at most.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from meshctl.model.deployment import Pool, Workload
from meshctl.resolve.placement import node_rules, packing
from meshctl.resolve.placement.allocatable import Usable
from meshctl.resolve.work.lending.lending_counters import Counter
from meshctl.resolve.work.workloads import Home, pods_of
from meshctl.words import pluralize


def serves_with_burst(workload: Workload) -> bool:
    return workload.burst and not workload.is_job and workload.has_range


def decided(workloads: Iterable[Workload], pools: Iterable[Pool], usable: Mapping[str, Usable]) -> tuple[Workload, ...]:
    """The workloads, those that serve with `burst` with the replicas for which there is room on their own pool and on
    lent nodes. `usable`: as for `workloads.gaps`."""
    all_workloads, homes = tuple(workloads), {pool.name: Home(pool, usable[pool.name]) for pool in pools}
    return tuple(
        _with_room(each, all_workloads, homes)
        if serves_with_burst(each) and each.pool in homes and each.accelerators
        else each
        for each in all_workloads
    )


def _with_room(workload: Workload, workloads: Iterable[Workload], homes: Mapping[str, Home]) -> Workload:
    own = max(_own_places(workload, workloads, homes[workload.pool]), workload.replicas)
    places = sum(_lent_places(workload, homes[name]) for name in workload.lenders)
    most = min(workload.at_most, own + places)
    room = {
        "lent_places": places,
        "lent_replicas": max(most - own, 0),
        "most_replicas": most if most > workload.replicas else 0,  # 0: no range
    }
    return workload.model_copy(update=room)


def _own_places(workload: Workload, workloads: Iterable[Workload], home: Home) -> int:
    """How many replicas have room on the most nodes that its own pool may get, beside the least of what else serves
    there. What else is there at the moment is not counted, since it ends: meanwhile lent nodes carry the load."""
    pool = home.pool
    others = [each for each in workloads if each.pool == pool.name and not each.is_job and each.name != workload.name]
    beside = tuple(pods_of(each, pool) for each in others)
    needed, wants = sum(pods.count for pods in beside), pods_of(workload, pool).wants
    nodes = ((home.node, max(pool.nodes_max, pool.nodes)),)
    fewest, most = 0, workload.at_most
    while fewest < most:
        replicas = (fewest + most + 1) // 2
        if packing.placeable((*beside, packing.Pods(replicas, wants)), nodes) < needed + replicas:
            most = replicas - 1
        else:
            fewest = replicas
    return fewest


def _lent_places(workload: Workload, home: Home) -> int:
    """How many replicas have room on the nodes that the pool lends, if nothing else has borrowed one, and as far as
    environments.yaml lets them run there."""
    pool, nodes = home.pool, home.usable.nodes
    allowed = len(node_rules.matching(workload, nodes, pool.labels)) if nodes else pool.lends_nodes
    return pods_of(workload, pool).fit_on(home.node) * min(allowed, pool.lends_nodes)


def notes(
    asked_for: Iterable[Workload], workloads: Iterable[Workload], pools: Iterable[Pool], counter: Counter
) -> Iterator[str]:
    """`asked_for`: the workloads as the mesh has them, before `decided`."""
    most_wanted = {each.name: each.at_most for each in asked_for if serves_with_burst(each)}
    by_name = {pool.name: pool for pool in pools}
    for workload in workloads:
        if workload.name in most_wanted and workload.pool in by_name:
            yield from _of(workload, most_wanted[workload.name], by_name[workload.pool], counter)


def _of(workload: Workload, most_wanted: int, pool: Pool, counter: Counter) -> Iterator[str]:
    at = f"workload/{workload.name}"
    if workload.lent_replicas:
        yield (
            f"{at}: its own pool has room for {pluralize(workload.own_at_most, 'replica')}; load may bring"
            f" {workload.lent_replicas} more on idle nodes of {', '.join(workload.lenders)}. These go first when load"
            " falls, and end, with their grace, as soon as their lender needs the node"
        )
    if workload.at_most < most_wanted:
        yield (
            f"{at}: has {pluralize(workload.at_most, 'replica')} at most here, and not {most_wanted}: its own pool has"
            f" no room for more, and {_why_none_is_lent(workload, pool, counter)}"
        )
    elif not workload.lent_replicas:
        yield f"{at}: its own pool has room for all {most_wanted} replicas, so that it borrows nothing for now"


def _why_none_is_lent(workload: Workload, pool: Pool, counter: Counter) -> str:
    if counter.kai is not None:
        return "KAI Scheduler lends nodes to jobs alone"
    if not counter.is_there:
        return f"nothing is lent yet: {counter.note or counter.gap}"
    if not pool.is_filled_by(workload.accelerators):
        return "pods that serve borrow only if they take a whole node"
    if not workload.lenders:
        return "no other pool lends nodes with its hardware and fabric"
    if not workload.lent_places:
        return "environments.yaml lets its pods run on no node that is lent"
    return f"no more is lent by {', '.join(workload.lenders)}"
