"""Workloads whose replicas follow load, as they are now. PURE. Called by `operate.status`."""

from __future__ import annotations

from collections.abc import Iterable

from meshctl.model.deployment import Workload
from meshctl.model.observed import PodState


def least(workload: Workload) -> int:
    """The fewest replicas that load may bring; 0 also without a range."""
    return workload.replicas if workload.has_range and not workload.sleeps else 0


def as_it_is(workload: Workload, pods: Iterable[PodState], replicas: int) -> Workload:
    """A workload whose replicas follow load, with as many as there are now, apart from those on lent nodes, which
    nobody promises. One that sleeps may be to have `replicas`
    and have no pod: then it is awake, and lacks them."""
    if not workload.has_range:
        return workload
    own_pods = (pod for pod in pods if pod.workload == workload.name and not pod.is_lent)
    pod_count = sum(not pod.stopping for pod in own_pods)
    present = pod_count // workload.nodes_per_replica
    if not workload.sleeps:
        return workload.model_copy(update={"least_while_moving": present})
    if not pod_count and not replicas:
        return workload.model_copy(update={"replicas": 0, "most_replicas": 0, "sleeps": False})
    return workload.model_copy(update={"least_while_moving": max(present, replicas)})
