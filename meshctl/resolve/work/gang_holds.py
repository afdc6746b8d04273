"""Who lets the pods of a gang, or of a group, start together in this environment: Kueue, another scheduler, or
meshctl's own program. PURE.

Called by `meshctl.resolve`. The program would keep a pool from growing that an autoscaler makes larger: autoscalers
count pods that found no node, and no pods with a scheduling gate (github.com/kubernetes/autoscaler, issue 5279).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from meshctl.model.deployment import Pool, Workload
from meshctl.model.keys import gangs, job_order
from meshctl.model.observed import Facts


def decided(workloads: tuple[Workload, ...], pools: Iterable[Pool], facts: Facts | None) -> tuple[Workload, ...]:
    """The workloads, each with gangs or groups that nobody else holds with meshctl's own hold."""
    by_name = {pool.name: pool for pool in pools}
    return tuple(
        workload.model_copy(update={"held_together": True})
        if gangs.starts_together(workload)
        and not _held_by(workload)
        and not _not_held(workload, by_name[workload.pool], facts)
        else workload
        for workload in workloads
    )


def notes(workloads: Iterable[Workload], pools: Iterable[Pool], facts: Facts | None) -> Iterator[str]:
    """For each gang and all groups of a workload, who holds their pods, or why nobody does."""
    by_name = {pool.name: pool for pool in pools}
    for workload in workloads:
        if not gangs.starts_together(workload):
            continue
        of_groups, of_gang = f"the {workload.nodes_per_replica} pods of a group", f"its {workload.replicas} pods"
        pods = f"workload/{workload.name}: {of_groups if workload.is_grouped else of_gang}"
        other, why_not = _held_by(workload), _not_held(workload, by_name[workload.pool], facts)
        if other:
            yield f"{pods} start together if {other} ensures it; meshctl does not hold them"
        elif why_not:
            yield f"{pods} start one by one, as they find nodes: {why_not}"
        else:
            until_then = (
                "; groups that are up without it do so from their next change of image on" * workload.is_grouped
            )
            by_program = "meshctl's program in the cluster holds them until there is room for all"
            yield f"{pods} start together: {by_program}{until_then}"


def _held_by(workload: Workload) -> str:
    """Who else holds its pods; "" for nobody."""
    if workload.kai_queue:
        return f"KAI Scheduler of release 0.15 or newer, in its queue {workload.kai_queue},"
    queue = job_order.queue_of(workload)
    if queue:
        return f"Kueue, in its queue {queue},"
    scheduler = workload.pod.get("schedulerName")
    if scheduler:
        return f"the scheduler {scheduler} of environments.yaml"
    return "whoever removes the `schedulingGates` of environments.yaml" if "schedulingGates" in workload.pod else ""


def _not_held(workload: Workload, pool: Pool, facts: Facts | None) -> str:
    """Why meshctl's own program can't hold the gangs or groups of a workload; "" where it can."""
    or_a_queue = ", or name a `queue` of Kueue in environments.yaml" if workload.is_job else ""
    if gangs.grows_for_waiting_pods(pool):
        or_at_once = ", or use a `queue` of Kueue whose ProvisioningRequests ask for all nodes at once"
        return (
            f"pool {pool.name} grows for pods that wait for a node, and held pods don't count as waiting; to let them"
            f" start together, set a fixed number in pools.{pool.name}.nodes{or_at_once if workload.is_job else ''}"
        )
    if facts is not None and facts.nodes and not facts.pods_are_seen:
        return (
            "the program that would hold them must list the pods of all namespaces, a right that the Kubernetes user"
            f" lacks and so can't pass on; grant it `list` on `pods` in a ClusterRole{or_a_queue}"
        )
    if facts is not None and facts.lacks_for_hold:
        lacking = ", ".join(facts.lacks_for_hold)
        return (
            "the Kubernetes user lacks rights that the program which would hold them needs:"
            f" {lacking}; have them granted{or_a_queue}"
        )
    return ""
