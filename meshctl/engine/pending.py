"""What a killed run was in the middle of, as resources that the engine can look for: state in, state out. PURE.

Called by `run`, which has the engine read these resources from their APIs before anything else is done. The engine
records only that an operation was begun: a create may have made something that the state lacks, an update or a delete
may have taken effect.

The record of a begun operation does not survive a rewrite of the state: `pulumi stack import` drops it (3.259.0,
cmd/pulumi/stack/io.go, `SaveSnapshot`). So each one is turned into a mark that stands in the resource itself and stays
until an API has answered, however often the runs in between are killed or refused:

- a begun create becomes a *placeholder*: a resource that may or may not exist;
- a resource that was being updated or deleted is marked as interrupted.

The mark is an init error, which the engine keeps, and takes away when it has read the resource.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

# The id of a placeholder on AWS, which `meshaws` looks for by the tags or the name that a create gives
# (`providers.base.crud`). Where the create was one half of a replacement, the id of the other half follows, so that it
# isn't taken for what is looked for. Kubernetes objects are found by their name.
UNANSWERED = "unanswered"
NOT = "!"

CREATE_INTERRUPTED = "an interrupted run had begun to create it; the next `up` or `destroy` finds out whether it exists"
CHANGE_INTERRUPTED = "an interrupted run had begun to change or delete it; the next `up` or `destroy` looks at it"

Resource = Mapping[str, Any]
State = Mapping[str, Any]


def is_unsettled(state: State) -> bool:
    """Whether an interrupted run left something in this state that has to be looked for."""
    return bool(state.get("pending_operations")) or bool(unsettled(state))


def marked(state: State) -> dict[str, Any]:
    """The same state with each begun operation as a mark on its resource, and none left as an operation."""
    resources = [dict(resource) for resource in state.get("resources") or ()]
    for operation in state.get("pending_operations") or ():
        begun = operation["resource"]
        if not _is_real(begun):
            continue
        if operation["type"] == "creating":
            _add_placeholder(resources, begun)
        else:
            _mark_interrupted(resources, begun)
    return {**state, "resources": resources, "pending_operations": []}


def unsettled(state: State) -> list[str]:
    """The URNs of the resources that carry a mark, or are a placeholder of a version that made none."""
    return sorted({resource["urn"] for resource in _real(state) if _is_marked(resource) or is_placeholder(resource)})


def placeholders(state: State) -> list[str]:
    """The URNs of the resources that may or may not exist."""
    return sorted({resource["urn"] for resource in _real(state) if is_placeholder(resource)})


def is_placeholder(resource: Resource) -> bool:
    """Whether nobody knows if the resource exists, by what it holds itself.

    meshctl 3634e6b made placeholders without a mark. On AWS their id tells. In Kubernetes the API server gives every
    object a UID, so outputs without one were never answered by it (patches of objects that others made have one, too).
    """
    if CREATE_INTERRUPTED in (resource.get("initErrors") or ()):
        return True
    if is_kubernetes(resource):
        metadata = (resource.get("outputs") or {}).get("metadata")
        return isinstance(metadata, dict) and "name" in metadata and not metadata.get("uid")
    return str(resource.get("id", "")).startswith(UNANSWERED)


def is_kubernetes(resource: Resource) -> bool:
    return str(resource["type"]).startswith("kubernetes:")


def _real(state: State) -> Iterator[Resource]:
    return (resource for resource in state.get("resources") or () if _is_real(resource))


def _is_real(resource: Resource) -> bool:
    """Whether an API can tell of it: not the engine's own components and providers."""
    return bool(resource.get("custom")) and not str(resource["type"]).startswith("pulumi:")


def _is_marked(resource: Resource) -> bool:
    return bool({CREATE_INTERRUPTED, CHANGE_INTERRUPTED} & set(resource.get("initErrors") or ()))


def _mark_interrupted(resources: list[dict[str, Any]], begun: Resource) -> None:
    for resource in resources:
        looked_at = not resource.get("pendingReplacement")  # the engine reads none that it has deleted already
        if resource["urn"] == begun["urn"] and looked_at and not _is_marked(resource):
            resource["initErrors"] = [*(resource.get("initErrors") or ()), CHANGE_INTERRUPTED]


def _add_placeholder(resources: list[dict[str, Any]], begun: Resource) -> None:
    """Put a placeholder where the created resource would stand.

    A create within a replacement has the same URN as what it replaces. If that was deleted first, the placeholder takes
    its place. If it still lives, the placeholder is the one to be deleted: the next `up` replaces anew.
    """
    placeholder = {
        **begun,
        "id": _id_of(begun),
        "outputs": begun.get("inputs") or {},
        "initErrors": [CREATE_INTERRUPTED],
    }
    same = [index for index, resource in enumerate(resources) if resource["urn"] == begun["urn"]]
    deleted_first = next((index for index in same if resources[index].get("pendingReplacement")), None)
    if deleted_first is not None:
        resources[deleted_first] = placeholder
    elif not same:
        resources.append(placeholder)
    elif all(resources[index].get("id") != placeholder["id"] for index in same):
        lives = [str(resources[index].get("id", "")) for index in same]
        other_id = placeholder["id"] if is_kubernetes(begun) else NOT.join([UNANSWERED, *lives])
        resources.append({**placeholder, "id": other_id, "delete": True})
    else:
        _mark_interrupted(resources, begun)  # an object of the same name: to look at it tells of both


def _id_of(begun: Resource) -> str:
    metadata = (begun.get("inputs") or {}).get("metadata")
    if not is_kubernetes(begun) or not isinstance(metadata, dict):
        return UNANSWERED
    return "/".join(part for part in (metadata.get("namespace"), metadata.get("name")) if part)
