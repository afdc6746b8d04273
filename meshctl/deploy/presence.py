"""How much of an environment its state has. PURE.

Called by `session`, which takes only a whole one for deployed, and by `operate.status`, which tells of the others.
"""

from __future__ import annotations

from meshctl.engine.failures import without_code
from meshctl.engine.pending import is_placeholder
from meshctl.model.observed import Presence
from meshctl.model.resource_types import BUCKET
from meshctl.model.stack_state import Resource, StackState
from meshctl.words import counted


def presence(state: StackState) -> Presence:
    resources = _resources(state)
    if any(resource.urn.endswith("::platform:namespace") for resource in resources):
        return Presence.WHOLE
    there = [*resources, *_cut_off(state)]  # what a killed run had begun to make may exist
    if not there:
        return Presence.NOTHING
    only_buckets = all(resource.type == BUCKET for resource in there)
    return Presence.STORAGE if only_buckets else Presence.PART


def stores(state: StackState) -> list[str]:
    """The names of the stores whose buckets it has."""
    buckets = [resource for resource in _resources(state) if resource.type == BUCKET]
    return sorted(bucket.subject.removeprefix("storage/") for bucket in buckets)


def unfinished(state: StackState) -> str:
    """What is there of a part, and what the last run said of a resource that it left unfinished; for a person."""
    resources = _resources(state)
    for resource in resources:
        if resource.init_errors:
            return f"{resource.name}: {' '.join(without_code(resource.init_errors[0]).split())}"
    told = f"{len(resources)} resource{'s are' if len(resources) != 1 else ' is'} there"
    begun = len(_cut_off(state))
    return f"{told}, {counted(begun, 'operation')} had begun when it was cut off" if begun else told


def _resources(state: StackState) -> list[Resource]:
    """Those that stand for something: not the stack, its providers, and what may not exist."""
    return [resource for resource in state.resources if resource.is_real and not is_placeholder(resource)]


def _cut_off(state: StackState) -> list[Resource]:
    """What a killed run was working on."""
    begun = [operation.resource for operation in state.pending_operations]
    placeholders = [resource for resource in state.resources if is_placeholder(resource)]
    return [resource for resource in (*begun, *placeholders) if resource.is_real]
