"""Shared file systems inside the cluster: volumes for those that exist outside, claims for the pods. PURE.

Called by `platform`. A claim that environments.yaml adopts is there already, and nothing is made for it.
"""

from __future__ import annotations

from typing import Any

from meshctl.model.deployment import Deployment, FileSystem, NfsExport
from meshctl.render.objects import PlatformObject
from meshctl.render.pod import pods, weka_volumes
from meshctl.render.templates import render
from meshwire.marks import GONE_WITH_VOLUME


def claim(system: FileSystem) -> str:
    """The logical name of the file system's claim."""
    return f"storage/{system.name}:claim"


def objects(deployment: Deployment, system: FileSystem, *, needs: str) -> list[PlatformObject]:
    """The volume of a file system outside the cluster, and its claim. `needs`: the logical name of the namespace."""
    if system.existing_claim:
        return []
    if system.service == "neuralmesh":
        return [_claim_on_weka(deployment, system, needs)]
    static = system.service != "storage-class"
    values = {
        "name": system.name,
        "namespace": deployment.namespace,
        "labels": pods.common_labels(deployment),
        "service": system.service,
        "nfs": _nfs(system.nfs),
        "size": f"{system.size_gib}Gi",
        "volume": f"{deployment.mesh}-{system.name}" if static else "",
        "storage_class": "" if static else system.storage_class,
    }
    kinds = ("PersistentVolume", "PersistentVolumeClaim") if static else ("PersistentVolumeClaim",)
    *volumes, manifest = render("platform/filesystem.yaml.j2", kinds, values)
    # the volumes of earlier versions have neither of them, and the API server allows no change
    never_changed = ("spec.accessModes", "spec.csi.fsType") if system.nfs is None else ()
    volume_objects = [
        PlatformObject(f"storage/{system.name}:volume", each, ignore_changes=never_changed) for each in volumes
    ]
    # a claim on a volume that no class made can't grow and its size means nothing: the file system itself grows
    not_changed = ("spec.resources.requests.storage",) if static else ()
    depends_on = (needs, *(item.name for item in volume_objects))
    return [
        *volume_objects,
        PlatformObject(claim(system), manifest, wait=True, depends_on=depends_on, ignore_changes=not_changed),
    ]


def _claim_on_weka(deployment: Deployment, system: FileSystem, needs: str) -> PlatformObject:
    """A claim on the class of its own, which makes a file system of its size, or on the volume of a tiered one, whose
    size WEKA's own settings say."""
    values = {
        "name": system.name,
        "namespace": deployment.namespace,
        "labels": pods.common_labels(deployment),
        "gone_with_volume": GONE_WITH_VOLUME,
        "size": f"{system.size_gib}Gi",
        "volume": f"{deployment.mesh}-{system.name}" if system.tier else "",
        "storage_class": "" if system.tier else weka_volumes.storage_class_name(deployment, system),
    }
    (manifest,) = render("platform/weka-claim.yaml.j2", ("PersistentVolumeClaim",), values)
    return PlatformObject(
        claim(system),
        manifest,
        wait=True,
        depends_on=(needs, weka_volumes.logical_name(system)),
        ignore_changes=("spec.resources.requests.storage",) if system.tier else (),
    )


def _nfs(export: NfsExport | None) -> dict[str, Any]:
    if export is None:
        return {}
    return {"server": export.server, "path": export.path, "mount_options": list(export.mount_options)}
