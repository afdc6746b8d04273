"""The state of a workload's groups, from its pods. PURE. Called by `operate.status`."""

from __future__ import annotations

from collections.abc import Iterable

from meshctl.model.deployment import Workload
from meshctl.model.observed import PodState


def ready_groups(workload: Workload, pods: Iterable[PodState]) -> int:
    """How many groups have all of their pods ready."""
    ready = {(pod.group, pod.rank) for pod in pods if pod.ready}
    return sum(
        all((group, rank) in ready for rank in range(workload.nodes_per_replica)) for group in range(workload.at_least)
    )


def reasons(workload: Workload, pods: Iterable[PodState]) -> list[str]:
    """Which rank of which group is not ready, and why, as far as the cluster says."""
    by_place = {(pod.group, pod.rank): pod for pod in pods}
    places = [(group, rank) for group in range(workload.at_least) for rank in range(workload.nodes_per_replica)]
    pods_by_place = [(place, by_place.get(place)) for place in places]
    lacking = [(place, pod) for place, pod in pods_by_place if pod is None or not pod.ready]
    # what has a reason explains the others: a leader is not ready as long as one of its workers is missing
    lacking.sort(key=lambda entry: not (entry[1] is not None and entry[1].reason))
    return [f"rank {rank} of group {group}{_why(pod)}" for (group, rank), pod in lacking]


def _why(pod: PodState | None) -> str:
    if pod is None:
        return " has no pod"
    return f" is not ready: {pod.name}: {pod.reason}" if pod.reason else f" is not ready: {pod.name}"
