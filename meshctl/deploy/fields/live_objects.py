"""Reads the live objects that a mesh declares, as the API server gives them, and changes who owns their fields. EDGE.

Called by `ownership`. Objects are read in one list for each kind, never one by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from meshctl.deploy.fields.field_owners import Json, Path, without_fields
from meshctl.render import PlatformObject
from meshwire.kubernetes import requests
from meshwire.kubernetes.errors import ApiError
from meshwire.kubernetes.resources import Resource

if TYPE_CHECKING:
    from meshwire.kubernetes.client import Client

MANAGER = "meshctl"  # under which name a field is set that the engine is not to set
_TRIES = 4
_AT_ONCE = 8
_FORBIDDEN, _ABSENT = 403, 404
NOT_READ = ("Secret",)  # their values are known while the engine runs only, and are for nobody else to see


@dataclass(frozen=True, order=True)
class Reference:
    """Names one object. `namespace` is empty for objects of the whole cluster."""

    api_version: str
    kind: str
    namespace: str
    name: str


def reference(item: PlatformObject) -> Reference:
    return reference_of_inputs(item.manifest)


def reference_of_inputs(inputs: Mapping[str, Any]) -> Reference:
    """Of an object that a state has."""
    metadata = inputs["metadata"]
    return Reference(
        str(inputs["apiVersion"]), str(inputs["kind"]), str(metadata.get("namespace") or ""), str(metadata["name"])
    )


def read(
    client: Client, wanted: Iterable[Reference], own_namespace: str, labels: Mapping[str, str]
) -> dict[Reference, Json]:
    """Those of the wanted objects that exist: what is missing in the answer is gone. `labels`: by which the mesh's
    objects are found where others are, too. Raises: ApiError, also where these rights allow no look at an object.
    """
    references = frozenset(ref for ref in wanted if ref.kind not in NOT_READ)
    groups = sorted({(ref.api_version, ref.kind, ref.namespace) for ref in references})
    existing: dict[Reference, Json] = {}

    def listed(group: tuple[str, str, str]) -> dict[Reference, Json]:
        is_mixed = group[2] != own_namespace and group[1] != "Node"  # a node has lost its labels when they are wanted
        try:
            return _listed(client, *group, labels=labels if is_mixed else {})
        except ApiError as error:
            if error.status not in (_FORBIDDEN, _ABSENT):  # absent: the definition of the kind is gone
                raise
            return {}

    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        for objects in pool.map(listed, groups):
            existing.update({ref: item for ref, item in objects.items() if ref in references})
        missing = sorted(
            references - existing.keys()
        )  # by the list: it may have lost its labels, or lists are forbidden
        for ref, item in zip(missing, pool.map(lambda ref: _single(client, ref), missing), strict=True):
            existing.update({ref: item} if item is not None else {})
    return existing


def _single(client: Client, ref: Reference) -> Json | None:
    """One object, or None where the API server says that it isn't there."""
    try:
        return client.get(_resource(ref.api_version, ref.kind), ref.name, namespace=ref.namespace)
    except ApiError as error:
        if error.status == _ABSENT:
            return None
        raise


def autoscalers(client: Client, namespace: str) -> dict[tuple[str, str], str]:
    """The name of the HorizontalPodAutoscaler of somebody else by kind and name of what it scales; none where these
    rights show none. What meshctl's own scale has a range in the mesh, or is about to have a number."""
    scaler_names = {}
    try:
        scalers = _listed(client, "autoscaling/v2", "HorizontalPodAutoscaler", namespace, labels={})
    except ApiError as error:
        if error.status != _FORBIDDEN:
            raise
        return {}
    for ref, item in scalers.items():
        if (item["metadata"].get("labels") or {}).get("app.kubernetes.io/managed-by") == "meshctl":
            continue
        target = (item.get("spec") or {}).get("scaleTargetRef") or {}
        scaler_names[str(target.get("kind")), str(target.get("name"))] = ref.name
    return scaler_names


def delete(client: Client, ref: Reference) -> None:
    """Deletes an object that may be gone already. Raises: ApiError."""
    try:
        client.delete(_resource(ref.api_version, ref.kind), ref.name, namespace=ref.namespace)
    except ApiError as error:
        if error.status != _ABSENT:
            raise


def release(client: Client, ref: Reference, live: Json, paths: Sequence[Path], values: Mapping[Path, Any]) -> None:
    """Have nobody but ourselves own these fields of an object; `values`: fields that get a value at the same time.

    Nothing else of the object changes. Written over no other change: the object is read again when it has changed
    meanwhile, and left alone when it is gone.
    """
    resource = _resource(ref.api_version, ref.kind)
    for is_last in [False] * (_TRIES - 1) + [True]:
        body = _release_patch(live, paths, values)
        if not body:
            return
        try:
            client.patch(resource, ref.name, body, kind=requests.JSON_PATCH, namespace=ref.namespace, manager=MANAGER)
        except ApiError as error:
            if error.status != 409 or is_last:
                raise
        else:
            return
        live = client.get(resource, ref.name, namespace=ref.namespace)


def _release_patch(live: Json, paths: Sequence[Path], values: Mapping[Path, Any]) -> list[Json]:
    entries = without_fields(live, paths)
    metadata = live["metadata"]
    if entries == metadata.get("managedFields") and not values:
        return []
    version = {"op": "replace", "path": "/metadata/resourceVersion", "value": metadata.get("resourceVersion")}
    owners = {"op": "replace", "path": "/metadata/managedFields", "value": entries}
    fields = [{"op": "replace", "path": _pointer(path), "value": value} for path, value in values.items()]
    return [version, owners, *fields]


def _pointer(path: Path) -> str:
    """The JSON pointer of a path of plain fields."""
    return "".join(f"/{key.removeprefix('f:')}" for key in path)


def _listed(
    client: Client, api_version: str, kind: str, namespace: str, *, labels: Mapping[str, str]
) -> dict[Reference, Json]:
    try:
        items = client.list_objects(_resource(api_version, kind), namespace=namespace, labels=labels)
    except ApiError as error:
        if error.status == _ABSENT:  # the cluster has no such kind
            return {}
        raise
    return {Reference(api_version, kind, namespace, str(item["metadata"]["name"])): item for item in items}


def _resource(api_version: str, kind: str) -> Resource[Json]:
    """Of objects as they are, since what is looked at is any of their fields. Without a namespace in the path it is one
    of the whole cluster."""
    return Resource(api_version, plural(kind))


def plural(kind: str) -> str:
    """As the paths of the API server call objects of the kind."""
    name = kind.lower()
    if name.endswith("y"):
        return f"{name[:-1]}ies"
    return f"{name}{'es' if name.endswith('s') else 's'}"
