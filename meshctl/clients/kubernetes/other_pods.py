"""Counts what pods of others take of the nodes of a given cluster. EDGE (one list of all pods).

Called by `project` for the facts that `resolve` is given. The pods of the mesh itself are not counted: it is for them
that nodes are chosen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from meshctl.catalog import vendors
from meshctl.clients.kubernetes.cluster_access import ClusterAccess
from meshctl.clients.kubernetes.quantities import quantity
from meshctl.model.observed import Facts, Requests
from meshctl.platforms import registry
from meshwire import weka
from meshwire.kubernetes.errors import ApiError
from meshwire.kubernetes.objects import Container, Pod, PodSpec
from meshwire.kubernetes.resources import PODS

_GIB: Final = 1024**3
_GPU: Final = ".com/gpu"  # nvidia.com/gpu, amd.com/gpu
_NOT_SEEN: Final = (
    "pods of others are not counted: the Kubernetes user may not list the pods of all namespaces, so that their CPU,"
    " memory and GPUs are taken to be free; grant `list` on `pods` in a ClusterRole"
)

_Amounts = Counter[str]


def counted(facts: Facts, cluster: ClusterAccess, namespace: str) -> Facts:
    """The facts with what pods of others take of each node. `namespace`: the mesh's own.

    Where the user may not list pods, a note says so. Raises: as `cluster_access.translate_errors`.
    """
    with cluster.connected() as client:
        try:
            by_node = _by_node(client.list_objects(PODS), namespace)
        except ApiError as error:
            if error.status != 403:
                raise
            return facts.model_copy(update={"notes": (*facts.notes, _NOT_SEEN)})
    nodes = tuple(node.model_copy(update={"taken": by_node.get(node.name, Requests())}) for node in facts.nodes)
    return facts.model_copy(update={"nodes": nodes, "pods_are_seen": True})


def _by_node(pods: Iterable[Pod], namespace: str) -> dict[str, Requests]:
    totals: dict[str, _Amounts] = {}
    numbers: Counter[str] = Counter()
    for pod in pods:
        if takes_a_place(pod) and not _is_of_mesh(pod, namespace):
            spec = pod.get("spec", {})
            node = spec.get("nodeName", "")
            totals[node] = totals.get(node, Counter()) + requests(spec)
            numbers[node] += 1
    return {node: _as_requests(total, numbers[node]) for node, total in totals.items()}


def takes_a_place(pod: Pod) -> bool:
    """Whether the scheduler counts it on a node."""
    has_ended = pod.get("status", {}).get("phase") in ("Succeeded", "Failed")
    is_on_a_node = bool(pod.get("spec", {}).get("nodeName"))
    return is_on_a_node and not has_ended and not pod.get("metadata", {}).get("deletionTimestamp")


def _is_of_mesh(pod: Pod, namespace: str) -> bool:
    """Those of its NeuralMesh are, whatever their labels: `resolve` takes off what they need by itself."""
    metadata = pod.get("metadata", {})
    if metadata.get("namespace") != namespace:
        return False
    labels = metadata.get("labels") or {}
    return weka.is_of_container(metadata) or labels.get("app.kubernetes.io/managed-by") == "meshctl"


def requests(spec: PodSpec) -> _Amounts:
    """What the scheduler counts for a pod, in thousandths: its containers and sidecars, or the largest of what runs
    before them.

    Source: https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/#resource-sharing-within-containers
    """
    sidecars: _Amounts = Counter()
    before: _Amounts = Counter()
    for container in spec.get("initContainers") or ():
        if container.get("restartPolicy") == "Always":
            sidecars = sidecars + _of_container(container)
            before = before | sidecars
        else:
            before = before | (sidecars + _of_container(container))
    running = sidecars
    for container in spec.get("containers") or ():
        running = running + _of_container(container)
    return (running | before) + _amounts(spec.get("overhead"))


def _of_container(container: Container) -> _Amounts:
    return _amounts(container.get("resources", {}).get("requests"))


def _amounts(listed: Mapping[str, str] | None) -> _Amounts:
    """In thousandths, since quantities may be fractions and a counter counts whole numbers."""
    return Counter({name: round(quantity(str(amount)) * 1000) for name, amount in (listed or {}).items()})


def _as_requests(total: _Amounts, pods: int) -> Requests:
    gpus = sum(amount for name, amount in total.items() if name.endswith(_GPU))
    beginnings = tuple(beginning for vendor in vendors.supported() for beginning in vendor.parts)
    parts = {name: amount // 1000 for name, amount in total.items() if name.startswith(beginnings)}
    rdma = tuple(name for platform in registry.platforms() for name in platform.fabric.resources)
    return Requests(
        cpu=total["cpu"] / 1000,
        memory_gib=total["memory"] / 1000 / _GIB,
        gpus=gpus // 1000,
        gpu_parts=parts,
        rdma={name: amount // 1000 for name, amount in sorted(total.items()) if name.startswith(rdma)},
        pods=pods,
    )
