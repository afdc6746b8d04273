"""Looks at the claims that environments.yaml adopts, before anything is made that would mount them. EDGE (clusters).

Called by `project` for the facts that `resolve` is given.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Final

from meshctl.clients.kubernetes.cluster_access import ClusterAccess
from meshctl.clients.kubernetes.quantities import quantity
from meshctl.clients.kubernetes.volumes import requested_size
from meshctl.model.observed import Facts, ObservedClaim
from meshwire.kubernetes import objects
from meshwire.kubernetes.errors import ApiError
from meshwire.kubernetes.resources import CLAIMS, STORAGE_CLASSES

if TYPE_CHECKING:
    from meshwire.kubernetes.client import Client

_GIB: Final = 1024**3
_FORBIDDEN: Final = 403
_NOT_SEEN: Final = (
    "existing claims are not checked: the Kubernetes user may not list the PersistentVolumeClaims of the namespace"
    " {namespace}; grant `list` on `persistentvolumeclaims` in a Role"
)


def added(facts: Facts, cluster: ClusterAccess, namespace: str, names: Collection[str]) -> Facts:
    """The facts with the claims of these names: those in `namespace`, and those elsewhere, where these rights show
    them. A note says where nothing could be seen. Raises: as `cluster_access.translate_errors`."""
    with cluster.connected() as client:
        claims = _list_or_none(client, "")
        if claims is None:
            claims = _list_or_none(client, namespace)
        if claims is None:
            return facts.model_copy(update={"notes": (*facts.notes, _NOT_SEEN.format(namespace=namespace))})
        wanted = [claim for claim in claims if claim.get("metadata", {}).get("name") in names]
        classes = _classes(client) if any(_phase(claim) == "Pending" for claim in wanted) else {}
    observed = sorted((_observed(claim, classes) for claim in wanted), key=lambda each: (each.namespace, each.name))
    return facts.model_copy(update={"claims": tuple(observed), "claims_are_seen": True})


def _list_or_none(client: Client, namespace: str) -> list[objects.Claim] | None:
    """The claims of a namespace, "" for all; None where these rights don't show them."""
    try:
        return list(client.list_objects(CLAIMS, namespace=namespace))
    except ApiError as error:
        if error.status != _FORBIDDEN:
            raise
        return None


def _classes(client: Client) -> dict[str, objects.StorageClass]:
    return {item.get("metadata", {}).get("name", ""): item for item in client.list_objects(STORAGE_CLASSES)}


def _binds_late(claim: objects.Claim, classes: Mapping[str, objects.StorageClass]) -> bool:
    """Whether it gets its volume when the first pod comes. One that names its volume waits for that, and not for a
    pod."""
    spec = claim.get("spec", {})
    storage_class = classes.get(spec.get("storageClassName") or "", {})
    return storage_class.get("volumeBindingMode") == "WaitForFirstConsumer" and not spec.get("volumeName")


def _waits_for(claim: objects.Claim, classes: Mapping[str, objects.StorageClass]) -> str:
    """Of a claim that is unbound, whatever pods come."""
    spec = claim.get("spec", {})
    name = spec.get("storageClassName") or ""
    if spec.get("volumeName"):
        return f"the volume {spec['volumeName']}, which it names"
    if not name:
        return "a volume that somebody makes for it, as it names no storage class"
    if name not in classes:
        return f"its storage class {name}, which does not exist"
    return f"the provisioner {classes[name].get('provisioner', '')} of its storage class {name} to make a volume"


def _phase(claim: objects.Claim) -> str:
    return claim.get("status", {}).get("phase") or "Pending"


def _observed(claim: objects.Claim, classes: Mapping[str, objects.StorageClass]) -> ObservedClaim:
    metadata, spec, status = claim.get("metadata", {}), claim.get("spec", {}), claim.get("status", {})
    size = (status.get("capacity") or {}).get("storage") or requested_size(claim) or "0"
    return ObservedClaim(
        name=metadata.get("name", ""),
        namespace=metadata.get("namespace", ""),
        phase=_phase(claim),
        access_modes=tuple(status.get("accessModes") or spec.get("accessModes") or ()),
        size_gib=quantity(size) / _GIB,
        volume_mode=spec.get("volumeMode") or "Filesystem",
        binds_late=_binds_late(claim, classes),
        waits_for="" if _phase(claim) != "Pending" or _binds_late(claim, classes) else _waits_for(claim, classes),
        is_leaving=bool(metadata.get("deletionTimestamp")),
        is_made_by_meshctl=(metadata.get("labels") or {}).get("app.kubernetes.io/managed-by") == "meshctl",
    )
