"""Creates and updates of one object: server-side apply, ownership of fields, dry runs. Called by `provider`. EDGE.

As the official plugin does it: a new object is created by POST (never taking over somebody else's), later changes are
applied under the resource's own field manager, which first takes over what the POST set.
"""

from __future__ import annotations

import copy
import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from meshwire.kubernetes import requests
from meshwire.marks import FIELD_MANAGER
from providers.kubernetes import objects
from providers.kubernetes.api import Api, NoMatchError
from providers.kubernetes.connection import ApiError
from providers.kubernetes.objects import Gvk, Json
from providers.plugin.provider import ProviderError

MISSING_S: Final = 15.0  # how long a create waits for its namespace or its CustomResourceDefinition
CONFLICT_TRIES: Final = 4
NO_DRY_RUN: Final = "does not support dry run"
_OF_FLAVORS: Final = ("nodeSelector", "tolerations")


def missing_namespace(error: Exception) -> bool:
    return isinstance(error, ApiError) and error.status == 404 and error.details.get("kind") == "namespaces"


def create(
    api: Api,
    gvk: Gvk,
    obj: Json,
    *,
    manager: str,
    patch: bool,
    server_side: bool,
    cancelled: threading.Event,
    until_predecessor_gone: Callable[[], None],
) -> Json:
    """The new object, as the server answered.

    What it lives in may still be on its way, so "not found" is tried again. `until_predecessor_gone` waits for the end
    of an object of the same name that is being deleted, and raises when that does not come.
    """
    deadline = time.monotonic() + MISSING_S
    pause_s = 0.1
    while True:
        try:
            if patch:
                return _apply(api, gvk, obj, manager=manager, dry_run=False)
            return _post(api, gvk, obj, manager=manager, server_side=server_side)
        except (NoMatchError, ApiError) as error:
            if cancelled.is_set():
                raise
            if _is_being_deleted(error):
                until_predecessor_gone()
                deadline = time.monotonic() + MISSING_S
            elif not _is_missing(error) or time.monotonic() >= deadline:
                raise
            api.forget(gvk)
        cancelled.wait(pause_s)
        pause_s = min(pause_s * 2, 1.0)


def _is_missing(error: NoMatchError | ApiError) -> bool:
    """Whether its namespace or definition is missing, which may be about to be created."""
    return isinstance(error, NoMatchError) or error.status == 404


def _is_being_deleted(error: NoMatchError | ApiError) -> bool:
    """Whether an object of that name is being deleted."""
    being_deleted = "object is being deleted"
    return isinstance(error, ApiError) and error.reason == "AlreadyExists" and error.message.startswith(being_deleted)


def _post(api: Api, gvk: Gvk, obj: Json, *, manager: str, server_side: bool) -> Json:
    try:
        return api.create(gvk, obj, manager=manager if server_side else FIELD_MANAGER)
    except ApiError as error:
        shared = not server_side or bool(objects.annotation(obj, objects.PATCH_FIELD_MANAGER))
        if error.reason != "AlreadyExists" or shared:
            raise
        live = api.get(gvk, objects.namespace_of(obj), objects.name_of(obj))
        if not _made_by(live, manager):
            raise
    # An interrupted run made it and could not write it down.
    return apply(api, gvk, obj, live, manager=manager)


def _made_by(live: Json, manager: str) -> bool:
    entries = objects.metadata(live).get("managedFields") or []
    return any(entry.get("manager") == manager for entry in entries) and not objects.metadata(live).get(
        "deletionTimestamp"
    )


def made_by_pulumi(live: Json) -> bool:
    """Whether a kubernetes plugin of Pulumi has set any field of it. The official one draws the rest of its name."""
    entries = objects.metadata(live).get("managedFields") or []
    return any(str(entry.get("manager", "")).startswith(FIELD_MANAGER) for entry in entries)


def preview_create(api: Api, gvk: Gvk, obj: Json, *, manager: str) -> Json | None:
    """What the server would make of `obj`; None where only an apply can tell (as the official plugin has it)."""
    try:
        return api.create(gvk, obj, manager=manager, dry_run=True)
    except NoMatchError:
        return None
    except ApiError as error:
        is_expected = error.status == 403 or error.reason == "AlreadyExists" or missing_namespace(error)
        if is_expected or NO_DRY_RUN in error.message:
            return None
        raise


def apply(api: Api, gvk: Gvk, obj: Json, live: Json, *, manager: str) -> Json:
    """`obj` applied over `live`. A conflict with another manager's field is an error that names it."""
    if objects.is_crd(obj):
        return _replace_definition(api, gvk, obj, dry_run=False)
    _take_over(api, gvk, live, manager=manager)
    return _apply(api, gvk, obj, manager=manager, dry_run=False)


def with_live_flavor(declared: Json, live: Json) -> Json:
    """An update of a Job with the node labels and tolerations that the live one has: those of a job that has started
    can't change, and Kueue adds some, of the flavor with which it starts a job. A change of those that are declared
    makes the Job anew, and is no update."""
    if declared.get("kind") != "Job":  # others may have no pods in what they call a template
        return declared
    pod, live_pod = ((each.get("spec") or {}).get("template", {}).get("spec") or {} for each in (declared, live))
    values = {key: live_pod[key] for key in _OF_FLAVORS if pod.get(key) and live_pod.get(key)}
    if not values:
        return declared
    changed = copy.deepcopy(declared)
    changed["spec"]["template"]["spec"] |= values
    return changed


