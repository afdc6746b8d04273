"""The claims of a namespace that have a volume, with what the platform calls it. EDGE (it asks clusters).

Called by `protection`, which says by name what would be lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from meshctl.changes.losses import Volume
from meshctl.clients.kubernetes.cluster_access import ClusterAccess
from meshwire.kubernetes import objects
from meshwire.kubernetes.errors import ApiError
from meshwire.kubernetes.resources import CLAIMS, VOLUMES

if TYPE_CHECKING:
    from meshwire.kubernetes.client import Client


def volumes(cluster: ClusterAccess, namespace: str, own_labels: Mapping[str, str]) -> tuple[Volume, ...]:
    """Those of claims that are bound; nothing can have been written to the others. Without those of pods' ephemeral
    volumes, which go with their pod. `own_labels`: those of the environment's claims.

    Raises: CredentialsError, UnreachableError, MeshError."""
    with cluster.connected() as client:
        claims = client.list_objects(CLAIMS, namespace=namespace)
        bound = [claim for claim in claims if _volume_name(claim) and not _owned_by_pod(claim)]
        return tuple(sorted(_volume(client, claim, own_labels) for claim in bound))


def _volume_name(claim: objects.Claim) -> str:
    return claim.get("spec", {}).get("volumeName") or ""


def _volume(client: Client, claim: objects.Claim, own_labels: Mapping[str, str]) -> Volume:
    name, metadata = _volume_name(claim), claim.get("metadata", {})
    is_own = own_labels.items() <= (metadata.get("labels") or {}).items()
    return Volume(metadata.get("name", ""), name, _handle(client, name), requested_size(claim), is_own)


def requested_size(claim: objects.Claim) -> str:
    """As a quantity; "" where the claim names none."""
    return (claim.get("spec", {}).get("resources", {}).get("requests") or {}).get("storage", "")


def _handle(client: Client, name: str) -> str:
    """What the driver calls the volume; empty where no driver made it, or these rights don't show it."""
    try:
        volume = client.get(VOLUMES, name)
    except ApiError as error:
        if error.status in (403, 404):
            return ""
        raise
    return volume.get("spec", {}).get("csi", {}).get("volumeHandle", "")


def _owned_by_pod(claim: objects.Claim) -> bool:
    owners = claim.get("metadata", {}).get("ownerReferences") or []
    return any(owner.get("kind") == "Pod" for owner in owners)
