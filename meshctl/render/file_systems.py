"""File systems as volumes and claims. PURE.

Called by `platform`.
"""

from __future__ import annotations

from meshctl.model.deployment import Deployment, FileSystem
from meshctl.render import pods
from meshctl.render.objects import PlatformObject
from meshctl.render.templates import render


def file_system(deployment: Deployment, system: FileSystem, *, needs: str) -> list[PlatformObject]:
    """Its volume, where no class makes one, and its claim."""
    static = system.service != "storage-class"
    values = {
        "name": system.name,
        "namespace": deployment.namespace,
        "labels": pods.common_labels(deployment),
        "service": system.service,
        "size": f"{system.size_gib}Gi",
        "volume": f"{deployment.mesh}-{system.name}" if static else "",
        "storage_class": "" if static else system.storage_class,
    }
    kinds = ("PersistentVolume", "PersistentVolumeClaim") if static else ("PersistentVolumeClaim",)
    *volumes, claim = render("platform/filesystem.yaml.j2", kinds, values)
    volume_name, claim_name = f"storage/{system.name}:volume", f"storage/{system.name}:claim"
    # volumes made before had neither, and can't be given them: the API server allows no change
    never_changed = ("spec.accessModes", "spec.csi.fsType")
    objects = [PlatformObject(volume_name, volume, ignore_changes=never_changed) for volume in volumes]
    claim_needs = (needs, *(item.name for item in objects))
    # where a class binds only when the first pod comes, the provider does not wait for it
    # the file system itself grows: a claim on a volume that no class made can't, and its size means nothing
    fixed = ("spec.resources.requests.storage",) if static else ()
    return [*objects, PlatformObject(claim_name, claim, wait=True, depends_on=claim_needs, ignore_changes=fixed)]
