"""A deployment with a NeuralMesh by hand, for tests that need a value and no resolving."""

from __future__ import annotations

from typing import Any

from meshctl.model.deployment import (
    Deployment,
    FileSystem,
    JoinedWeka,
    NeuralMesh,
    NodeShare,
    Price,
    WekaContainers,
)
from tests.unit.deployments import deployment

CLIENT = WekaContainers(containers=4, cores=1, hugepages_mib=1564, hugepages_offset_mib=264)


def neural_mesh(**changes: Any) -> NeuralMesh:
    """Six nodes of the pool `train` carry it, those of `serve` mount it as well."""
    values: dict[str, Any] = {
        "name": "llm-prod",
        "namespace": "llm-prod",
        "pool": "train",
        "nodes": 6,
        "least_nodes": 6,
        "client_pools": ("serve", "train"),
        "image": "quay.io/weka.io/weka-in-container:4.4.21.2",
        "image_pull_secret": "quay-io-robot-secret",
        "operator_version": "v1.11.0",
        "drives": WekaContainers(containers=6, cores=2, drives=4, hugepages_mib=3728, hugepages_offset_mib=928),
        "compute": WekaContainers(containers=6, cores=3, hugepages_mib=9000, hugepages_offset_mib=392),
        "client": CLIENT,
        "stripe_width": 4,
        "sign_drives": "all-not-root",
        "ethernet_devices": ("eth1",),
        "shares": {
            "serve": NodeShare(cpu_cores=1, memory_gib=5, hugepages_mib=1828, network_interfaces=1),
            "train": NodeShare(cpu_cores=6, memory_gib=20, hugepages_mib=16284, network_interfaces=6, drives=4),
        },
    }
    return NeuralMesh(**{**values, **changes})


def joined(**changes: Any) -> NeuralMesh:
    """A cluster of somebody else in this Kubernetes cluster, unless `changes` say it otherwise."""
    values: dict[str, Any] = {
        "pool": "",
        "nodes": 0,
        "least_nodes": 0,
        "drives": None,
        "compute": None,
        "sign_drives": "",
        "joined": JoinedWeka(cluster="shared", namespace="storage"),
    }
    return neural_mesh(**{**values, **changes})


def system(name: str = "data", **changes: Any) -> FileSystem:
    price = Price(subject=f"storage/{name}", usd_per_hour=0, source="by hand")
    return FileSystem(**{"name": name, "service": "neuralmesh", "size_gib": 1000, "price": price, **changes})


def with_mesh(mesh: NeuralMesh | None = None, *systems: FileSystem, environment: str = "dc1") -> Deployment:
    """`systems`: one of 1000 GiB if none are given. The object stores are those of `tests.unit.deployments`."""
    return deployment(environment, neural_mesh=mesh or neural_mesh(), file_systems=systems or (system(),))
