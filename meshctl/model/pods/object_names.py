"""What a mesh's Kubernetes objects are called where several things of the mesh share a kind. PURE.

The names are those that `meshctl.render` gives. `objects` lists them for `meshctl.model.files.references`, which
refuses two of one name before anything is resolved: it reads a parsed file of any shape.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from meshctl.model.keys import gateways
from meshctl.model.pods import pod_groups

OBJECT_STORAGE_SECRET = "object-storage"  # noqa: S105  the name of a Secret
_MOST_GROUPS = 1000  # of a workload, whose names are looked at; a larger number has no nodes, which is said elsewhere
BEFORE = "before-"  # how the names of a workload's own init containers begin; `before-1` is the first
GPU_METRICS = "platform:dcgm-exporter"  # the logical name of the object that measures GPUs
GANG_HOLD = "meshctl-gang-hold"  # what lets the pods of gangs start: its Deployment, account, rights and files
_SERVERS = ("inference", "service")
POD_NUMBER = r"\d+"  # ends the names of the claims that a StatefulSet makes for its pods
WEKA_LICENCE = "weka-licence"  # the Secret with the licence of the mesh's WEKA cluster
WEKA_ORGANIZATION_ADMIN = "weka-organization-admin"  # the Secret of the administrator of its organization
WEKA_ORGANIZATION_CSI = "weka-organization-csi"  # and that of the user by which the CSI driver works there
STAGE = "stage-"  # how those begin that copy objects to the node's disk


class Named(NamedTuple):
    """One object: where the mesh asks for it, its kind and name."""

    path: tuple[str | int, ...]
    kind: str
    name: str


def labels(mesh: str, environment: str) -> dict[str, str]:
    """Those of every object that is made for the environment."""
    return {
        "app.kubernetes.io/part-of": mesh,
        "app.kubernetes.io/managed-by": "meshctl",
        "meshctl.dev/environment": environment,
    }


def workload_secret(workload: str) -> str:
    return f"{workload}-secrets"


def workload_files(workload: str) -> str:
    """The ConfigMap of its files."""
    return f"{workload}-files"


def gang(workload: str) -> str:
    """The ConfigMap with the number of ranks of an elastic gang."""
    return f"{workload}-gang"


def certificate(workload: str) -> str:
    """A gateway's Certificate, and the Secret that cert-manager keeps it in."""
    return f"{workload}-certificate"


def registry_secret(secret: str) -> str:
    return f"registry-{secret}"


def pods_service(workload: str) -> str:
    """Names each pod of a StatefulSet."""
    return f"{workload}-pods"


def public_service(workload: str) -> str:
    """The load balancer of the workload's public endpoints."""
    return f"{workload}-public"


def internal_service(workload: str) -> str:
    """The load balancer of the workload's internal endpoints."""
    return f"{workload}-internal"


def endpoint_service(workload: str, *, is_internal: bool) -> str:
    """The load balancer of an endpoint of the workload."""
    return internal_service(workload) if is_internal else public_service(workload)


def release(workload: str) -> str:
    """The Job that starts the workload's own once the jobs before it have ended, its account and its rights."""
    return f"{workload}-release"


def block_end(workload: str) -> str:
    """The CronJob that suspends the workload's Job before its nodes are taken back, its account and its rights."""
    return f"{workload}-block-end"


def lent(workload: str) -> str:
    """The Deployment of those of its replicas that run on nodes which other pools lend."""
    return f"{workload}-lent"


def scaler(workload: str) -> str:
    """What moves the workload's replicas by a load that its pods report, its account, rights and files."""
    return f"{workload}-scaler"


def job_claim(workload: str, block: str) -> str:
    return f"{workload}-{block}"


def pod_claim(workload: str, block: str, pod: int) -> str:
    """As Kubernetes calls the claims of a StatefulSet."""
    return f"{block}-{workload}-{pod}"


def pod_claims(stateful_set: str, block: str) -> str:
    """A regular expression for the names of the claims of all its pods; it ends with POD_NUMBER."""
    return re.escape(f"{block}-{stateful_set}-") + POD_NUMBER


