"""Reads Kubernetes clusters: facts for `resolve`, pods and node counts for `status` and `migrate`. EDGE.

Called by `session` and by the CLI. Only reads; what changes a cluster is declared in stacks.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lightkube.core.exceptions import ApiError
from lightkube.resources.core_v1 import Namespace, Node, Pod, Service
from lightkube.resources.storage_v1 import StorageClass as StorageClassResource

from meshctl.clients import accelerators, scheduling
from meshctl.clients.cluster_access import ClusterAccess, translate_errors
from meshctl.clients.quantities import quantity
from meshctl.model.deployment import MESH_LABEL, POOL_LABEL, Deployment, Taint
from meshctl.model.observed import Facts, ObservedNode, PodState, StorageClass
from meshctl.model.stack_state import NO_OUTPUTS, StackOutputs
from meshctl.platforms import registry

_GIB = 1024**3
_LAST_LINE = 300  # characters of what a container said last


def access(deployment: Deployment, outputs: StackOutputs = NO_OUTPUTS) -> ClusterAccess:
    """The cluster of a deployment; the kubeconfig of one that meshctl made is the stack's output."""
    content, cluster = outputs.written_kubeconfig, deployment.cluster
    context = "" if content else cluster.context
    return ClusterAccess(deployment.environment, content or cluster.kubeconfig, context, outputs.cluster_uid)


def is_made(deployment: Deployment) -> bool:
    """Whether meshctl makes the cluster; if not, it is given by a kubeconfig."""
    return registry.platform(deployment.provider).cluster.made is not None


def uid(cluster: ClusterAccess) -> str:
    """What tells a cluster from every other one, for as long as it lives: the UID of its namespace `kube-system`.

    Raises: CredentialsError, UnreachableError.
    """
    client = cluster.client()
    with translate_errors(cluster.name):
        found = client.get(Namespace, "kube-system")
    return str(found.metadata.uid) if found.metadata else ""


def facts(cluster: ClusterAccess) -> Facts:
    """Nodes and storage classes of an existing cluster."""
    client = cluster.client()
    with translate_errors(cluster.name):
        nodes = tuple(sorted((_node(node) for node in client.list(Node)), key=lambda node: node.name))
        classes = tuple(_storage_class(item) for item in client.list(StorageClassResource))
    return Facts(nodes=nodes, storage_classes=classes)


def pods(cluster: ClusterAccess, namespace: str, workload: str = "") -> list[PodState]:
    """The pods of one workload, or of all, by name."""
    client = cluster.client()
    labels: dict[str, Any] = {"app.kubernetes.io/managed-by": "meshctl"}
    if workload:
        labels["app.kubernetes.io/name"] = workload
    with translate_errors(cluster.name):
        found = client.list(Pod, namespace=namespace, labels=labels)
        return sorted((pod_state(pod) for pod in found), key=lambda pod: pod.name)


def lost_nodes(cluster: ClusterAccess, names: Iterable[str]) -> frozenset[str]:
    """Those of the nodes that are gone, not ready, or not to be seen with these rights: nobody can say what still runs
    on them."""
    client = cluster.client()
    with translate_errors(cluster.name):
        return frozenset(name for name in names if not _answers(client, name))


def _answers(client: Any, node: str) -> bool:
    try:
        return _is_ready(client.get(Node, node))
    except ApiError as error:
        if error.status.code in (403, 404):
            return False
        raise


def ready_nodes(cluster: ClusterAccess, mesh: str) -> dict[str, int]:
    """Ready nodes by pool of the mesh. A node without the mesh's label was given to its pool by an earlier version."""
    client = cluster.client()
    counts: dict[str, int] = {}
    with translate_errors(cluster.name):
        for node in client.list(Node):
            labels = (node.metadata.labels or {}) if node.metadata else {}
            pool = labels.get(POOL_LABEL)
            if pool and labels.get(MESH_LABEL, mesh) == mesh and _is_ready(node):
                counts[pool] = counts.get(pool, 0) + 1
    return counts


def load_balancer(cluster: ClusterAccess, namespace: str, service: str) -> str:
    """Address (IP or host name) of a LoadBalancer Service; empty when it has none yet."""
    client = cluster.client()
    with translate_errors(cluster.name):
        found = client.get(Service, service, namespace=namespace)
    ingress = (found.status.loadBalancer.ingress if found.status and found.status.loadBalancer else None) or []
    return str(ingress[0].ip or ingress[0].hostname or "") if ingress else ""


