"""What KAI Scheduler is told of pools that lend nodes, and of the pods that it places. PURE.

Called by `lending` and `jobs`. Fields are those of scheduling.run.ai/v2 (github.com/NVIDIA/KAI-Scheduler,
deployments/kai-scheduler/crds/scheduling.run.ai_queues.yaml): `quota` is what a queue always gets, `limit` the most
that it may have.
"""

from __future__ import annotations

from typing import Any, Final

from meshctl.model.deployment import Deployment, Pool, Workload
from meshctl.model.keys import gangs, kai, lending
from meshctl.render.objects import PlatformObject
from meshctl.render.pod import pods
from meshctl.render.templates import render

_KIND: Final = {"Queue": (kai.API, "spec")}
_UNLIMITED: Final = -1
_MESH: Final = "platform:kai-queue"
_OWN, _LENT = "kai-queue", "kai-lent-queue"


def logical_name(deployment: Deployment, workload: Workload) -> str:
    """The logical name of the queue that its pods are in; "" for none that is made here."""
    for pool in (*(each.name for each in kai.pools(deployment)), *kai.removed_lenders(deployment)):
        if workload.kai_queue == kai.pool_queue(deployment.mesh, pool):
            return f"pool/{pool}:{_OWN}"
        if workload.kai_queue == kai.lent_queue(deployment.mesh, pool):
            return f"pool/{pool}:{_LENT}"
    return ""


def objects(deployment: Deployment) -> list[PlatformObject]:
    """The queue of the mesh, and under it those of its pools."""
    pools, removed = kai.pools(deployment), kai.removed_lenders(deployment)
    if not (pools or removed):
        return []
    name = kai.mesh_queue(deployment.mesh)
    all_devices = sum(map(lending.devices, pools))
    # without a limit: while all of it is in use, one would forbid a pod for which another one is to end
    all_objects = [_queue(deployment, _MESH, name, quota=all_devices, limit=_UNLIMITED)]
    for pool in pools:
        all_objects += _of_pool(deployment, pool, name)
    return [*all_objects, *(_lent_queue(deployment, pool, 0, name) for pool in removed)]


def _of_pool(deployment: Deployment, pool: Pool, parent: str) -> list[PlatformObject]:
    devices, lent = lending.devices(pool), kai.lent_devices(deployment, pool)
    own_name = kai.pool_queue(deployment.mesh, pool.name)
    own = _queue(deployment, f"pool/{pool.name}:{_OWN}", own_name, quota=devices, limit=devices, parent=parent)
    if not kai.lends(deployment, pool):
        return [own]
    return [own, _lent_queue(deployment, pool.name, lent, parent)]


def _lent_queue(deployment: Deployment, pool: str, limit: int, parent: str) -> PlatformObject:
    name = kai.lent_queue(deployment.mesh, pool)
    return _queue(deployment, f"pool/{pool}:{_LENT}", name, quota=0, limit=limit, parent=parent)


def _queue(
    deployment: Deployment, logical: str, name: str, *, quota: int, limit: int, parent: str = ""
) -> PlatformObject:
    values = {
        "name": name,
        "labels": {**pods.common_labels(deployment), **_node_pool(deployment)},
        "parent": parent,
        "quota": quota,
        "limit": limit,
        "is_lent": quota == 0,
    }
    (manifest,) = render("platform/kai-queue.yaml.j2", tuple(_KIND), values, _KIND)
    return PlatformObject(logical, manifest, depends_on=(_MESH,) if parent else ())


def _node_pool(deployment: Deployment) -> dict[str, str]:
    name = deployment.kai.node_pool if deployment.kai is not None else ""
    return {kai.NODE_POOL_LABEL: name} if name else {}


def pod_values(deployment: Deployment, workload: Workload) -> dict[str, Any]:
    """The values of `pod.yaml.j2` by which KAI Scheduler places the pods; none for pods of the cluster's own one."""
    if not workload.kai_queue:
        return {}
    labels = {
        **pods.pod_labels(deployment, workload),
        kai.QUEUE_LABEL: workload.kai_queue,
        # what is in its own pool keeps its place there, whatever its PriorityClass is
        kai.PREEMPTIBILITY_LABEL: kai.PREEMPTIBLE if kai.borrows(workload) else kai.NON_PREEMPTIBLE,
        **_node_pool(deployment),
    }
    return {"scheduler": kai.SCHEDULER, "pod_labels": labels}


def job_annotations(deployment: Deployment, workload: Workload) -> dict[str, str]:
    """The annotation of the Job of a gang: KAI Scheduler places all of its pods, or none."""
    if not workload.kai_queue or not gangs.is_gang(workload):
        return {}
    return {kai.GANG_ANNOTATION: str(deployment.nodes_of_gang(workload))}
