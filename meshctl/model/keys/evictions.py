"""What keeps a pod on its node when somebody makes its pool smaller. PURE.

Decided by `meshctl.resolve.work.evictions`; read by `render`, and by who leaves what is up as it is. Autoscalers of
nodes move pods of nodes that are little used, the pods of jobs among them, whose work is then cut off.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from meshctl.model.deployment import Pool, Workload

SAFE: Final = "cluster-autoscaler.kubernetes.io/safe-to-evict"
# of pods that may not be moved. Sources: cluster-autoscaler/FAQ.md "What types of pods can prevent CA from removing a
# node?"; karpenter.sh/docs/concepts/disruption "Pod-Level Controls"
STAYING: Final = {SAFE: "false", "karpenter.sh/do-not-disrupt": "true"}
LITTLE_USED: Final = 0.5  # of its accelerators, or its CPU and memory: nodes below are made empty (the same page)


def stays_on_node(workload: Workload, pools: Iterable[Pool]) -> bool:
    """Whether its pods are to say so: those of a job, in pools whose number of nodes may change."""
    places = {workload.pool, *workload.lenders}
    return workload.is_job and any(may_shrink(pool) for pool in pools if pool.name in places)


def may_shrink(pool: Pool) -> bool:
    return pool.nodes_max > pool.nodes_min


def say_that_they_stay(spec: Mapping[str, Any], own: Collection[str]) -> bool:
    """Whether the pods of a rendered Job have the annotations. `spec`: the Job's; `own`: those of the user, which say
    nothing of it."""
    annotations = spec["template"]["metadata"].get("annotations") or {}
    return all(annotations.get(key) == value for key, value in STAYING.items() if key not in own)
