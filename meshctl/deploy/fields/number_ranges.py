"""The live number of something that others move between two bounds of the mesh: it stays where it is. PURE.

Called by `ownership` for each object that the mesh declares. The number is that of a workload's replicas, or that of
the nodes of a pool that a platform's autoscaler makes larger and smaller. Whoever has set it (our autoscaler, our
scaler, the platform's, a person), a run declares what the live object has, brought between the bounds. Where another
program owns it, a run declares none: the number may change between the look and the apply, which the API server would
refuse then.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from meshctl.deploy.fields.field_owners import is_owned_by_others, is_owned_by_us
from meshctl.deploy.fields.field_rules import REPLICAS
from meshctl.model.stack_state import Resource, StackState
from meshctl.render import PlatformObject
from meshctl.render.controllers import autoscalers


def as_moved(item: PlatformObject, live: Mapping[str, Any]) -> PlatformObject:
    """The declared object with the number that it keeps; as it is where it has no range, and where it starts after a
    pause."""
    bounds, count = item.number_range, live_number(item, live)
    if bounds is None or count is None:
        return item
    spec = {**item.manifest["spec"], bounds.field: min(max(count, bounds.least), bounds.most)}
    return replace(item, manifest={**item.manifest, "spec": spec})


def is_in_range(item: PlatformObject, live: Mapping[str, Any]) -> bool:
    """Whether the live number is one that the mesh leaves alone."""
    bounds, count = item.number_range, live_number(item, live)
    return bounds is not None and count is not None and bounds.least <= count <= bounds.most


def is_set_by_others(item: PlatformObject, live: Mapping[str, Any]) -> bool:
    """Whether another program has set the number, which the mesh allows."""
    if item.number_range is None or not is_in_range(item, live):
        return False
    is_asleep = item.number_range.path == REPLICAS and live_number(item, live) == 0
    return is_asleep or is_owned_by_others(live, item.number_range.path)


def live_number(item: PlatformObject, live: Mapping[str, Any]) -> int | None:
    """The live number, if a run may keep it; else None.

    Zero replicas count as a pause, and are not kept, if the range of the mesh does not reach zero, or if an `up` owns
    the field. A zero that was set through the subresource `scale` has no owner, since the API leaves it out
    (autoscaling/v1, ScaleSpec: `replicas,omitempty`).
    """
    bounds = item.number_range
    count = (live.get("spec") or {}).get(bounds.field) if bounds is not None else None
    if bounds is None or not isinstance(count, int):
        return None
    is_paused = bounds.path == REPLICAS and (bounds.least > 0 or is_owned_by_us(live, REPLICAS))
    return None if count == 0 and is_paused else count


def retired(declared: Collection[PlatformObject], state: StackState) -> tuple[Resource, ...]:
    """What scales workloads now and is no longer declared: it would move the replicas that this run sets, until the
    engine deletes it at the end."""
    names = {item.name for item in declared}
    return tuple(
        each
        for each in state.resources
        if each.is_kubernetes and each.name not in names and each.name.partition(":")[2] in autoscalers.SCALING
    )
