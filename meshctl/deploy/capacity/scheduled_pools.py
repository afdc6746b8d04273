"""Pools whose capacity reservation begins later or has ended, what waits for them, and until when. PURE.

Called by `session` and `status`. Such a pool is up with no nodes, and so are its workloads: an `up` is done
without them, and says what they wait for. The next `up` after the start brings the nodes. After the end, somebody has
to say where the pool goes on: the rest is up, and the command ends as where there are no machines.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from meshctl.errors import NoCapacityError
from meshctl.model import block_ends
from meshctl.model.deployment import Deployment, Pool, utc_text
from meshctl.model.observed import JobState


def starts(deployment: Deployment) -> dict[str, str]:
    """When the nodes of a pool start, in RFC 3339, by the names of the pools that have none before."""
    return {pool.name: pool.starts for pool in deployment.pools if pool.starts}


def waiting_workloads(deployment: Deployment) -> dict[str, str]:
    """What each workload of such a pool waits for."""
    return {
        workload.name: _reason(deployment.pool(workload.pool))
        for workload in deployment.waiting_for_nodes
        if workload.runs
    }


def _reason(pool: Pool) -> str:
    return f"has no nodes, as {_end(pool)}" if pool.has_ended else waits_for(pool.name, pool.starts)


def _end(pool: Pool) -> str:
    moment = f" ({utc_text(pool.ends)})" if pool.ends else ""
    return f"the capacity block {pool.reservation} of pool {pool.name} has ended{moment}"


def ended(deployment: Deployment) -> NoCapacityError | None:
    """The error with which an `up` is to end although all else is up."""
    pools = [pool for pool in deployment.pools if pool.has_ended]
    if not pools:
        return None
    waiting = [each.name for each in deployment.waiting_for_nodes if each.runs and deployment.pool(each.pool).has_ended]
    what = f"nothing runs of {', '.join(waiting)}" if waiting else "nothing ran on it"
    return NoCapacityError(
        f"up {deployment.environment}: {'; '.join(map(_end, pools))}; all else is up",
        failures=[],
        why=f"its nodes are gone, and {what}",
        hint=f"name another block in environments.{deployment.environment}.capacity.blocks and run"
        f" `meshctl up {deployment.environment}`, or take the pool and its workloads out of mesh.yaml",
        retry_in_s=math.inf,  # no try can find machines
    )


def waits_for(pool: str, moment: str) -> str:
    return f"waits for the nodes of pool {pool}, which start {utc_text(moment)}"


def saved_jobs(deployment: Deployment, jobs: Mapping[str, JobState]) -> dict[str, str]:
    """The jobs that were suspended as the nodes of their block are taken back, by workload: what each of them waits
    for."""
    return {
        workload.name: f"saved, as the capacity block of pool {workload.pool} ends"
        f" {utc_text(deployment.pool(workload.pool).ends)}: `meshctl up {deployment.environment}` starts it again"
        for workload in deployment.workloads
        if block_ends.is_saved(deployment, workload) and workload.name in jobs and jobs[workload.name].suspended
    }