def objects(mesh: dict[str, Any]) -> Iterator[Named]:
    """The Services, Secrets, StatefulSets, PersistentVolumeClaims and ServiceAccounts of a mesh; of the claims of
    several pods, the first; of groups, all that there are. Jobs are called as their accounts are."""
    stores = _mappings(mesh.get("storage"))
    for name, store in stores.items():
        if store.get("kind") == "filesystem":
            yield Named(("storage", name), "PersistentVolumeClaim", name)
    endpoints = _mappings(mesh.get("endpoints"))
    plain = [each for each in endpoints.values() if not gateways.needs_gateway(each)]
    balancers = {(str(each.get("workload")), each.get("access") == "internal") for each in plain}
    lasting = {name for name, store in stores.items() if store.get("kind") == "block" and not store.get("ephemeral")}
    workloads = _mappings(mesh.get("workloads"))
    yield from _registry_secrets(workloads)
    gang = next((name for name, workload in workloads.items() if workload.get("kind") == "training"), None)
    if gang is not None:
        yield Named(("workloads", gang), "ServiceAccount", GANG_HOLD)
    for name, workload in workloads.items():
        yield from _of_workload(name, workload, lasting)
        for is_internal in (False, True):
            if (name, is_internal) in balancers:
                yield Named(("workloads", name), "Service", endpoint_service(name, is_internal=is_internal))
    for name, endpoint in endpoints.items():
        if gateways.needs_gateway(endpoint):
            yield from _of_gateway(name, is_internal=endpoint.get("access") == "internal")


def _of_gateway(endpoint: str, *, is_internal: bool) -> Iterator[Named]:
    at, name = ("endpoints", endpoint), gateways.name_of(endpoint)
    yield Named(at, "ServiceAccount", name)
    yield Named(at, "Service", name)
    yield Named(at, "Service", endpoint_service(name, is_internal=is_internal))
    yield Named(at, "Secret", workload_secret(name))
    yield Named(at, "Secret", certificate(name))


def _registry_secrets(workloads: dict[str, dict[str, Any]]) -> Iterator[Named]:
    """One for all workloads that name the same."""
    first: dict[str, tuple[str | int, ...]] = {}
    for name, workload in workloads.items():
        secrets = workload.get("imagePullSecrets")
        for index, secret in enumerate(secrets if isinstance(secrets, list) else ()):
            first.setdefault(str(secret), ("workloads", name, "imagePullSecrets", index))
    for secret, path in first.items():
        yield Named(path, "Secret", registry_secret(secret))


def _of_workload(name: str, workload: dict[str, Any], lasting: set[str]) -> Iterator[Named]:
    at = ("workloads", name)
    yield Named(at, "ServiceAccount", name)
    if workload.get("after"):
        yield Named((*at, "after"), "ServiceAccount", release(name))
    if workload.get("scale"):
        yield Named((*at, "scale"), "ServiceAccount", scaler(name))
    if workload.get("burst") is True and workload.get("kind") in _SERVERS:
        yield Named((*at, "burst"), "ServiceAccount", lent(name))  # servers are called as their accounts are, too
    serves = workload.get("kind") in ("inference", "service")
    lasting_mounts = [mount for mount in _mappings(workload.get("mounts")) if mount in lasting]
    if workload.get("secrets"):
        yield Named(at, "Secret", workload_secret(name))
    if pod_groups.is_grouped(workload):
        yield from _of_groups(name, workload, lasting_mounts)
        return
    if serves and lasting_mounts:
        yield Named(at, "StatefulSet", name)
    for block in lasting_mounts:
        claim = pod_claim(name, block, 0) if serves else job_claim(name, block)
        yield Named((*at, "mounts", block), "PersistentVolumeClaim", claim)
    if workload.get("kind") == "training" or workload.get("ports"):
        yield Named(at, "Service", name)
    if serves and lasting_mounts:
        yield Named(at, "Service", pods_service(name))


def _of_groups(name: str, workload: dict[str, Any], lasting_mounts: list[str]) -> Iterator[Named]:
    at = ("workloads", name)
    replicas = workload.get("replicas", 1)
    replicas = replicas.get("max") if isinstance(replicas, dict) else replicas
    for group in range(min(replicas, _MOST_GROUPS) if isinstance(replicas, int) else 1):
        leader, workers = pod_groups.leader_set(name, group), pod_groups.worker_set(name, group)
        yield Named(at, "StatefulSet", leader)
        yield Named(at, "StatefulSet", workers)
        yield Named(at, "Service", leader)  # made by the cluster's controller for groups, where there is one
        for block in lasting_mounts:
            for set_name, first in ((leader, 0), (workers, 1)):
                yield Named((*at, "mounts", block), "PersistentVolumeClaim", pod_claim(set_name, block, first))
    if workload.get("ports"):
        yield Named(at, "Service", name)
    yield Named(at, "Service", pods_service(name))


def _mappings(value: object) -> dict[str, dict[str, Any]]:
    """The entries that are mappings themselves."""
    entries = value.items() if isinstance(value, dict) else ()
    return {name: entry for name, entry in entries if isinstance(name, str) and isinstance(entry, dict)}
