"""Resizes the volumes of stateful sets, which the engine can't resize, and checks all new sizes. EDGE (clusters).

Called by `runs`: `check` before anything runs, `grow` right before the engine runs. The engine resizes the claims
that a mesh declares. A stateful set creates its own claims, one for each pod, and its claim template is immutable
(ADR 0017).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from meshctl import render
from meshctl.clients.kubernetes import clusters
from meshctl.clients.kubernetes.volumes import requested_size
from meshctl.engine import failures
from meshctl.errors import MeshError, UsageError
from meshctl.model.deployment import Deployment
from meshctl.model.pods import object_names
from meshctl.model.stack_state import StackState
from meshctl.platforms import registry
from meshctl.platforms.interface import GrowOnly
from meshwire.kubernetes import requests
from meshwire.kubernetes.errors import ApiError
from meshwire.kubernetes.resources import CLAIMS

if TYPE_CHECKING:
    from meshwire.kubernetes.client import Client

_SIZED = ("kubernetes:core/v1:PersistentVolumeClaim", "kubernetes:apps/v1:StatefulSet")


@dataclass(frozen=True, order=True)
class _Claims:
    """One claim, or all claims of a stateful set's pods. `name` is a regular expression."""

    subject: str
    name: str
    storage_class: str


def check(deployment: Deployment, state: StackState, left: frozenset[str] = frozenset()) -> None:
    """Check with a dry run that all new sizes are possible. `left`: logical names of claims that another program has
    grown, and that stay as they are.

    Raises: UsageError for a file system, MeshError for a volume, and as `clusters` does.
    """
    _refuse_smaller_file_systems(deployment, state)
    _resize(deployment, state, _changed(deployment, state, left), dry_run=True)


def grow(deployment: Deployment, state: StackState) -> None:
    """Set the new sizes of the claims of stateful sets. Raises: as `check`."""
    of_stateful_sets = {
        claims: size
        for claims, size in _changed(deployment, state, frozenset()).items()
        if claims.name.endswith(object_names.POD_NUMBER)
    }
    _resize(deployment, state, of_stateful_sets, dry_run=False)


def _refuse_smaller_file_systems(deployment: Deployment, state: StackState) -> None:
    for kind in registry.platform(deployment.provider).storage.grow_only:
        _refuse_smaller(kind, deployment, state)


def _refuse_smaller(kind: GrowOnly, deployment: Deployment, state: StackState) -> None:
    wanted = {f"storage/{f.name}:{kind.detail}": f for f in deployment.file_systems if f.service == kind.service}
    for resource in state.of_type(kind.resource_type):
        system = wanted.get(resource.name)
        size_gib = int(resource.inputs.get(kind.size_input) or 0)
        if system is not None and system.size_gib < size_gib:
            raise UsageError(
                f"storage/{system.name} has {size_gib} GiB and can't shrink to {system.size_gib} GiB",
                why=f"{kind.product} file systems can grow but not shrink; nothing was changed",
                hint=failures.HINTS["VolumeShrink"],
            )


def _changed(deployment: Deployment, state: StackState, left: frozenset[str]) -> dict[_Claims, str]:
    """The claims whose size changes, with the new sizes. A claim with another storage class counts as another claim."""
    before = _sizes((resource.subject, resource.inputs) for resource in state.of_type(*_SIZED))
    if not before:
        return {}
    # objects that ignore changes keep the size that they were created with
    declared = render.platform_objects(deployment)
    objects = [item for item in declared if not item.ignore_changes and item.name not in left]
    after = _sizes((item.subject, item.manifest) for item in objects)
    return {claims: size for claims, size in after.items() if before.get(claims, size) != size}


def _sizes(objects: Iterable[tuple[str, Mapping[str, Any]]]) -> dict[_Claims, str]:
    """The sizes by claim. `objects`: subjects with their declared objects."""
    sizes: dict[_Claims, str] = {}
    for subject, item in objects:
        name = str(item["metadata"]["name"])
        if item["kind"] == "PersistentVolumeClaim":
            sizes |= _sized(subject, re.escape(name), item["spec"])
        for claim in item["spec"].get("volumeClaimTemplates") or () if item["kind"] == "StatefulSet" else ():
            block = str(claim["metadata"]["name"])
            sizes |= _sized(f"storage/{block}", object_names.pod_claims(name, block), claim["spec"])
    return sizes


def _sized(subject: str, name: str, spec: Mapping[str, Any]) -> dict[_Claims, str]:
    return {_Claims(subject, name, str(spec.get("storageClassName"))): str(spec["resources"]["requests"]["storage"])}


def _resize(deployment: Deployment, state: StackState, sizes: Mapping[_Claims, str], *, dry_run: bool) -> None:
    if not sizes:
        return
    namespace = deployment.namespace
    with clusters.access(deployment, state.outputs).connected() as client:
        live_claims = client.list_objects(CLAIMS, namespace=namespace)
        for claims, size in sorted(sizes.items()):
            for claim in live_claims:
                name = claim.get("metadata", {}).get("name", "")
                if re.fullmatch(claims.name, name) and requested_size(claim) != size:
                    _patch(client, namespace, name, claims.subject, size, dry_run=dry_run)


def _patch(client: Client, namespace: str, name: str, subject: str, size: str, *, dry_run: bool) -> None:
    body = {"spec": {"resources": {"requests": {"storage": size}}}}
    try:
        client.patch(CLAIMS, name, body, kind=requests.STRATEGIC_PATCH, namespace=namespace, dry_run=dry_run)
    except ApiError as error:
        failure = failures.failure_of("", str(error))
        if not failure.hint:
            raise
        raise MeshError(
            f"{subject}: the volume of the claim {name} can't be resized to {size}",
            why=failure.message,
            hint=failure.hint,
        ) from error
