"""Whether the mesh's own workloads leave a pool nodes whose accelerators are all free. PURE.

Called by `cli.bench_runs`, where several kinds are measured: a Job would wait for accelerators that nobody gives away.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from meshctl.model.deployment import Deployment
from meshctl.model.observed import PodState

_ENDED = ("Succeeded", "Failed")


def held_by(
    deployment: Deployment, pods: Iterable[PodState], ready: Mapping[str, int], pool: str, needed: int
) -> tuple[str, ...]:
    """The workloads whose pods hold so many nodes of the pool that fewer than `needed` are free; none where those are
    there. `ready`: nodes by pool; no other ones are waited for, which an autoscaler may buy."""
    users = {each.name for each in deployment.workloads if each.pool == pool and each.accelerators}
    holding = [pod for pod in pods if pod.workload in users and pod.node and pod.phase not in _ENDED]
    free = (ready.get(pool, 0) or deployment.pool(pool).nodes) - len({pod.node for pod in holding})
    return tuple(sorted({pod.workload for pod in holding})) if free < needed else ()