def _node(node: Any) -> ObservedNode:
    labels = node.metadata.labels or {}
    capacity = (node.status.allocatable or node.status.capacity or {}) if node.status else {}
    total = (node.status.capacity or capacity) if node.status else {}
    rdma = {
        name: int(quantity(count)) for name, count in sorted(capacity.items()) if name.startswith(_rdma_resources())
    }
    gpus = accelerators.of_node(labels, capacity)
    return ObservedNode(
        name=node.metadata.name,
        labels=labels,
        ready=_is_ready(node) and not (node.spec and node.spec.unschedulable),
        gpu_model=gpus.model,
        gpu_count=gpus.count,
        gpu_memory_gib=gpus.memory_gib,
        gpu_resource=gpus.resource,
        gpu_parts=gpus.parts,
        cpu_cores=int(quantity(total.get("cpu", "0"))),
        memory_gib=quantity(total.get("memory", "0")) / _GIB,
        allocatable_cpu=quantity(capacity.get("cpu", "0")),
        allocatable_memory_gib=quantity(capacity.get("memory", "0")) / _GIB,
        allocatable_pods=int(quantity(capacity.get("pods", "0"))),
        scratch_gb=quantity(total.get("ephemeral-storage", "0")) / 1e9,
        rdma_resource=next(iter(rdma), ""),
        rdma_count=next(iter(rdma.values()), 0),
        rdma=rdma,
        huge_pages_mib=int(quantity(capacity.get("hugepages-2Mi", "0")) / 1024**2),
        arch="arm64" if labels.get("kubernetes.io/arch") == "arm64" else "amd64",
        taints=_taints(node),
    )


def _taints(node: Any) -> tuple[Taint, ...]:
    listed = (node.spec.taints if node.spec else None) or ()
    return tuple(Taint(key=taint.key, value=taint.value or "", effect=taint.effect) for taint in listed)


def _rdma_resources() -> tuple[str, ...]:
    return tuple(name for platform in registry.platforms() for name in platform.fabric.resources)


def _storage_class(item: Any) -> StorageClass:
    annotations = item.metadata.annotations or {}
    default = annotations.get("storageclass.kubernetes.io/is-default-class") == "true"
    return StorageClass(name=item.metadata.name, provisioner=item.provisioner, default=default)


def _is_ready(node: Any) -> bool:
    conditions = (node.status.conditions or []) if node.status else []
    return any(condition.type == "Ready" and condition.status == "True" for condition in conditions)


def pod_state(pod: Any) -> PodState:
    """What the API says of a pod (`lightkube` Pod), in short."""
    statuses = [*(pod.status.initContainerStatuses or []), *(pod.status.containerStatuses or [])] if pod.status else []
    conditions = {condition.type: condition for condition in (pod.status.conditions or [])} if pod.status else {}
    reason = next(filter(None, map(_container_reason, statuses)), "")
    scheduled = conditions.get("PodScheduled")
    if scheduled is not None and scheduled.status == "False":
        reason = scheduling.in_words(scheduled.message or "") or scheduled.reason or reason
    ready = conditions.get("Ready")
    return PodState(
        name=pod.metadata.name,
        workload=(pod.metadata.labels or {}).get("app.kubernetes.io/name", ""),
        phase=(pod.status.phase or "Unknown") if pod.status else "Unknown",
        ready=ready is not None and ready.status == "True",
        node=(pod.spec.nodeName or "") if pod.spec else "",
        restarts=sum(status.restartCount or 0 for status in statuses),
        reason=reason,
        stopping=bool(pod.metadata.deletionTimestamp and pod.spec and pod.spec.nodeName),
        grace_s=(pod.spec.terminationGracePeriodSeconds or 0) if pod.spec else 0,
    )


def _container_reason(status: Any) -> str:
    """Why a container doesn't run, or how it ended the last time; empty when it never ended badly."""
    state, last = status.state, status.lastState
    ended = (state and state.terminated) or (last and last.terminated)
    waits = (state and state.waiting and state.waiting.reason) or ""
    if not ended or not ended.exitCode:
        return str(waits)
    killed = f" ({ended.reason})" if ended.reason and ended.reason != "Error" else ""
    said = (ended.message or "").strip().rpartition("\n")[2].strip()[:_LAST_LINE]
    told = f": {said}" if said else ""
    return f"{waits}{', ' if waits else ''}{status.name} ended with exit code {ended.exitCode}{killed}{told}"
