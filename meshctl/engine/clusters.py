"""Reads Kubernetes clusters: facts for `resolve`, pods and node counts for `status` and `migrate`. EDGE.

Called by `session` and by the CLI. Only reads; what changes a cluster is declared in stacks.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import lightkube
from lightkube.config.kubeconfig import KubeConfig
from lightkube.core.exceptions import ApiError, ConfigError
from lightkube.resources.core_v1 import Node, PersistentVolumeClaim, Pod, Service
from lightkube.resources.storage_v1 import StorageClass as StorageClassResource

from meshctl.errors import CredentialsError, MeshError, UnreachableError
from meshctl.model.deployment import MESH_LABEL, POOL_LABEL, Deployment
from meshctl.model.observed import Facts, ObservedNode, StorageClass

_GIB = 1024**3
_LAST_LINE = 300  # characters of what a container said last
_UNITS = {"Ki": 1024, "Mi": 1024**2, "Gi": 1024**3, "Ti": 1024**4, "k": 1000, "M": 1000**2, "G": 1000**3, "T": 1000**4}
_RDMA_PREFIXES = ("rdma/", "vpc.amazonaws.com/efa", "nvidia.com/hostdev", "openshift.io/")


@dataclass(frozen=True)
class PodState:
    """One pod as a person would ask about it. `reason` says why it is not ready, where the cluster does."""

    name: str
    workload: str
    phase: str
    ready: bool
    node: str
    restarts: int
    reason: str = ""


@dataclass(frozen=True)
class ClusterAccess:
    """One cluster: `kubeconfig` is content (JSON or YAML), a path, or empty for the standard places."""

    name: str
    kubeconfig: str = ""
    context: str = ""

    def client(self) -> lightkube.Client:
        """Raises: CredentialsError when there is no such kubeconfig or context."""
        with named(self.name):
            config = self._config().get(self.context or None)
            return lightkube.Client(config=config, timeout=httpx2.Timeout(20, connect=5), trust_env=False)

    def _config(self) -> KubeConfig:
        config = self._read()
        for user in config.users.values():
            # lightkube knows the exec API up to v1beta1; v1 differs in a field that only terminals need
            if user.exec is not None and user.exec.apiVersion == "client.authentication.k8s.io/v1":
                user.exec.apiVersion = "client.authentication.k8s.io/v1beta1"
        return config

    def _read(self) -> KubeConfig:
        if self.kubeconfig.lstrip().startswith("{"):
            return KubeConfig.from_dict(json.loads(self.kubeconfig))
        if self.kubeconfig:
            return KubeConfig.from_file(self.kubeconfig)
        return _merged(os.environ.get("KUBECONFIG", ""), self.context)


def _merged(kubeconfig_variable: str, context: str) -> KubeConfig:
    """$KUBECONFIG may name several files, of which some may not exist; the first that has the context is taken."""
    paths = [Path(part).expanduser() for part in kubeconfig_variable.split(os.pathsep) if part]
    paths = [path for path in paths or [Path("~/.kube/config").expanduser()] if path.exists()]
    configs = [KubeConfig.from_file(str(path)) for path in paths]
    for config in configs:
        if not context or context in config.contexts:
            return config
    wanted = f'context "{context}"' if context else "kubeconfig"
    raise CredentialsError(
        f"no {wanted} in $KUBECONFIG or ~/.kube/config",
        why=f"looked in {', '.join(map(str, paths)) or 'no file: none exists'}",
        hint="set `kubernetes: {kubeconfig: …, context: …}` of the environment",
    )


def access(deployment: Deployment, outputs: Mapping[str, Any]) -> ClusterAccess:
    """The cluster of a deployment; on AWS its kubeconfig is the stack's output."""
    content = str(outputs.get("kubeconfig") or "")
    cluster = deployment.cluster
    return ClusterAccess(deployment.environment, content or cluster.kubeconfig, "" if content else cluster.context)


def facts(cluster: ClusterAccess) -> Facts:
    """Nodes and storage classes of an existing cluster."""
    client = cluster.client()
    with named(cluster.name):
        nodes = tuple(sorted((_node(node) for node in client.list(Node)), key=lambda node: node.name))
        classes = tuple(_storage_class(item) for item in client.list(StorageClassResource))
    return Facts(nodes=nodes, storage_classes=classes)


def pods(cluster: ClusterAccess, namespace: str, workload: str = "") -> list[PodState]:
    """The pods of one workload, or of all, by name."""
    client = cluster.client()
    labels: dict[str, Any] = {"app.kubernetes.io/managed-by": "meshctl"}
    if workload:
        labels["app.kubernetes.io/name"] = workload
    with named(cluster.name):
        found = client.list(Pod, namespace=namespace, labels=labels)
        return sorted((pod_state(pod) for pod in found), key=lambda pod: pod.name)


def bound_claims(cluster: ClusterAccess, namespace: str) -> frozenset[str]:
    """Names of the claims that have a volume; nothing can have been written to the others. Without those of pods'
    ephemeral volumes, which go with their pod."""
    client = cluster.client()
    with named(cluster.name):
        claims = client.list(PersistentVolumeClaim, namespace=namespace)
        bound = [claim for claim in claims if claim.spec and claim.spec.volumeName]
    return frozenset(claim.metadata.name or "" for claim in bound if claim.metadata and not _owned_by_pod(claim))


