"""What platforms on a cluster that exists have in common: for `coreweave`, `cluster` and packages of others. PURE, but
for `declare`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from meshctl.model import mesh as mesh_model
from meshctl.model.deployment import Cluster as DeployedCluster
from meshctl.model.deployment import Deployment, Gap
from meshctl.model.environment import GivenClusterEnvironment, Kubeconfig
from meshctl.platforms.interface import Cluster
from meshctl.resolve.data.storage import Place, Stored, class_block, class_file_system, given_store

OnPlace = Callable[[Place, str, mesh_model.Storage], Stored | Gap]


def _describe(_mesh: mesh_model.Mesh, name: str, environment: GivenClusterEnvironment) -> DeployedCluster:
    kubeconfig = environment.kubernetes or Kubeconfig()
    return DeployedCluster(
        name=kubeconfig.context or name, kubeconfig=kubeconfig.kubeconfig or "", context=kubeconfig.context or ""
    )


def _kubeconfig(environment: GivenClusterEnvironment) -> Kubeconfig | None:
    return environment.kubernetes


# reached by the kubeconfig that the environment names
CLUSTER = Cluster(made=None, describe=_describe, kubeconfig=_kubeconfig)


def _file_system(default: str, place: Place, name: str, storage: mesh_model.Storage) -> Stored | Gap:
    return class_file_system(place, name, storage, _environment(place).storage_classes.filesystem or default)


def file_systems(default: str) -> OnPlace:
    """A function for `Storage.file_system`: file systems are claims on the class that the environment names, else on
    the class `default`; "" = a class that the cluster is seen to have."""
    return partial(_file_system, default)


def _block(default: str, place: Place, name: str, storage: mesh_model.Storage) -> Stored | Gap:
    return class_block(place, name, storage, _environment(place).storage_classes.block or default)


def blocks(default: str) -> OnPlace:
    """A function for `Storage.block`: as `file_systems`; "" = the cluster's default class."""
    return partial(_block, default)


def store(place: Place, name: str, storage: mesh_model.Storage) -> Stored | Gap:
    """A bucket at the environment's object store, in the region that SDKs take where a store has none."""
    return given_store(place, name, storage, _environment(place).object_storage, "us-east-1")


def store_of_region(place: Place, name: str, storage: mesh_model.Storage) -> Stored | Gap:
    """As `store`, for a store of the platform's own, which is in the environment's region."""
    return given_store(place, name, storage, _environment(place).object_storage, place.region or "us-east-1")


def _environment(place: Place) -> GivenClusterEnvironment:
    if not isinstance(place.environment, GivenClusterEnvironment):
        raise TypeError(f"{type(place.environment).__name__} must be a GivenClusterEnvironment")
    return place.environment


def declare(
    deployment: Deployment,
    late: Mapping[str, Any],
    ready_timeout_s: int = 0,
    *,
    staying: Any = None,
    cluster_uid: str = "",
) -> None:
    """The objects of the nodes, the buckets, and everything inside the cluster."""
    import stacks.existing  # with the Pulumi SDK: only where something is brought up

    stacks.existing.declare(deployment, late, ready_timeout_s, staying=staying, cluster_uid=cluster_uid)
