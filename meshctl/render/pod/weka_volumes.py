"""The file systems of a mesh in a WEKA cluster: classes and claims, and volumes for those that are tiered. PURE.

Called by `neural_mesh`. One volume is one file system (`weka/v2`), since WEKA snapshots, tiers and uploads file systems
and no folders. The CSI driver makes those that are on drives alone. It knows no object stores: a tiered file system is
made by `templates/weka_settings`, and a volume here leads to it. Source: docs of github.com/weka/csi-wekafs at
556dac2f, and its chart's storage classes.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any, Final

from meshctl.errors import MeshError
from meshctl.model.deployment import Deployment, FileSystem, NeuralMesh
from meshctl.model.pods import object_names
from meshctl.render.objects import PlatformObject
from meshctl.render.pod import pods
from meshctl.render.templates import render

GROUP: Final = "default"  # the group of file systems that the operator makes in each cluster
_SECRETS: Final = ("provisioner", "controller-publish", "controller-expand", "node-stage", "node-publish")
_LONGEST_DRIVER: Final = 63  # characters of a CSI driver's name: Kubernetes API, CSIDriver
_LONGEST_FILE_SYSTEM: Final = 32  # characters of a file system's name: docs.weka.io, "Manage filesystems using the CLI"
_STAND_ALONE_DRIVER: Final = "csi.weka.io"


@dataclass(frozen=True)
class CsiDriver:
    """`group`: what a WekaCluster of ours has to say for the driver to have this name; "" = nothing. `secret`: where
    the driver reads its user and the addresses of the cluster."""

    name: str
    secret: str
    secret_namespace: str
    group: str = ""


def driver(deployment: Deployment, mesh: NeuralMesh) -> CsiDriver:
    """The CSI driver by which the cluster's file systems are mounted. Raises: MeshError when it can have no name."""
    joined = mesh.joined
    if joined is None:
        own = _driver_of_cluster(mesh.name, mesh.namespace)
        return replace(own, secret=object_names.WEKA_ORGANIZATION_CSI) if mesh.organization is not None else own
    if not joined.cluster:
        return CsiDriver(joined.csi_driver or _STAND_ALONE_DRIVER, joined.secret, deployment.namespace)
    if joined.csi_driver:
        of_cluster = CsiDriver(joined.csi_driver, _secret_of_cluster(joined.cluster), joined.namespace)
    else:
        of_cluster = _driver_of_cluster(joined.cluster, joined.namespace)
    if not joined.secret:
        return of_cluster
    return replace(of_cluster, secret=joined.secret, secret_namespace=deployment.namespace)


def _driver_of_cluster(cluster: str, namespace: str) -> CsiDriver:
    """As the operator calls it: by the cluster and its namespace, or by a group of ours where that is too long."""
    name, group = f"{cluster}.{namespace}.weka.io", ""
    if len(name) > _LONGEST_DRIVER:
        group = cluster
        name = f"{group}.weka.io"
    if len(name) > _LONGEST_DRIVER:
        why = f"the CSI driver of its WEKA cluster would be {name}, and Kubernetes takes {_LONGEST_DRIVER} characters"
        raise MeshError(f"the name {cluster} is too long for NeuralMesh", why=why, hint="give the mesh a shorter name")
    return CsiDriver(name, _secret_of_cluster(cluster), namespace, group)


def _secret_of_cluster(cluster: str) -> str:
    return f"weka-csi-{cluster}"


def tiered(deployment: Deployment) -> list[FileSystem]:
    """The file systems whose cold data goes to an object store of the mesh."""
    return [system for system in of_mesh(deployment) if system.tier]


def of_mesh(deployment: Deployment) -> list[FileSystem]:
    return [system for system in deployment.file_systems if system.service == "neuralmesh"]


def file_system_name(deployment: Deployment, system: FileSystem) -> str:
    """What a tiered file system is called in WEKA."""
    name = f"{deployment.mesh}-{system.name}"
    if len(name) <= _LONGEST_FILE_SYSTEM:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name[: _LONGEST_FILE_SYSTEM - 9]}-{digest}"


def storage_class_name(deployment: Deployment, system: FileSystem) -> str:
    return system.storage_class or f"{deployment.mesh}-{system.name}"


def objects(deployment: Deployment, mesh: NeuralMesh, needs: tuple[str, ...], *, made_by: str) -> list[PlatformObject]:
    """The class of each volume that the driver makes, or the volume of each that is made otherwise. Their claims are
    those of any file system: see `render.pod.file_systems`. `needs`: the logical names of what mounts need; `made_by`:
    that of what makes tiered file systems."""
    csi = driver(deployment, mesh)
    classes = [_storage_class(deployment, mesh, csi, each, needs) for each in of_mesh(deployment) if not each.tier]
    return [*classes, *(_volume(deployment, csi, each, (*needs, made_by)) for each in tiered(deployment))]


def logical_name(system: FileSystem) -> str:
    """Of what the claim of the file system needs."""
    return f"storage/{system.name}:{'volume' if system.tier else 'class'}"


def _storage_class(
    deployment: Deployment, mesh: NeuralMesh, csi: CsiDriver, system: FileSystem, needs: tuple[str, ...]
) -> PlatformObject:
    parameters = {
        "volumeType": "weka/v2",
        "filesystemGroupName": GROUP,
        "initialFilesystemSizeGB": "1",  # the least; a file system gets the size of its claim
        "capacityEnforcement": "HARD",
    }
    if mesh.encryption is not None:
        parameters["encryptionEnabled"] = "true"
    for purpose in _SECRETS:
        parameters[f"csi.storage.k8s.io/{purpose}-secret-name"] = csi.secret
        parameters[f"csi.storage.k8s.io/{purpose}-secret-namespace"] = csi.secret_namespace
    values = {
        "name": storage_class_name(deployment, system),
        "labels": pods.common_labels(deployment),
        "provisioner": csi.name,
        "parameters": parameters,
    }
    (manifest,) = render("platform/weka-storage-class.yaml.j2", ("StorageClass",), values)
    return PlatformObject(logical_name(system), manifest, depends_on=needs)


def _volume(deployment: Deployment, csi: CsiDriver, system: FileSystem, needs: tuple[str, ...]) -> PlatformObject:
    values: dict[str, Any] = {
        "name": system.name,
        "volume": f"{deployment.mesh}-{system.name}",
        "namespace": deployment.namespace,
        "labels": pods.common_labels(deployment),
        "size": f"{system.size_gib}Gi",
        "driver": csi.name,
        "handle": f"weka/v2/{file_system_name(deployment, system)}",
        "secret": {"name": csi.secret, "namespace": csi.secret_namespace},
    }
    (manifest,) = render("platform/weka-volume.yaml.j2", ("PersistentVolume",), values)
    return PlatformObject(logical_name(system), manifest, depends_on=needs)