def _owned_by_pod(claim: PersistentVolumeClaim) -> bool:
    owners = (claim.metadata.ownerReferences or []) if claim.metadata else []
    return any(owner.kind == "Pod" for owner in owners)


def ready_nodes(cluster: ClusterAccess, mesh: str) -> dict[str, int]:
    """Ready nodes by pool of the mesh. A node without the mesh's label was given to its pool by an earlier version."""
    client = cluster.client()
    counts: dict[str, int] = {}
    with named(cluster.name):
        for node in client.list(Node):
            labels = (node.metadata.labels or {}) if node.metadata else {}
            pool = labels.get(POOL_LABEL)
            if pool and labels.get(MESH_LABEL, mesh) == mesh and _is_ready(node):
                counts[pool] = counts.get(pool, 0) + 1
    return counts


def load_balancer(cluster: ClusterAccess, namespace: str, service: str) -> str:
    """Address (IP or host name) of a LoadBalancer Service; empty when it has none yet."""
    client = cluster.client()
    with named(cluster.name):
        found = client.get(Service, service, namespace=namespace)
    ingress = (found.status.loadBalancer.ingress if found.status and found.status.loadBalancer else None) or []
    return str(ingress[0].ip or ingress[0].hostname or "") if ingress else ""


def _node(node: Any) -> ObservedNode:
    labels = node.metadata.labels or {}
    capacity = (node.status.allocatable or node.status.capacity or {}) if node.status else {}
    total = (node.status.capacity or capacity) if node.status else {}
    rdma = next(
        ((name, int(count)) for name, count in sorted(capacity.items()) if name.startswith(_RDMA_PREFIXES)), ("", 0)
    )
    gpu_memory_mib = float(labels.get("nvidia.com/gpu.memory") or 0)
    return ObservedNode(
        name=node.metadata.name,
        labels=labels,
        ready=_is_ready(node) and not (node.spec and node.spec.unschedulable),
        gpu_model=labels.get("nvidia.com/gpu.product")
        or labels.get("gpu.nvidia.com/model")
        or labels.get("gpu.nvidia.com/class")
        or "",
        gpu_count=int(capacity.get("nvidia.com/gpu", 0)),
        gpu_memory_gib=gpu_memory_mib / 1024,
        cpu_cores=int(_quantity(total.get("cpu", "0"))),
        memory_gib=_quantity(total.get("memory", "0")) / _GIB,
        scratch_gb=_quantity(total.get("ephemeral-storage", "0")) / 1e9,
        rdma_resource=rdma[0],
        rdma_count=rdma[1],
        arch="arm64" if labels.get("kubernetes.io/arch") == "arm64" else "amd64",
    )


def _storage_class(item: Any) -> StorageClass:
    annotations = item.metadata.annotations or {}
    default = annotations.get("storageclass.kubernetes.io/is-default-class") == "true"
    return StorageClass(name=item.metadata.name, provisioner=item.provisioner, default=default)


def _is_ready(node: Any) -> bool:
    conditions = (node.status.conditions or []) if node.status else []
    return any(condition.type == "Ready" and condition.status == "True" for condition in conditions)


def _quantity(text: str) -> float:
    """A Kubernetes quantity as a number
    (https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/)."""
    for suffix, factor in _UNITS.items():
        if text.endswith(suffix):
            return float(text.removesuffix(suffix)) * factor
    return float(text.removesuffix("m")) / 1000 if text.endswith("m") else float(text)


def pod_state(pod: Any) -> PodState:
    """What the API says of a pod (`lightkube` Pod), in short."""
    statuses = [*(pod.status.initContainerStatuses or []), *(pod.status.containerStatuses or [])] if pod.status else []
    conditions = {condition.type: condition for condition in (pod.status.conditions or [])} if pod.status else {}
    reason = next(filter(None, map(_container_reason, statuses)), "")
    scheduled = conditions.get("PodScheduled")
    if scheduled is not None and scheduled.status == "False":
        reason = scheduled.message or scheduled.reason or reason
    ready = conditions.get("Ready")
    return PodState(
        name=pod.metadata.name,
        workload=(pod.metadata.labels or {}).get("app.kubernetes.io/name", ""),
        phase=(pod.status.phase or "Unknown") if pod.status else "Unknown",
        ready=ready is not None and ready.status == "True",
        node=(pod.spec.nodeName or "") if pod.spec else "",
        restarts=sum(status.restartCount or 0 for status in statuses),
        reason=reason,
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


@contextmanager
def named(cluster: str) -> Iterator[None]:
    """The client's errors as ours. Raises: CredentialsError, UnreachableError, MeshError."""
    try:
        yield
    except ConfigError as error:
        raise CredentialsError(
            f"{cluster}: the kubeconfig can't be used", why=str(error), hint="check `kubernetes:` of the environment"
        ) from error
    except ApiError as error:
        status = error.status.code or 0
        if status in (401, 403):
            hint = "renew the credentials" if status == 401 else "the user lacks the right that the message names"
            raise CredentialsError(f"{cluster}: the API server refused", why=str(error), hint=hint) from error
        raise MeshError(f"{cluster}: {error}", hint="`meshctl status` shows the cluster as it is") from error
    except httpx2.HTTPError as error:
        raise UnreachableError(
            f"{cluster}: the Kubernetes API server does not answer",
            why=str(error) or type(error).__name__,
            hint="check the cluster's address and the network; in the lab: `meshctl lab status`",
        ) from error
