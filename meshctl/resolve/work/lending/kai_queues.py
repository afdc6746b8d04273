"""Who borrows from whom where KAI Scheduler counts, in which queues pods are, and what it can't count. PURE.

Called by `lending`; see `meshctl.model.keys.kai`. A pod is in one queue from its beginning, so that a job borrows from
one pool alone: the one that lends the most. And KAI places the pods of a job one by one, on nodes of its own pool and
of the lender, so that a gang of several nodes, which needs them on one fabric, borrows nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from meshctl.model.deployment import Gap, Pool, Workload
from meshctl.model.keys import gangs, job_order, kai, lending
from meshctl.model.observed import Facts, ObservedNode
from meshctl.resolve.work.lending import borrowers
from meshctl.resolve.work.lending.lending_counters import Counter
from meshctl.words import pluralize


def with_borrowers(mesh: str, workloads: Iterable[Workload], pools: Iterable[Pool]) -> tuple[Workload, ...]:
    """The workloads with the pool that they may borrow from, and with the queues of pools that take part."""
    by_name = {pool.name: pool for pool in pools}
    borrowing = tuple(_with_lender(each, by_name) for each in workloads)
    members = {name for name, pool in by_name.items() if lending.takes_part(pool, borrowing)}
    return tuple(
        each.model_copy(update={"kai_queue": kai.queue_of(mesh, each)})
        if each.pool in members and each.accelerators
        else each
        for each in borrowing
    )


def _with_lender(workload: Workload, by_name: dict[str, Pool]) -> Workload:
    if not workload.burst or not workload.is_job or gangs.is_gang(workload):
        return workload
    devices = workload.pods * workload.accelerators
    able = [
        by_name[name]
        for name in borrowers.lenders_of(workload, by_name)
        if devices <= lending.lent_devices(by_name[name])
    ]
    most = max(able, key=lending.lent_devices, default=None)
    return workload.model_copy(update={"lenders": (most.name,)}) if most is not None else workload


def gaps(
    mesh: str, workloads: tuple[Workload, ...], pools: Iterable[Pool], facts: Facts | None, counter: Counter
) -> Iterator[Gap]:
    """What KAI Scheduler can't count of pools that take part."""
    scheduler = counter.kai
    if scheduler is None or not counter.is_there:
        return
    nodes = {node.name: node for node in (facts.nodes if facts is not None else ())}
    for pool in pools:
        if lending.takes_part(pool, workloads):
            yield from _placed_by_others(pool, workloads)
            yield from _of_pool(mesh, pool)
            others = _in_other_parts([nodes[each] for each in pool.node_names if each in nodes], scheduler.node_pool)
            if others:
                yield _in_another_part(f"pool/{pool.name}", others, scheduler.node_pool)


def _of_pool(mesh: str, pool: Pool) -> Iterator[Gap]:
    if pool.device_resource != kai.RESOURCE:
        yield Gap(
            subject=f"pool/{pool.name}",
            wanted=f"{pool.device_resource} counted by KAI Scheduler",
            best=f"meshctl has it count whole {kai.RESOURCE} alone",
            hint="remove `lend` of this pool, or let Kueue count: `lending: {by: kueue}`",
        )
    name = kai.lent_queue(mesh, pool.name)
    if len(name) > kai.LONGEST_NAME:
        yield Gap(
            subject=f"pool/{pool.name}",
            wanted=f"the queue {name} of KAI Scheduler",
            best=f"{kai.LONGEST_NAME} characters: its name is the value of a label of pods, and has {len(name)}",
            hint="give the mesh or the pool a shorter name",
        )


def _in_other_parts(nodes: Iterable[ObservedNode], node_pool: str) -> dict[str, str]:
    """By node: the part of the cluster that KAI has it in, where that is another one."""
    parts = {node.name: node.labels.get(kai.NODE_POOL_LABEL, "") for node in nodes}
    return {name: part for name, part in parts.items() if part != node_pool}


def _in_another_part(subject: str, others: dict[str, str], node_pool: str) -> Gap:
    where = ", ".join(f"{name} in {part or 'the one without a name'}" for name, part in sorted(others.items()))
    parts = sorted(set(others.values()))
    hint = f"write `lending: {{by: kai, nodePool: {parts[0]}}}`" if parts[0] else "remove `lending.nodePool`"
    return Gap(
        subject=subject,
        wanted=f"nodes in the node pool {node_pool} of KAI Scheduler" if node_pool else "nodes in no node pool of KAI",
        best=f"{where}: the scheduler of one node pool sees no node of another (label {kai.NODE_POOL_LABEL})",
        hint=f"{hint}, or give the pools of the mesh nodes of one node pool"
        if len(parts) == 1
        else "give the pools of the mesh nodes of one node pool",
    )


def _placed_by_others(pool: Pool, workloads: Iterable[Workload]) -> Iterator[Gap]:
    """Workloads of the pool whose pods environments.yaml gives to another scheduler, or to another queue."""
    for workload in workloads:
        if workload.pool != pool.name or not workload.accelerators:
            continue
        queue = workload.queue or workload.labels.get(job_order.QUEUE_LABEL, "")
        own = [
            *(["a queue of Kueue"] if queue else []),
            *(["`pod.schedulerName`"] if "schedulerName" in workload.pod else []),
            *(f"the label {key}" for key in kai.LABELS if key in workload.labels),
        ]
        if own:
            yield Gap(
                subject=f"workload/{workload.name}",
                wanted=f"{' and '.join(own)} in environments.yaml",
                best=f"its pool {pool.name} takes part in lending, and KAI Scheduler places all pods that take"
                " accelerators of it, in queues that meshctl makes",
                hint="remove this of the workload from environments.yaml, or `lend` from the mesh",
            )


def notes(workloads: Iterable[Workload], pools: Iterable[Pool], counter: Counter) -> Iterator[str]:
    """Of burst jobs: what is otherwise than with Kueue."""
    by_name = {pool.name: pool for pool in pools}
    if counter.kai is None or not counter.is_there:
        return
    for workload in workloads:
        if workload.burst and workload.is_job:
            yield _of_burst(workload, by_name)
        if workload.lenders:
            yield (
                f"workload/{workload.name}: KAI Scheduler deletes its pods to take nodes back. A pod that exits with 0"
                " on the signal to end counts as completed, and is not started again: let the program exit with another"
                " code (143 for SIGTERM)"
            )


def _of_burst(workload: Workload, by_name: dict[str, Pool]) -> str:
    at = f"workload/{workload.name}:"
    if workload.lenders:
        return (
            f"{at} KAI Scheduler counts all of it as borrowed from {workload.lenders[0]}, also what runs on pool"
            f" {workload.pool}: other jobs of that pool take its nodes back as well"
        )
    if not borrowers.lenders_of(workload, by_name):
        return borrowers.alone(workload)
    if gangs.is_gang(workload):
        return (
            f"{at} a gang of {pluralize(workload.pods, 'pod')} borrows nothing here, as KAI Scheduler could start a"
            f" part of it on each pool: it runs on pool {workload.pool} alone"
        )
    return (
        f"{at} needs more accelerators than any pool lends, all of which KAI Scheduler would count as borrowed: it runs"
        f" on pool {workload.pool} alone"
    )
