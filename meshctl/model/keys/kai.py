"""KAI Scheduler, which counts what pools lend where environments.yaml says so: its queues and its labels. PURE.

Read by `resolve`, `render`, `deploy` and `clients`. A pool that takes part has a queue with all of its accelerators as
quota. What it lends is a second queue without any quota: whatever jobs have there is above it, and is taken back first.
See docs/adr/0072-kai-scheduler-counts.md. Names: github.com/NVIDIA/KAI-Scheduler, pkg/common/constants and
pkg/podgrouper/podgrouper/plugins/constants; the API is in deployments/kai-scheduler/crds/scheduling.run.ai_queues.yaml.
"""

from __future__ import annotations

from typing import Final

from meshctl.model.deployment import Deployment, Pool, Workload
from meshctl.model.keys import lending

API: Final = "scheduling.run.ai/v2"
SCHEDULER: Final = "kai-scheduler"
QUEUE_LABEL: Final = "kai.scheduler/queue"
# of nodes, queues and pods: which instance of the scheduler looks after them; none: the one of all without this label
NODE_POOL_LABEL: Final = "kai.scheduler/node-pool"
PREEMPTIBILITY_LABEL: Final = "kai.scheduler/preemptibility"
PREEMPTIBLE: Final = "preemptible"
# without it, pods count as such whose PriorityClass is below 100, which ours are not
NON_PREEMPTIBLE: Final = "non-preemptible"
LABELS: Final = (QUEUE_LABEL, NODE_POOL_LABEL, PREEMPTIBILITY_LABEL)
# of a Job: so many of its pods start together. Read by release 0.15 and newer
GANG_ANNOTATION: Final = "kai.scheduler/batch-min-member"
RESOURCE: Final = "nvidia.com/gpu"  # what its quotas of `gpu` count
LONGEST_NAME: Final = 63  # of a queue, which is the value of a label
_LENT: Final = ".lent"


def mesh_queue(mesh: str) -> str:
    """The parent of all queues of a mesh: KAI gives back within a parent first, and only leaves take pods."""
    return mesh


def pool_queue(mesh: str, pool: str) -> str:
    """Of what the pool owns. With a dot, which neither name has, so that no other mesh's pool is called so."""
    return f"{mesh}.{pool}"


def lent_queue(mesh: str, pool: str) -> str:
    """Of what the pool lends, to jobs of whatever pool."""
    return f"{mesh}.{pool}{_LENT}"


def queue_of(mesh: str, workload: Workload) -> str:
    """The queue that its pods are in, where its pool takes part."""
    return lent_queue(mesh, workload.lenders[0]) if workload.lenders else pool_queue(mesh, workload.pool)


def wanted_queue(deployment: Deployment, workload: Workload) -> str:
    """The queue that its pods would be in if they came up now; "" for none."""
    if not (lending.kai_counts(deployment) and workload.accelerators):
        return ""
    takes_part = lending.takes_part(deployment.pool(workload.pool), deployment.workloads)
    return queue_of(deployment.mesh, workload) if takes_part else ""


def pools(deployment: Deployment) -> tuple[Pool, ...]:
    """The pools that have queues: those that take part, and those in whose queues jobs are that go on."""
    if deployment.kai is None:
        return ()
    queues, counts = {each.kai_queue for each in deployment.workloads}, lending.kai_counts(deployment)
    return tuple(
        pool
        for pool in deployment.pools
        if (counts and lending.takes_part(pool, deployment.workloads))
        or queues & {pool_queue(deployment.mesh, pool.name), lent_queue(deployment.mesh, pool.name)}
    )


def removed_lenders(deployment: Deployment) -> tuple[str, ...]:
    """The names of pools that the mesh no longer has, and in whose queues of what they lent jobs are that go on: a pod
    of such a job that starts again needs its queue."""
    names = {pool.name for pool in deployment.pools}
    borrowed_from = {
        each.kai_queue.removeprefix(f"{deployment.mesh}.").removesuffix(_LENT)
        for each in deployment.workloads
        if borrows(each)
    }
    return tuple(sorted(borrowed_from - names))


def lends(deployment: Deployment, pool: Pool) -> bool:
    """Whether the pool has a queue of what it lends."""
    queue = lent_queue(deployment.mesh, pool.name)
    return lent_devices(deployment, pool) > 0 or any(each.kai_queue == queue for each in deployment.workloads)


def lent_devices(deployment: Deployment, pool: Pool) -> int:
    """The accelerators that KAI may lend of the pool: none where Kueue lends them."""
    return lending.lent_devices(pool) if lending.kai_counts(deployment) else 0


def borrows(workload: Workload) -> bool:
    """Whether its pods are in the queue of what a pool lends."""
    return workload.kai_queue.endswith(_LENT)
