"""The live number of replicas of a workload whose replicas follow load: it stays where it is within its range. PURE.

Called by `ownership` for each object that the mesh declares. Whoever has set the number (our autoscaler, our scaler, a
person), a run declares what the live object has, brought between the bounds of the mesh. Where another program owns
it, a run declares none: the number may change between the look and the apply, which the API server would refuse then.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, Final

from meshctl.deploy.fields.field_owners import is_owned_by_others, is_owned_by_us
from meshctl.deploy.fields.field_rules import REPLICAS
from meshctl.model.stack_state import Resource, StackState
from meshctl.render import PlatformObject
from meshctl.render.controllers import autoscalers

REPLICAS_PATH: Final = "spec.replicas"


def as_scaled(item: PlatformObject, live: Mapping[str, Any]) -> PlatformObject:
    """The declared object with the replicas that it keeps; as it is where it has no range, and where it starts after a
    pause."""
    count = live_replicas(item, live)
    if item.replica_range is None or count is None:
        return item
    least, most = item.replica_range
    spec = {**item.manifest["spec"], "replicas": min(max(count, least), most)}
    return replace(item, manifest={**item.manifest, "spec": spec})


def is_in_range(item: PlatformObject, live: Mapping[str, Any]) -> bool:
    """Whether the live number is one that the mesh leaves alone."""
    count = live_replicas(item, live)
    if item.replica_range is None or count is None:
        return False
    return item.replica_range[0] <= count <= item.replica_range[1]


def is_set_by_others(item: PlatformObject, live: Mapping[str, Any]) -> bool:
    """Whether another program has set the number, which the mesh allows."""
    return is_in_range(item, live) and (live_replicas(item, live) == 0 or is_owned_by_others(live, REPLICAS))


def live_replicas(item: PlatformObject, live: Mapping[str, Any]) -> int | None:
    """The replicas that the live object has and that a run may keep; None where there is no such number. None are kept
    only where they were brought to zero by what moves them, and not by a pause: nobody owns a zero that was set by the
    subresource `scale`, whose zero is left out (autoscaling/v1, ScaleSpec: `replicas,omitempty`)."""
    count = (live.get("spec") or {}).get("replicas")
    if item.replica_range is None or not isinstance(count, int):
        return None
    is_asleep = item.replica_range[0] == 0 and not is_owned_by_us(live, REPLICAS)
    return count if count or is_asleep else None


def retired(declared: Collection[PlatformObject], state: StackState) -> tuple[Resource, ...]:
    """What scales workloads now and is no longer declared: it would move the replicas that this run sets, until the
    engine deletes it at the end."""
    names = {item.name for item in declared}
    return tuple(
        each
        for each in state.resources
        if each.is_kubernetes and each.name not in names and each.name.partition(":")[2] in autoscalers.SCALING
    )
