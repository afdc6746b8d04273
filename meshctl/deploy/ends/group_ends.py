"""Has the groups of a workload end at the same time when an environment is taken down, or has fewer of them. PURE.

Called by `teardown`, and by `session` before an `up`. A roll-out takes one group after the other, and the state then
says that each depends on the one before (`PlatformObject.after`). The engine would follow that order backwards and wait
for each end.
"""

from __future__ import annotations

from typing import Any, Final

from meshctl import render
from meshctl.model.deployment import Deployment
from meshctl.model.stack_state import Resource, StackState

STATEFUL_SET: Final = "kubernetes:apps/v1:StatefulSet"
_LISTS: Final = "dependencies"
_LISTS_BY_INPUT: Final = "propertyDependencies"


def without_set_order(state: StackState) -> StackState:
    """The state in which no StatefulSet depends on another one of its workload; the same value where none does."""
    return _without_order(state, frozenset(each.urn for each in state.of_type(STATEFUL_SET)))


def without_order_of_deleted_sets(state: StackState, deployment: Deployment) -> StackState:
    """As `without_set_order`, of the sets alone that an `up` of the deployment deletes: the others keep their order."""
    sets = state.of_type(STATEFUL_SET)
    if len(sets) < 2:
        return state
    declared = {item.name for item in render.platform_objects(deployment)}
    return _without_order(state, frozenset(each.urn for each in sets if each.name not in declared))


def _without_order(state: StackState, urns: frozenset[str]) -> StackState:
    sets = state.of_type(STATEFUL_SET)
    by_subject: dict[str, set[str]] = {}
    for each in sets:
        by_subject.setdefault(each.subject, set()).add(each.urn)
    ordered = frozenset(
        each.urn for each in sets if each.urn in urns and _dependencies(each) & by_subject[each.subject]
    )
    return state.with_changed(ordered, lambda each: _without(each, by_subject[each.subject])) if ordered else state


def _dependencies(resource: Resource) -> set[str]:
    by_input = resource.record.get(_LISTS_BY_INPUT) or {}
    return {*(resource.record.get(_LISTS) or ()), *(urn for urns in by_input.values() for urn in urns or ())}


def _without(resource: Resource, urns: set[str]) -> Resource:
    fields: dict[str, Any] = {}
    if resource.record.get(_LISTS):
        fields[_LISTS] = [urn for urn in resource.record[_LISTS] if urn not in urns]
    if resource.record.get(_LISTS_BY_INPUT):
        by_input = resource.record[_LISTS_BY_INPUT]
        fields[_LISTS_BY_INPUT] = {
            name: [urn for urn in names or () if urn not in urns] for name, names in by_input.items()
        }
    return resource.with_fields(**fields)
