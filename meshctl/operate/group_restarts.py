"""Restarts the groups of a workload, one after the other. EDGE. Called by `operate.restart`.

All pods of a group end at once, and their controllers make them anew; the next group ends once they are ready again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Final

from meshctl.clients.kubernetes import clusters
from meshctl.clients.kubernetes.cluster_access import ClusterAccess
from meshctl.engine import passing
from meshctl.errors import MeshError, NotReadyError
from meshctl.model.deployment import Workload
from meshctl.model.observed import PodState
from meshwire.kubernetes import requests
from meshwire.kubernetes.errors import ApiError
from meshwire.kubernetes.resources import PODS

_POLL_S: Final = 1.0


def restart(
    cluster: ClusterAccess, namespace: str, workload: Workload, *, timeout_s: float, say: Callable[[str], None]
) -> None:
    """`timeout_s`: for each group. Raises: NotReadyError, and as `clusters.pods` does."""
    count = workload.replicas
    if workload.has_range:  # as many as load has brought
        count = len({pod.group for pod in clusters.pods(cluster, namespace, workload.name)})
    for group in range(count):
        old_pods = [pod for pod in clusters.pods(cluster, namespace, workload.name) if pod.group == group]
        _delete(cluster, namespace, old_pods)
        say(f"group {group} starts again ({group + 1} of {count})")
        _wait(cluster, namespace, workload, group, frozenset(pod.uid for pod in old_pods), timeout_s)


def _delete(cluster: ClusterAccess, namespace: str, pods: Iterable[PodState]) -> None:
    """Of a LeaderWorkerSet the leader only, which is gone once its workers are (Foreground): for each worker that ends,
    the controller would end the new leader once more."""
    with cluster.connected() as client:
        for pod in pods:
            if pod.in_leader_worker_set and pod.rank != 0:
                continue  # it ends with its leader
            propagation = "Foreground" if pod.in_leader_worker_set else ""
            try:
                client.send(requests.delete(PODS.path(namespace, pod.name), propagation=propagation, uid=pod.uid))
            except ApiError as error:
                if error.status not in (404, 409):  # gone, or made anew in the meantime
                    raise


def _wait(
    cluster: ClusterAccess, namespace: str, workload: Workload, group: int, old_uids: frozenset[str], timeout_s: float
) -> None:
    deadline = time.monotonic() + timeout_s
    while True:
        missing, error = _missing(cluster, namespace, workload, group, old_uids)
        if not missing:
            return
        if time.monotonic() >= deadline:
            raise NotReadyError(
                f"{cluster.name}: group {group} of {workload.name} is not back after {timeout_s:g} s",
                why=missing,
                hint=f"`meshctl status {cluster.name}` shows its pods; the groups after it were not restarted",
            ) from error
        time.sleep(_POLL_S)


def _missing(
    cluster: ClusterAccess, namespace: str, workload: Workload, group: int, old_uids: frozenset[str]
) -> tuple[str, MeshError | None]:
    """What the group still lacks, in words, and the transient error if the cluster did not answer."""
    try:
        pods = clusters.pods(cluster, namespace, workload.name)
    except MeshError as error:
        if not passing.may_pass(error):
            raise
        return passing.reason(error), error
    return not_back(workload, group, pods, old_uids), None


def not_back(workload: Workload, group: int, pods: Iterable[PodState], old_uids: frozenset[str]) -> str:
    """What the group still lacks, in words; "" when all of its pods are new and ready. PURE."""
    new_pods = {pod.rank: pod for pod in pods if pod.group == group and pod.uid not in old_uids}
    for rank in range(workload.nodes_per_replica):
        pod = new_pods.get(rank)
        if pod is None:
            return f"rank {rank} has no new pod yet"
        if not pod.ready:
            return f"rank {rank} is not ready{f': {pod.name}: {pod.reason}' if pod.reason else ''}"
    return ""
