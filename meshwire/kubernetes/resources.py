"""Kinds of objects and their paths; those that meshctl reads have the type of what it reads of them. PURE."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Generic, TypeVar
from urllib.parse import quote

from meshwire.kubernetes import objects

T = TypeVar("T")


@dataclass(frozen=True)
class Resource(Generic[T]):
    """Where the objects of a kind live: `plural` in the path, with a namespace or not. `T`: what an object is."""

    api_version: str
    plural: str
    namespaced: bool = True

    def path(self, namespace: str = "", name: str = "") -> str:
        """Of one object, or without a name of all; without a namespace of those of all namespaces."""
        place = f"/namespaces/{_quoted(namespace)}" if self.namespaced and namespace else ""
        return f"{group_path(self.api_version)}{place}/{self.plural}" + (f"/{_quoted(name)}" if name else "")


def group_path(api_version: str) -> str:
    """Of a group and version: where its kinds are listed."""
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


def _quoted(name: str) -> str:
    return quote(name, safe=":")


NAMESPACES: Final = Resource[objects.Object]("v1", "namespaces", namespaced=False)
NODES: Final = Resource[objects.Node]("v1", "nodes", namespaced=False)
PODS: Final = Resource[objects.Pod]("v1", "pods")
EVENTS: Final = Resource[objects.Event]("v1", "events")
SECRETS: Final = Resource[objects.Secret]("v1", "secrets")
CONFIG_MAPS: Final = Resource[objects.Object]("v1", "configmaps")
SERVICES: Final = Resource[objects.Service]("v1", "services")
CLAIMS: Final = Resource[objects.Claim]("v1", "persistentvolumeclaims")
VOLUMES: Final = Resource[objects.Volume]("v1", "persistentvolumes", namespaced=False)
STORAGE_CLASSES: Final = Resource[objects.StorageClass]("storage.k8s.io/v1", "storageclasses", namespaced=False)
JOBS: Final = Resource[objects.Job]("batch/v1", "jobs")
DEPLOYMENTS: Final = Resource[objects.Server]("apps/v1", "deployments")
STATEFUL_SETS: Final = Resource[objects.Server]("apps/v1", "statefulsets")
DISRUPTION_BUDGETS: Final = Resource[objects.DisruptionBudget]("policy/v1", "poddisruptionbudgets")
LEADER_WORKER_SETS: Final = Resource[objects.Server]("leaderworkerset.x-k8s.io/v1", "leaderworkersets")
COMPUTE_DOMAINS: Final = Resource[objects.Object]("resource.nvidia.com/v1beta1", "computedomains")
