"""How much of an environment its state has. PURE.

Called by `session`, which takes only a whole one for deployed, and by `operate.status`, which tells of the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from meshctl.changes.steps import resource_name, subject_of
from meshctl.engine.failures import without_code
from meshctl.engine.pending import is_placeholder
from meshctl.model.resource_types import BUCKET
from meshctl.words import counted


class Presence(Enum):
    NOTHING = "nothing"
    STORAGE = "storage"  # only the buckets: before a migration brings up the rest, and where a retired one kept data
    PART = "part"  # an `up` or a `destroy` did not finish
    WHOLE = "whole"  # has the namespace that all workloads live in


def presence(state: Mapping[str, Any]) -> Presence:
    resources = _resources(state)
    if any(resource["urn"].endswith("::platform:namespace") for resource in resources):
        return Presence.WHOLE
    there = [*resources, *_cut_off(state)]  # what a killed run had begun to make may exist
    if not there:
        return Presence.NOTHING
    only_buckets = all(resource["type"] == BUCKET for resource in there)
    return Presence.STORAGE if only_buckets else Presence.PART


def stores(state: Mapping[str, Any]) -> list[str]:
    """The names of the stores whose buckets it has."""
    buckets = [resource for resource in _resources(state) if resource["type"] == BUCKET]
    return sorted(subject_of(bucket["urn"]).removeprefix("storage/") for bucket in buckets)


def unfinished(state: Mapping[str, Any]) -> str:
    """What is there of a part, and what the last run said of a resource that it left unfinished; for a person."""
    resources = _resources(state)
    for resource in resources:
        said = resource.get("initErrors") or ()
        if said:
            return f"{resource_name(resource['urn'])}: {' '.join(without_code(str(said[0])).split())}"
    told = f"{len(resources)} resource{'s are' if len(resources) != 1 else ' is'} there"
    begun = len(_cut_off(state))
    return f"{told}, {counted(begun, 'operation')} had begun when it was cut off" if begun else told


def _resources(state: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Those that stand for something: not the stack, its providers, and what may not exist."""
    resources = state.get("resources") or ()
    return [resource for resource in resources if _is_real(resource) and not is_placeholder(resource)]


def _cut_off(state: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What a killed run was working on."""
    begun = [operation["resource"] for operation in state.get("pending_operations") or ()]
    placeholders = [resource for resource in state.get("resources") or () if _is_real(resource)]
    return [r for r in begun if _is_real(r)] + [r for r in placeholders if is_placeholder(r)]


def _is_real(resource: Mapping[str, Any]) -> bool:
    return bool(resource.get("custom")) and not str(resource["type"]).startswith("pulumi:")
