"""What of an environment is there, by its state: the pools whose nodes came up, and how many resources of a type. PURE.

Called by `preflight` and `running_zones`. A run that failed has declared its pools, too; one whose nodes never came up
may go elsewhere.
"""

from __future__ import annotations

from collections import Counter

from meshctl.model.questions import InPlace
from meshctl.model.stack_state import Resource, StackState


def in_place(state: StackState) -> InPlace:
    real = [resource for resource in state.resources if resource.is_real]
    by_subject: dict[str, list[Resource]] = {}
    for resource in real:
        by_subject.setdefault(resource.subject, []).append(resource)
    declared = state.deployment.pools if state.deployment else ()
    pools = tuple(pool for pool in declared if _came_up(by_subject.get(f"pool/{pool.name}", [])))
    counts = Counter(resource.type for resource in real)
    if state.deployment is None:
        return InPlace(pools, counts)
    return InPlace(pools, counts, state.deployment.cluster.maker, state.deployment.cluster.admins)


def _came_up(resources: list[Resource]) -> bool:
    failed = [each for each in resources if each.init_errors or each.outputs.get("status") == "CREATE_FAILED"]
    return bool(resources) and not failed and any("status" in each.outputs for each in resources)