def preview_apply(api: Api, gvk: Gvk, old: Json, obj: Json, live: Json, *, manager: str) -> Json:
    """What `apply` would make of `live`. `old`: the inputs that it was last applied with.

    A dry run can't take fields over first, so it keeps what `obj` left out: the old entry of a list stands beside the
    new one, which the server refuses where names must differ (the ports of a Service). What changed between the inputs
    says the same without ownership, and what is wrong with the new inputs is refused again.
    """
    if objects.is_crd(obj):
        return _replace_definition(api, gvk, obj, dry_run=True)
    try:
        return _apply(api, gvk, obj, manager=manager, dry_run=True)
    except ApiError as error:
        entries = objects.metadata(live).get("managedFields") or []
        if error.reason != "Invalid" or taken_over(entries, manager) == entries:
            raise
    return merge(api, gvk, old, obj, dry_run=True)


def _apply(api: Api, gvk: Gvk, obj: Json, *, manager: str, dry_run: bool) -> Json:
    force = objects.is_true(obj, objects.PATCH_FORCE) or os.environ.get(objects.ENABLE_PATCH_FORCE) == "true"
    try:
        return api.apply(gvk, obj, manager=manager, force=force, dry_run=dry_run)
    except ApiError as error:
        if error.status != 409 or not error.causes:
            raise
        if dry_run and _only_ours(error):
            return api.apply(gvk, obj, manager=manager, force=True, dry_run=True)
        raise ProviderError("FieldConflict", f"{error.message}: another program has set these fields") from error


def _only_ours(conflict: ApiError) -> bool:
    """An apply takes its own creator's fields over first; a dry run can't, and conflicts with them."""
    messages = [str(cause.get("message", "")) for cause in conflict.causes]
    # The API server adds "using VERSION" for managers that updated; those that applied are other resources of Pulumi.
    return all(text.startswith(f'conflict with "{FIELD_MANAGER}') and " using " in text for text in messages)


def _replace_definition(api: Api, gvk: Gvk, obj: Json, *, dry_run: bool) -> Json:
    """Definitions are replaced as a whole: versions removed from the program must go."""
    for last in [False] * (CONFLICT_TRIES - 1) + [True]:
        live = api.get(gvk, "", objects.name_of(obj))
        body = copy.deepcopy(obj)
        body["metadata"]["resourceVersion"] = objects.metadata(live).get("resourceVersion")
        try:
            return api.replace(gvk, body, dry_run=dry_run)
        except ApiError as error:
            if error.status != 409 or last:
                raise
    raise AssertionError("the last try returns or raises")


def _take_over(api: Api, gvk: Gvk, live: Json, *, manager: str) -> None:
    """Moves what our POST (or a client-side update of ours) owns to `manager`, so that fields left out are removed."""
    for last in [False] * (CONFLICT_TRIES - 1) + [True]:
        entries = objects.metadata(live).get("managedFields") or []
        moved = taken_over(entries, manager)
        if moved == entries:
            return
        body = [
            {"op": "replace", "path": "/metadata/managedFields", "value": moved},
            {
                "op": "replace",
                "path": "/metadata/resourceVersion",
                "value": objects.metadata(live).get("resourceVersion"),
            },
        ]
        namespace, name = objects.namespace_of(live), objects.name_of(live)
        try:
            api.patch(gvk, namespace, name, body, kind=requests.JSON_PATCH, manager=manager)
        except ApiError as error:
            if error.status != 409 or last:
                raise
            live = api.get(gvk, namespace, name)
        else:
            return


def taken_over(entries: list[Json], manager: str) -> list[Json]:
    """`managedFields` with our update entries merged into the apply entry of `manager`."""
    ours = [entry for entry in entries if _is_ours(entry, manager)]
    if not ours:
        return entries
    remaining = [entry for entry in entries if not _is_ours(entry, manager)]
    own = next(
        (entry for entry in remaining if entry.get("manager") == manager and entry.get("operation") == "Apply"), None
    )
    fields: Json = {}
    for entry in [*ours, *([own] if own else [])]:
        fields = _union(fields, entry.get("fieldsV1") or {})
    merged = {**(own or ours[0]), "manager": manager, "operation": "Apply", "fieldsV1": fields}
    return [merged, *(entry for entry in remaining if entry is not own)]


def _is_ours(entry: Mapping[str, Any], manager: str) -> bool:
    name = str(entry.get("manager", ""))
    return (
        (name == manager or name.startswith(FIELD_MANAGER))
        and entry.get("operation") == "Update"
        and not entry.get("subresource")
    )


def _union(one: Json, other: Json) -> Json:
    both = {**one, **other}
    return {key: _union(one.get(key) or {}, other.get(key) or {}) for key in both}


def merge(api: Api, gvk: Gvk, old: Json, new: Json, *, dry_run: bool) -> Json:
    """Without server-side apply: a JSON merge patch of what changed between the inputs."""
    body = merge_patch(old, new)
    namespace, name = objects.namespace_of(new), objects.name_of(new)
    return api.patch(gvk, namespace, name, body, kind=requests.MERGE_PATCH, manager=FIELD_MANAGER, dry_run=dry_run)


def merge_patch(old: Json, new: Json) -> Json:
    """RFC 7396: the patch that turns `old` into `new`."""
    patch: Json = {key: None for key in old if key not in new}
    for key, value in new.items():
        before = old.get(key)
        if isinstance(before, dict) and isinstance(value, dict):
            inner = merge_patch(before, value)
            if inner:
                patch[key] = inner
        elif key not in old or before != value:
            patch[key] = value
    return patch


def release(api: Api, gvk: Gvk, namespace: str, name: str, *, manager: str) -> None:
    """Gives up all fields of a Patch resource: the object stays, what only we set goes."""
    meta = {"name": name, **({"namespace": namespace} if namespace else {})}
    body = {"apiVersion": gvk.api_version, "kind": gvk.kind, "metadata": meta}
    api.get(gvk, namespace, name)  # an apply would create what isn't there
    api.apply(gvk, body, manager=manager)
