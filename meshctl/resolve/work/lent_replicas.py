"""How many replicas of what serves may be on nodes that other pools lend, and what to say of them. PURE.

Called by `lending` for workloads that serve with `burst`. Load fills their own pool first; only what that has no room
for borrows (ADR 0079). Nodes that others lend promise nothing, so that a mesh whose pools lend less in one environment,
or nothing, comes up there all the same, with fewer replicas at most.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from meshctl.model.deployment import Pool, Workload
from meshctl.resolve.placement import packing
from meshctl.resolve.placement.allocatable import Usable
from meshctl.resolve.work import borrowers
from meshctl.resolve.work.lending_counters import Counter
from meshctl.resolve.work.workloads import Home, pods_of
from meshctl.words import pluralize


def serves_with_burst(workload: Workload) -> bool:
    return workload.burst and not workload.is_job and workload.has_range


def decided(
    workloads: Iterable[Workload], pools: Iterable[Pool], usable: Mapping[str, Usable], counter: Counter
) -> tuple[Workload, ...]:
    """The workloads, those that serve with `burst` with their lenders, the replicas that these have room for, and the
    most replicas that there can be here. `usable`: as for `workloads.gaps`."""
    all_workloads, homes = tuple(workloads), {pool.name: Home(pool, usable[pool.name]) for pool in pools}
    return tuple(
        _with_lent(each, all_workloads, homes, counter)
        if serves_with_burst(each) and each.pool in homes and each.accelerators
        else each
        for each in all_workloads
    )


def _with_lent(
    workload: Workload, workloads: Iterable[Workload], homes: Mapping[str, Home], counter: Counter
) -> Workload:
    own = max(_own_places(workload, workloads, homes[workload.pool]), workload.replicas)
    wanted = max(workload.at_most - own, 0)
    lenders: tuple[str, ...] = ()
    if wanted and counter.is_there and counter.kai is None:
        lenders = borrowers.lenders_of(workload, {name: home.pool for name, home in homes.items()})
    lent = min(wanted, sum(_lent_places(workload, homes[name]) for name in lenders))
    return workload.model_copy(
        update={
            "lenders": lenders if lent else (),
            "lent_replicas": lent,
            "most_replicas": min(workload.at_most, own + lent),
        }
    )


def _own_places(workload: Workload, workloads: Iterable[Workload], home: Home) -> int:
    """How many replicas have room on the most nodes that its own pool may get, beside the least of what else serves
    there. Jobs give way to what serves."""
    pool = home.pool
    others = [each for each in workloads if each.pool == pool.name and not each.is_job and each.name != workload.name]
    beside = tuple(pods_of(each, pool) for each in others)
    wants = pods_of(workload, pool).wants
    nodes = (*home.nodes, (home.node, max(pool.nodes_max - pool.nodes, 0)))
    placed = packing.placeable((*beside, packing.Pods(workload.at_most, wants)), nodes)
    return max(placed - sum(pods.count for pods in beside), 0)


def _lent_places(workload: Workload, home: Home) -> int:
    """How many replicas have room on the nodes that the pool lends, if nothing else has borrowed one."""
    return pods_of(workload, home.pool).fit_on(home.node) * home.pool.lends_nodes


def notes(
    asked_for: Iterable[Workload], workloads: Iterable[Workload], pools: Iterable[Pool], counter: Counter
) -> Iterator[str]:
    """`asked_for`: the workloads as the mesh has them, before `decided`."""
    most_wanted = {each.name: each.at_most for each in asked_for if serves_with_burst(each)}
    by_name = {pool.name: pool for pool in pools}
    for workload in workloads:
        if workload.name in most_wanted and workload.pool in by_name:
            yield from _of(workload, most_wanted[workload.name], by_name, counter)


def _of(workload: Workload, most_wanted: int, pools: Mapping[str, Pool], counter: Counter) -> Iterator[str]:
    at = f"workload/{workload.name}"
    if workload.lent_replicas:
        yield (
            f"{at}: its own pool has room for {pluralize(workload.own_at_most, 'replica')}; load may bring"
            f" {workload.lent_replicas} more on idle nodes of {', '.join(workload.lenders)}. These go first when load"
            " falls, and end, with their grace, as soon as their lender needs the node"
        )
    if workload.at_most < most_wanted:
        yield (
            f"{at}: has {pluralize(workload.at_most, 'replica')} at most here, and not {most_wanted}:"
            f" {_why_fewer(workload, pools, counter)}"
        )
    elif not workload.lent_replicas:
        yield f"{at}: borrows nothing, as its own pool has room for all {most_wanted} replicas; `burst` can go"


def _why_fewer(workload: Workload, pools: Mapping[str, Pool], counter: Counter) -> str:
    if counter.kai is not None:
        return "KAI Scheduler lends nodes to jobs alone, and its own pool has no room for more"
    if not counter.is_there:
        return f"its own pool has no room for more, and nothing is lent yet: {counter.note or counter.gap}"
    if not borrowers.lenders_of(workload, pools):
        return "its own pool has no room for more, and no other pool lends nodes with its hardware and fabric"
    return "its own pool and the nodes that others lend have no room for more"
