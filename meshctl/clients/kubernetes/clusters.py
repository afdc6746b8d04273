"""Reads Kubernetes clusters: facts for `resolve`, pods and node counts for `status` and `migrate`. EDGE.

Called by `session` and by the CLI. Only reads; what changes a cluster is declared in stacks.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from meshctl.clients.kubernetes import accelerators, health_events, scheduling
from meshctl.clients.kubernetes.cluster_access import ClusterAccess
from meshctl.clients.kubernetes.quantities import quantity
from meshctl.model import served_apis
from meshctl.model.deployment import MESH_LABEL, POOL_LABEL, Deployment, Taint
from meshctl.model.keys import gangs, lending
from meshctl.model.observed import Facts, ObservedNode, PodState, StorageClass
from meshctl.model.pods import pod_groups
from meshctl.model.stack_state import NO_OUTPUTS, StackOutputs
from meshctl.platforms import registry
from meshwire import weka
from meshwire.kubernetes import objects
from meshwire.kubernetes.errors import ApiError
from meshwire.kubernetes.resources import (
    DEPLOYMENTS,
    NAMESPACES,
    NODES,
    PODS,
    SERVICES,
    STATEFUL_SETS,
    STORAGE_CLASSES,
)

if TYPE_CHECKING:
    from meshwire.kubernetes.client import Client

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
    with cluster.connected() as client:
        namespace = client.get(NAMESPACES, "kube-system")
    return namespace.get("metadata", {}).get("uid", "")


def facts(cluster: ClusterAccess, apis: Iterable[str] = served_apis.ASKED_FOR) -> Facts:
    """Nodes and storage classes of an existing cluster, and which APIs it serves beside those of every cluster."""
    with cluster.connected() as client:
        nodes = tuple(sorted((_node(node) for node in client.list_objects(NODES)), key=lambda node: node.name))
        classes = tuple(_storage_class(item) for item in client.list_objects(STORAGE_CLASSES))
        served = _served(client, apis)
    return Facts(nodes=nodes, storage_classes=classes, served_apis=served)


def served(cluster: ClusterAccess, apis: Iterable[str] = served_apis.ASKED_FOR) -> tuple[str, ...]:
    """Which APIs an existing cluster serves beside those of every cluster."""
    with cluster.connected() as client:
        return _served(client, apis)


def _served(client: Client, apis: Iterable[str] = served_apis.ASKED_FOR) -> tuple[str, ...]:
    return tuple(name for name in apis if _is_served(client, name))


def _is_served(client: Client, api: str) -> bool:
    """`api`: `group/version/Kind`. A user whom nobody let ask (403) is taken to be in a cluster without it."""
    api_version, _, kind = api.rpartition("/")
    try:
        return kind in client.kinds(api_version)
    except ApiError as error:
        if error.status in (403, 404):
            return False
        raise


def pods(cluster: ClusterAccess, namespace: str, workload: str = "") -> list[PodState]:
    """The pods of one workload, or of all, by name. Those of WEKA, which have the labels of the mesh, are of none."""
    labels = {"app.kubernetes.io/managed-by": "meshctl"}
    if workload:
        labels["app.kubernetes.io/name"] = workload
    with cluster.connected() as client:
        labelled = client.list_objects(PODS, namespace=namespace, labels=labels)
        pods_of_mesh = [pod for pod in labelled if not weka.is_of_container(pod["metadata"])]
        states = health_events.explained(client, [(pod, pod_state(pod)) for pod in pods_of_mesh])
    return sorted(states, key=lambda pod: pod.name)


def replica_counts(cluster: ClusterAccess, namespace: str) -> dict[str, int]:
    """By workload: how many replicas its Deployment or StatefulSet is to have now."""
    labels = {"app.kubernetes.io/managed-by": "meshctl"}
    with cluster.connected() as client:
        servers = [
            server
            for resource in (DEPLOYMENTS, STATEFUL_SETS)
            for server in client.list_objects(resource, namespace=namespace, labels=labels)
        ]
    return {
        (server.get("metadata", {}).get("labels") or {}).get("app.kubernetes.io/name", ""): server["spec"]["replicas"]
        for server in servers
    }


def lost_nodes(cluster: ClusterAccess, names: Iterable[str]) -> frozenset[str]:
    """Those of the nodes that are gone, not ready, or not to be seen with these rights: nobody can say what still runs
    on them."""
    with cluster.connected() as client:
        return frozenset(name for name in names if not _answers(client, name))


def _answers(client: Client, node: str) -> bool:
    try:
        return _is_ready(client.get(NODES, node))
    except ApiError as error:
        if error.status in (403, 404):
            return False
        raise


def ready_nodes(cluster: ClusterAccess, mesh: str) -> dict[str, int]:
    """Ready nodes by pool of the mesh. A node without the mesh's label was given to its pool by an earlier version."""
    counts: dict[str, int] = {}
    with cluster.connected() as client:
        nodes = client.list_objects(NODES)
    for node in nodes:
        labels = node.get("metadata", {}).get("labels") or {}
        pool = labels.get(POOL_LABEL)
        if pool and labels.get(MESH_LABEL, mesh) == mesh and _is_ready(node):
            counts[pool] = counts.get(pool, 0) + 1
    return counts


def load_balancer(cluster: ClusterAccess, namespace: str, service: str) -> str:
    """Address (IP or host name) of a LoadBalancer Service; empty when it has none yet."""
    with cluster.connected() as client:
        status = client.get(SERVICES, service, namespace=namespace).get("status", {})
    ingress = status.get("loadBalancer", {}).get("ingress") or [objects.Ingress()]
    return ingress[0].get("ip") or ingress[0].get("hostname") or ""


