"""Counts what pods of others take of the nodes of a given cluster. EDGE (one list of all pods).

Called by `project` for the facts that `resolve` is given. The pods of the mesh itself are not counted: it is for them
that nodes are chosen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

from lightkube.core.exceptions import ApiError
from lightkube.resources.core_v1 import Pod

from meshctl.clients.cluster_access import ClusterAccess, translate_errors
from meshctl.clients.quantities import quantity
from meshctl.model.observed import Facts, Requests

_GIB: Final = 1024**3
_GPU: Final = ".com/gpu"  # nvidia.com/gpu, amd.com/gpu
_PAGE: Final = 500  # pods in one answer
_NOT_SEEN: Final = (
    "pods of others are not counted: the Kubernetes user may not list the pods of all namespaces, so that their CPU,"
    " memory and GPUs are taken to be free; grant `list` on `pods` in a ClusterRole"
)

_Amounts = Counter[str]


def counted(facts: Facts, cluster: ClusterAccess, namespace: str) -> Facts:
    """The facts with what pods of others take of each node. `namespace`: the mesh's own.

    Where the user may not list pods, a note says so. Raises: as `cluster_access.named`.
    """
    client = cluster.client()
    with translate_errors(cluster.name):
        try:
            by_node = _by_node(client.list(Pod, namespace="*", chunk_size=_PAGE), namespace)
        except ApiError as error:
            if error.status.code != 403:
                raise
            return facts.model_copy(update={"notes": (*facts.notes, _NOT_SEEN)})
    nodes = tuple(node.model_copy(update={"taken": by_node.get(node.name, Requests())}) for node in facts.nodes)
    return facts.model_copy(update={"nodes": nodes, "pods_are_seen": True})


def _by_node(pods: Iterable[Any], namespace: str) -> dict[str, Requests]:
    totals: dict[str, _Amounts] = {}
    numbers: Counter[str] = Counter()
    for pod in pods:
        if _takes_a_place(pod) and not _is_of_mesh(pod, namespace):
            node = pod.spec.nodeName
            totals[node] = totals.get(node, Counter()) + _requests(pod.spec)
            numbers[node] += 1
    return {node: _as_requests(total, numbers[node]) for node, total in totals.items()}


def _takes_a_place(pod: Any) -> bool:
    has_ended = pod.status is not None and pod.status.phase in ("Succeeded", "Failed")
    is_on_a_node = pod.spec is not None and bool(pod.spec.nodeName)
    return is_on_a_node and not has_ended and not pod.metadata.deletionTimestamp


def _is_of_mesh(pod: Any, namespace: str) -> bool:
    labels = pod.metadata.labels or {}
    return pod.metadata.namespace == namespace and labels.get("app.kubernetes.io/managed-by") == "meshctl"


def _requests(spec: Any) -> _Amounts:
    """What the scheduler counts for a pod: its containers and sidecars, or the largest of what runs before them.

    Source: https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/#resource-sharing-within-containers
    """
    sidecars: _Amounts = Counter()
    before: _Amounts = Counter()
    for container in spec.initContainers or ():
        if container.restartPolicy == "Always":
            sidecars = sidecars + _of_container(container)
            before = before | sidecars
        else:
            before = before | (sidecars + _of_container(container))
    running = sidecars
    for container in spec.containers:
        running = running + _of_container(container)
    return (running | before) + _amounts(spec.overhead)


def _of_container(container: Any) -> _Amounts:
    return _amounts(container.resources.requests if container.resources else None)


def _amounts(listed: Mapping[str, str] | None) -> _Amounts:
    """In thousandths, since quantities may be fractions and a counter counts whole numbers."""
    return Counter({name: round(quantity(str(amount)) * 1000) for name, amount in (listed or {}).items()})


def _as_requests(total: _Amounts, pods: int) -> Requests:
    gpus = sum(amount for name, amount in total.items() if name.endswith(_GPU))
    return Requests(cpu=total["cpu"] / 1000, memory_gib=total["memory"] / 1000 / _GIB, gpus=gpus // 1000, pods=pods)
