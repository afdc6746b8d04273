"""Whether `metrics` of workloads lead to PodMonitors, beside the annotations that their pods have everywhere. PURE.

Called by `meshctl.resolve`. A PodMonitor is an object of its own: one that comes or goes changes no pod.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from meshctl.model.deployment import Workload
from meshctl.model.observed import Facts
from meshctl.model.served_apis import POD_MONITOR


def with_monitors(
    workloads: Iterable[Workload], facts: Facts | None, served: Collection[str] = ()
) -> tuple[Workload, ...]:
    """The workloads, with `metrics.pod_monitor` set where the cluster serves the PodMonitor API. `served`: the APIs of
    a cluster in which nodes are made."""
    if POD_MONITOR not in served and (facts is None or not facts.serves(POD_MONITOR)):
        return tuple(workloads)
    return tuple(
        each.model_copy(update={"metrics": each.metrics.model_copy(update={"pod_monitor": True})})
        if each.metrics is not None
        else each
        for each in workloads
    )
