"""Lending in one environment: who may borrow from whom, what forbids it, and what to know of it. PURE.

Called by `meshctl.resolve`. What is wrong with the mesh itself is a diagnostic (`meshctl.model.keys.lending`). Where
nobody counts (`lending_counters`), nothing is lent, and all workloads are as they are without lending.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from meshctl.model import mesh as mesh_model
from meshctl.model.deployment import Gap, Pool, Workload
from meshctl.model.keys import job_order, lending
from meshctl.model.observed import Facts
from meshctl.resolve.placement import packing
from meshctl.resolve.placement.allocatable import Usable
from meshctl.resolve.work.lending import borrowers, kai_queues, lent_replicas
from meshctl.resolve.work.lending.lending_counters import Counter
from meshctl.resolve.work.workloads import Home, pods_of
from meshctl.resolve.work.workloads import gaps as gaps_of_room
from meshctl.words import pluralize


def with_lenders(mesh: mesh_model.Mesh, pools: Iterable[Pool], counter: Counter) -> list[Pool]:
    """The pools with how many nodes they lend here."""
    lends = {name: pool.lend.up_to for name, pool in mesh.pools.items() if pool.lend is not None}
    return [
        pool.model_copy(update={"lends_nodes": min(lends[pool.name], max(pool.nodes_max, pool.nodes))})
        if counter.is_there and pool.name in lends
        else pool
        for pool in pools
    ]


def with_borrowers(
    mesh: str, workloads: Iterable[Workload], pools: Iterable[Pool], counter: Counter
) -> tuple[Workload, ...]:
    """The workloads with the pools that they may borrow from, and with the queues of pools that take part. Neither
    follows from what is free at the moment, so that no `up` rolls what serves because a node is full."""
    if counter.kai is not None:
        return kai_queues.with_borrowers(mesh, workloads, pools)
    by_name = {pool.name: pool for pool in pools}
    borrowing = tuple(
        each.model_copy(update={"lenders": borrowers.lenders_of(each, by_name)}) if each.burst else each
        for each in workloads
    )
    members = {name for name, pool in by_name.items() if lending.takes_part(pool, borrowing)}
    return tuple(
        each.model_copy(update={"queue": each.pool})
        if each.pool in members and each.accelerators and not each.queue
        else each
        for each in borrowing
    )


def fixed(workloads: Iterable[Workload], waiting: Collection[str] = ()) -> tuple[Workload, ...]:
    """Those that need room on their own pool: all but jobs that may wait for room, there or on a lent node. `waiting`:
    as `waiting_for_kueue` gives it."""
    return tuple(each for each in workloads if not (each.is_job and each.lenders) and each.name not in waiting)


def waiting_for_kueue(
    mesh: mesh_model.Mesh,
    workloads: tuple[Workload, ...],
    pools: list[Pool],
    usable: Mapping[str, Usable],
    counter: Counter,
) -> dict[str, tuple[str, ...]]:
    """By burst job: the pools that will lend to it. Of those that don't find room on their own pool, in a cluster that
    can have Kueue only once it is up: they must not keep the rest of the mesh from coming up first."""
    if not counter.note:
        return {}
    later = with_lenders(mesh, pools, Counter(is_there=True))
    borrowing = {
        each.name: each for each in with_borrowers(mesh.name, workloads, later, counter) if each.lenders and each.is_job
    }
    homes = {pool.name: Home(pool, usable[pool.name]) for pool in later}
    crowded = {gap.subject for gap in gaps_of_room(workloads, pools, usable)}
    return {
        name: each.lenders
        for name, each in borrowing.items()
        if crowded & _subjects(each.pool, workloads) and not list(_without_room(each, homes))
    }


def _subjects(pool: str, workloads: Iterable[Workload]) -> set[str]:
    return {f"pool/{pool}", *(f"workload/{each.name}" for each in workloads if each.pool == pool)}


def in_queues_to_come(workloads: Iterable[Workload], waiting: Collection[str]) -> tuple[Workload, ...]:
    """The workloads, those that wait in the queue that `up` makes of their pool once Kueue is there."""
    return tuple(each.model_copy(update={"queue": each.pool}) if each.name in waiting else each for each in workloads)


def waiting_notes(waiting: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    for name, lenders in waiting.items():
        yield (
            f"workload/{name}: has no room on its own pool, and is made without being started: it waits until Kueue is"
            f" in the cluster and `up` was run again, and may then borrow from {', '.join(lenders)}"
        )


def gaps(
    mesh: mesh_model.Mesh,
    workloads: tuple[Workload, ...],
    pools: list[Pool],
    usable: Mapping[str, Usable],
    facts: Facts | None,
    counter: Counter,
) -> Iterator[Gap]:
    yield from _without_counter(mesh, counter)
    yield from kai_queues.gaps(mesh.name, workloads, pools, facts, counter)
    homes = {pool.name: Home(pool, usable[pool.name]) for pool in pools}
    for pool in pools:
        members = [each for each in workloads if each.pool == pool.name and each.accelerators]
        if lending.takes_part(pool, workloads):
            yield from _uncountable(pool, members)
            yield from _in_other_queues(pool, members) if counter.kai is None else ()
        if pool.lends_nodes:
            yield from _too_much_lent(homes[pool.name], members)
    for workload in workloads:
        if workload.is_job and workload.lenders and workload.pool in homes:
            yield from _without_room(workload, homes)


def _without_counter(mesh: mesh_model.Mesh, counter: Counter) -> Iterator[Gap]:
    lending_pools = {name: pool.lend for name, pool in mesh.pools.items() if pool.lend is not None}
    for name, lend in lending_pools.items() if counter.gap else ():
        yield Gap(
            subject=f"pool/{name}",
            wanted=f"up to {pluralize(lend.up_to, 'node')} lent to workloads of other pools",
            best=counter.gap,
            hint=f"install it: `{counter.install}`, or remove `lend` of this pool",
        )


def _in_other_queues(pool: Pool, members: Iterable[Workload]) -> Iterator[Gap]:
    for workload in members:
        own = workload.queue if workload.queue != pool.name else workload.labels.get(job_order.QUEUE_LABEL, "")
        if own and own != pool.name:
            yield Gap(
                subject=f"workload/{workload.name}",
                wanted=f"the queue {own} of Kueue",
                best=f"the one of its pool {pool.name}, which takes part in lending: another queue would count"
                " accelerators of the pool a second time",
                hint="remove `queue` and the label of this workload from environments.yaml, or take the pool out of"
                " lending: remove its `lend`, and `burst` of what serves there",
            )


def _uncountable(pool: Pool, members: Iterable[Workload]) -> Iterator[Gap]:
    for workload in members:
        has_volumes = any(mount.kind == "block" and not mount.ephemeral for mount in workload.mounts)
        if not workload.is_job and (workload.is_grouped or has_volumes):
            what = "groups of pods" if workload.is_grouped else "pods that keep volumes"
            yield Gap(
                subject=f"workload/{workload.name}",
                wanted=f"{what} on pool {pool.name}, which takes part in lending",
                best="lending supports only jobs and interchangeable pods",
                hint=f"give {workload.name} a pool of its own, or take this one out of lending: remove its `lend`, and"
                " `burst` of what serves there",
            )


def _too_much_lent(home: Home, members: Iterable[Workload]) -> Iterator[Gap]:
    """What the pool serves at the least must have room beside all that is lent, as taking a node back takes time."""
    pool = home.pool
    serving = [each for each in members if not each.is_job]
    pods = tuple(pods_of(each, pool) for each in serving)
    wanted = sum(kind.count for kind in pods)
    most = max(pool.nodes_max, pool.nodes)
    counts = range(1, most + 1) if wanted else ()
    needed = next((number for number in counts if packing.placeable(pods, ((home.node, number),)) >= wanted), 0)
    if most - needed >= pool.lends_nodes:
        return
    names = ", ".join(each.name for each in serving)
    yield Gap(
        subject=f"pool/{pool.name}",
        wanted=f"up to {pluralize(pool.lends_nodes, 'node')} lent",
        best=f"{most - needed}: the least replicas of {names} take {needed} of {pluralize(most, 'node')}",
        hint=f"write `lend: {{upTo: {most - needed}}}`, or ask for more nodes"
        if most > needed
        else "remove `lend` of this pool, or ask for more nodes",
    )


def _without_room(workload: Workload, homes: Mapping[str, Home]) -> Iterator[Gap]:
    """A job runs as a whole on its own pool, or as a whole on lent nodes of one other."""
    own = homes[workload.pool]
    places = [own.places(pods_of(workload, own.pool))]
    for name in workload.lenders:
        home = homes[name]
        places.append(pods_of(workload, home.pool).fit_on(home.node) * home.pool.lends_nodes)
    if max(places) < workload.pods:
        yield Gap(
            subject=f"workload/{workload.name}",
            wanted=f"room for {pluralize(workload.pods, 'pod')} at once, on pool {workload.pool} or on lent nodes",
            best=f"{max(places)} have room on one pool ({', '.join((workload.pool, *workload.lenders))})",
            hint="lower `nodes` or `replicas` of the job, or lend more nodes",
        )


def notes(
    mesh: mesh_model.Mesh,
    asked_for: Iterable[Workload],
    workloads: tuple[Workload, ...],
    pools: Iterable[Pool],
    counter: Counter,
) -> Iterator[str]:
    """`asked_for`: the workloads as the mesh has them, before `with_borrowers`."""
    yield from lent_replicas.notes(asked_for, workloads, pools, counter)
    lends = [name for name, pool in mesh.pools.items() if pool.lend is not None]
    if counter.note and lends:
        yield (
            f"pools {', '.join(lends)} lend nothing here: {counter.note}"
            if len(lends) > 1
            else (f"pool/{lends[0]}: lends nothing here: {counter.note}")
        )
    if not counter.is_there:
        return
    for pool in pools:
        if pool.lends_nodes:
            yield from _of_lender(pool, [each for each in workloads if pool.name in each.lenders])
    yield from kai_queues.notes(workloads, pools, counter)
    for workload in workloads if counter.kai is None else ():
        if workload.burst and workload.is_job and not workload.lenders:
            yield borrowers.alone(workload)


def _of_lender(pool: Pool, borrowers: list[Workload]) -> Iterator[str]:
    at = f"pool/{pool.name}"
    if not borrowers:
        yield (
            f"{at}: its nodes are lent to nobody: no workload with `burst: true` of another pool with such nodes needs"
            " them"
        )
        return
    names = ", ".join(each.name for each in borrowers)
    yield (
        f"{at}: lends up to {pluralize(pool.lends_nodes, 'idle node')} to {names}, at no extra cost; borrowers"
        " are stopped, with the grace period of their pods, as soon as the pool's own workloads need the node."
        " PodDisruptionBudgets are not respected then"
    )
    if pool.nodes_max > pool.nodes:
        yield (
            f"{at}: counts the {pool.nodes_max} nodes that it may have, so what borrows can make the autoscaler"
            " of nodes add one, which costs"
        )