def _node(node: objects.Node) -> ObservedNode:
    metadata, status = node.get("metadata", {}), node.get("status", {})
    labels = metadata.get("labels") or {}
    capacity = status.get("allocatable") or status.get("capacity") or {}
    total = status.get("capacity") or capacity
    rdma = {
        name: int(quantity(count)) for name, count in sorted(capacity.items()) if name.startswith(_rdma_resources())
    }
    gpus = accelerators.of_node(labels, capacity)
    return ObservedNode(
        name=metadata.get("name", ""),
        labels=labels,
        ready=_is_ready(node) and not node.get("spec", {}).get("unschedulable"),
        gpu_model=gpus.model,
        gpu_count=gpus.count,
        gpu_capacity=int(quantity(total.get(gpus.resource, "0"))) if gpus.count else 0,
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


def _taints(node: objects.Node) -> tuple[Taint, ...]:
    listed = node.get("spec", {}).get("taints") or []
    return tuple(
        Taint.model_validate({"key": taint["key"], "value": taint.get("value") or "", "effect": taint["effect"]})
        for taint in listed
    )


def _rdma_resources() -> tuple[str, ...]:
    return tuple(name for platform in registry.platforms() for name in platform.fabric.resources)


def _storage_class(item: objects.StorageClass) -> StorageClass:
    metadata = item.get("metadata", {})
    default = (metadata.get("annotations") or {}).get("storageclass.kubernetes.io/is-default-class") == "true"
    return StorageClass(name=metadata.get("name", ""), provisioner=item.get("provisioner", ""), default=default)


def _is_ready(node: objects.Node) -> bool:
    conditions = node.get("status", {}).get("conditions") or []
    return any(condition.get("type") == "Ready" and condition.get("status") == "True" for condition in conditions)


def pod_state(pod: objects.Pod) -> PodState:
    """What the API says of a pod, in short."""
    metadata, spec, status = pod.get("metadata", {}), pod.get("spec", {}), pod.get("status", {})
    containers = container_statuses(pod)
    conditions = {condition.get("type"): condition for condition in status.get("conditions") or []}
    reason = next(filter(None, map(_container_reason, containers)), "")
    scheduled = conditions.get("PodScheduled", {})
    waits = scheduled.get("status") == "False"
    if waits:
        reason = _unscheduled_reason(pod, scheduled) or reason
    labels = metadata.get("labels") or {}
    group, rank = pod_groups.place_of(labels)
    return PodState(
        name=metadata.get("name", ""),
        workload=labels.get("app.kubernetes.io/name", ""),
        phase=status.get("phase") or "Unknown",
        ready=conditions.get("Ready", {}).get("status") == "True",
        node=spec.get("nodeName") or "",
        restarts=sum(container.get("restartCount", 0) for container in containers),
        reason=reason,
        stopping=bool(metadata.get("deletionTimestamp") and spec.get("nodeName")),
        grace_s=spec.get("terminationGracePeriodSeconds") or 0,
        short_of=scheduling.lacking(scheduled.get("message") or "") if waits else (),
        killed_at=_seconds(metadata.get("deletionTimestamp") or ""),
        uid=metadata.get("uid", ""),
        group=group,
        rank=rank,
        is_held=waits and gangs.GATE in _gates(pod),
        waits_for=(metadata.get("annotations") or {}).get(gangs.WAITS, ""),
        in_leader_worker_set=pod_groups.LWS_RANK in labels,
        is_lent=lending.LENT_LABEL in labels,
    )


def _unscheduled_reason(pod: objects.Pod, scheduled: objects.Condition) -> str:
    """Why a pod has no node: what its gang waits for, who else keeps the scheduler from it, or what the scheduler
    says."""
    gates, metadata = _gates(pod), pod.get("metadata", {})
    if gangs.GATE in gates:
        waits = (metadata.get("annotations") or {}).get(gangs.WAITS)
        logs = f"kubectl logs -n {metadata.get('namespace', '')} deploy/{gangs.PROGRAM}"
        without_words = f"held until all pods of its gang can start: `{logs}` shows what is done"
        return f"its gang {waits}" if waits else without_words
    if gates == [lending.GATE]:
        is_lent = lending.LENT_LABEL in (metadata.get("labels") or {})
        return "waits for a node that another pool lends" if is_lent else "waits for room in its queue of Kueue"
    if gates:
        return f"the scheduler may not place it before somebody removes its scheduling gates {', '.join(gates)}"
    return scheduling.in_words(scheduled.get("message") or "") or scheduled.get("reason") or ""


def _gates(pod: objects.Pod) -> list[str]:
    return [gate["name"] for gate in pod.get("spec", {}).get("schedulingGates") or []]


def _seconds(timestamp: str) -> float:
    """Since 1970; 0 for no time."""
    return datetime.fromisoformat(timestamp).timestamp() if timestamp else 0


def container_statuses(pod: objects.Pod) -> list[objects.ContainerStatus]:
    """Of all containers, those that run first in front."""
    status = pod.get("status", {})
    return [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]


def _container_reason(container: objects.ContainerStatus) -> str:
    """Why a container doesn't run, or how it ended the last time; empty when it never ended badly."""
    state, last = container.get("state") or {}, container.get("lastState") or {}
    ended = state.get("terminated") or last.get("terminated") or {}
    waits = (state.get("waiting") or {}).get("reason") or ""
    if not ended.get("exitCode"):
        return waits
    reason = ended.get("reason", "")
    killed = f" ({reason})" if reason and reason != "Error" else ""
    last_line = (ended.get("message") or "").strip().rpartition("\n")[2].strip()[:_LAST_LINE]
    words = f": {last_line}" if last_line else ""
    name, code = container.get("name", ""), ended.get("exitCode")
    return f"{waits}{', ' if waits else ''}{name} ended with exit code {code}{killed}{words}"
