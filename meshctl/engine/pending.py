"""Turns the pending operations of a killed run into resources that the engine can read. PURE: state in, state out.

Called by `run`, which has the engine read these resources from their APIs before it does anything else. The engine
records only that an operation has begun: a create may have made something that the state lacks, and an update or a
delete may have taken effect.

The record of a pending operation does not survive a rewrite of the state: `pulumi stack import` drops it (3.259.0,
cmd/pulumi/stack/io.go, `SaveSnapshot`). So each one becomes a mark on the resource itself, which stays until an API has
answered, however often the runs in between are killed or refused:

- a pending create becomes a *placeholder*: a resource that may or may not exist;
- a resource that was being updated or deleted is marked as interrupted.

The mark is an init error, which the engine keeps in the state and removes once it has read the resource.
"""

from __future__ import annotations

from collections.abc import Iterator

from meshctl.model.stack_state import Resource, StackState
from meshwire.marks import OTHER_ID, UNANSWERED

CREATE_INTERRUPTED = "an interrupted run had begun to create it; the next `up` or `destroy` finds out whether it exists"
CHANGE_INTERRUPTED = "an interrupted run had begun to change or delete it; the next `up` or `destroy` looks at it"


def is_interrupted(state: StackState) -> bool:
    """Whether an interrupted run left pending operations or marks in this state."""
    return bool(state.pending_operations) or bool(interrupted_urns(state))


def with_interruption_marks(state: StackState) -> StackState:
    """The state in which each pending operation is a mark on its resource."""
    resources = list(state.resources)
    for operation in state.pending_operations:
        if not operation.resource.is_real:
            continue
        if operation.kind == "creating":
            _add_placeholder(resources, operation.resource)
        else:
            _mark_interrupted(resources, operation.resource)
    return state.with_resources(resources).with_operations(())


def interrupted_urns(state: StackState) -> list[str]:
    """The URNs of the resources that have a mark, and of placeholders by versions that set no marks."""
    return sorted({resource.urn for resource in _real(state) if _is_marked(resource) or is_placeholder(resource)})


def placeholders(state: StackState) -> list[str]:
    """The URNs of the resources that may or may not exist."""
    return sorted({resource.urn for resource in _real(state) if is_placeholder(resource)})


def is_placeholder(resource: Resource) -> bool:
    """Whether the resource may or may not exist, by its own fields.

    meshctl 3634e6b made placeholders without a mark. On AWS they are known by their id. In Kubernetes the API server
    gives every object a UID, so outputs without one never came from it (patches of existing objects have one, too).
    """
    if CREATE_INTERRUPTED in resource.init_errors:
        return True
    if resource.is_kubernetes:
        metadata = resource.outputs.get("metadata")
        return isinstance(metadata, dict) and "name" in metadata and not metadata.get("uid")
    return resource.id.startswith(UNANSWERED)


def _real(state: StackState) -> Iterator[Resource]:
    return (resource for resource in state.resources if resource.is_real)


def _is_marked(resource: Resource) -> bool:
    return bool({CREATE_INTERRUPTED, CHANGE_INTERRUPTED} & set(resource.init_errors))


def _mark_interrupted(resources: list[Resource], begun: Resource) -> None:
    for index, resource in enumerate(resources):
        is_read = not resource.is_deleted_for_replacement  # the engine doesn't read resources that it has deleted
        if resource.urn == begun.urn and is_read and not _is_marked(resource):
            resources[index] = resource.with_fields(initErrors=[*resource.init_errors, CHANGE_INTERRUPTED])


def _add_placeholder(resources: list[Resource], begun: Resource) -> None:
    """Put a placeholder where the created resource would be.

    A create within a replacement has the same URN as the resource that it replaces. If that one was deleted first, the
    placeholder takes its place. If it still exists, the placeholder is marked for deletion, and the next `up` starts
    the replacement again.
    """
    placeholder = begun.with_fields(id=_id_of(begun), outputs=begun.inputs, initErrors=[CREATE_INTERRUPTED])
    same = [index for index, resource in enumerate(resources) if resource.urn == begun.urn]
    deleted_first = next((index for index in same if resources[index].is_deleted_for_replacement), None)
    if deleted_first is not None:
        resources[deleted_first] = placeholder
    elif not same:
        resources.append(placeholder)
    elif all(resources[index].id != placeholder.id for index in same):
        existing_ids = [resources[index].id for index in same]
        other_id = placeholder.id if begun.is_kubernetes else OTHER_ID.join([UNANSWERED, *existing_ids])
        resources.append(placeholder.with_fields(id=other_id, delete=True))
    else:
        _mark_interrupted(resources, begun)  # an object of the same name: reading it covers both


def _id_of(begun: Resource) -> str:
    metadata = begun.inputs.get("metadata")
    if not begun.is_kubernetes or not isinstance(metadata, dict):
        return UNANSWERED
    return "/".join(part for part in (metadata.get("namespace"), metadata.get("name")) if part)
