"""Whether the queues that environments.yaml names can start a job here. PURE.

Called by `meshctl.resolve`. Whether a cluster has Kueue is seen by `meshctl.clients.queues.kueue`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from meshctl.model.deployment import Gap, Workload
from meshctl.model.observed import Facts
from meshctl.model.served_apis import CLUSTER_QUEUE, OLDER_CLUSTER_QUEUE


def gaps(workloads: Iterable[Workload], facts: Facts | None) -> list[Gap]:
    """Jobs that nobody would ever start."""
    if facts is None or facts.has_kueue is not False:
        return []
    hint = "install Kueue in the cluster, or remove `queue` of this workload from environments.yaml"
    return [
        Gap(
            subject=f"workload/{workload.name}",
            wanted=f"the queue {workload.queue} of Kueue",
            best="the cluster has no Kueue",
            hint=hint,
        )
        for workload in workloads
        if workload.queue
    ]


def notes(workloads: Iterable[Workload], served: Collection[str], *, is_made: bool) -> list[str]:
    """`is_made`: meshctl makes the cluster, and installs no Kueue there. `served`: as for `meshctl.resolve.resolve`."""
    if CLUSTER_QUEUE in served or OLDER_CLUSTER_QUEUE in served:
        return []
    return [
        f"workload/{workload.name}: waits until you have installed Kueue, with the queue {workload.queue}, in this"
        " cluster: meshctl makes the cluster without it"
        for workload in workloads
        if workload.queue and is_made
    ]
