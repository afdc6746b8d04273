"""How much of an environment is deployed, by its Pulumi state: nothing, its buckets, a part, or all of it. PURE.

Called by `session`, for which only a whole environment counts as deployed, and by `operate.status`, which reports the
other states too.
"""

from __future__ import annotations

from meshctl.engine.failures import without_code
from meshctl.engine.pending import is_placeholder
from meshctl.model.observed import DeployState
from meshctl.model.resource_types import BUCKET
from meshctl.model.stack_state import Resource, StackState
from meshctl.words import pluralize


def deploy_state(state: StackState) -> DeployState:
    resources = _resources(state)
    if any(resource.urn.endswith("::platform:namespace") for resource in resources):
        return DeployState.WHOLE
    possible = [*resources, *_interrupted(state)]  # what a killed run had begun to create may exist
    if not possible:
        return DeployState.NOTHING
    only_buckets = all(resource.type == BUCKET for resource in possible)
    return DeployState.STORAGE if only_buckets else DeployState.PART


def stores_with_buckets(state: StackState) -> list[str]:
    """The names of the object stores whose buckets are in the state."""
    buckets = [resource for resource in _resources(state) if resource.type == BUCKET]
    return sorted(bucket.subject.removeprefix("storage/") for bucket in buckets)


def unfinished_text(state: StackState) -> str:
    """Why a partly deployed environment is not whole, for a person: the error of a resource that the last run left
    unfinished, else how many resources exist."""
    resources = _resources(state)
    for resource in resources:
        if resource.init_errors:
            return f"{resource.name}: {' '.join(without_code(resource.init_errors[0]).split())}"
    existing = f"{pluralize(len(resources), 'resource')} {'exists' if len(resources) == 1 else 'exist'}"
    interrupted = len(_interrupted(state))
    if not interrupted:
        return existing
    return f"{existing}, {pluralize(interrupted, 'operation')} {'was' if interrupted == 1 else 'were'} interrupted"


def _resources(state: StackState) -> list[Resource]:
    """The resources that exist: without the stack itself, its providers, and placeholders."""
    return [resource for resource in state.resources if resource.is_real and not is_placeholder(resource)]


def _interrupted(state: StackState) -> list[Resource]:
    """The resources that a killed run was working on."""
    begun = [operation.resource for operation in state.pending_operations]
    placeholders = [resource for resource in state.resources if is_placeholder(resource)]
    return [resource for resource in (*begun, *placeholders) if resource.is_real]
