"""The claims of a namespace that have a volume, with what the platform calls it. EDGE (it asks clusters).

Called by `protection`, which says by name what would be lost.
"""

from __future__ import annotations

from typing import Any

from lightkube.core.exceptions import ApiError
from lightkube.resources.core_v1 import PersistentVolume, PersistentVolumeClaim

from meshctl.changes.losses import Volume
from meshctl.clients.cluster_access import ClusterAccess, translate_errors


def volumes(cluster: ClusterAccess, namespace: str) -> tuple[Volume, ...]:
    """Those of claims that are bound; nothing can have been written to the others. Without those of pods' ephemeral
    volumes, which go with their pod. Raises: CredentialsError, UnreachableError, MeshError."""
    client = cluster.client()
    with translate_errors(cluster.name):
        claims = client.list(PersistentVolumeClaim, namespace=namespace)
        bound = [claim for claim in claims if claim.spec and claim.spec.volumeName and not _owned_by_pod(claim)]
        return tuple(sorted(_volume(client, claim) for claim in bound))


def _volume(client: Any, claim: Any) -> Volume:
    asked_for = claim.spec.resources.requests if claim.spec.resources else None
    size = str((asked_for or {}).get("storage", ""))
    return Volume(claim.metadata.name or "", claim.spec.volumeName, _handle(client, claim.spec.volumeName), size)


def _handle(client: Any, name: str) -> str:
    """What the driver calls the volume; empty where no driver made it, or these rights don't show it."""
    try:
        found = client.get(PersistentVolume, name)
    except ApiError as error:
        if error.status.code in (403, 404):
            return ""
        raise
    return str(found.spec.csi.volumeHandle) if found.spec and found.spec.csi else ""


def _owned_by_pod(claim: Any) -> bool:
    owners = (claim.metadata.ownerReferences or []) if claim.metadata else []
    return any(owner.kind == "Pod" for owner in owners)
