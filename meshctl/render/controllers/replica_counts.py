"""How many replicas what runs a workload's pods declares, and between which numbers others may move them. PURE.

Called by `platform` and `leader_worker_sets`.
"""

from __future__ import annotations

from meshctl.model.deployment import Workload
from meshctl.model.keys import scaling
from meshctl.render.objects import NumberRange


def bounds_annotation(workload: Workload) -> dict[str, str]:
    """The annotation of what runs the pods, for whoever looks at it: between which numbers load moves its replicas."""
    if not workload.has_range:
        return {}
    least = 0 if workload.sleeps else workload.replicas
    return {scaling.REPLICAS_ANNOTATION: scaling.words(least, workload.own_at_most)}


def replica_range(workload: Workload) -> NumberRange | None:
    """The bounds between which the live number of replicas stays; None where the mesh decides it, or has paused it."""
    if not workload.has_range or workload.paused:
        return None
    return NumberRange("replicas", min(workload.lower_bound, workload.own_at_most), workload.own_at_most)


def declared_replicas(workload: Workload) -> int:
    """How many replicas a new object has, or one that starts after a pause."""
    return 0 if workload.paused else workload.at_least
