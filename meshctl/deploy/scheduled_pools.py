"""Pools whose capacity reservation begins later, what waits for them, and until when. PURE.

Called by `session` and `status`. Such a pool is up with no nodes, and so are its workloads: an `up` is done
without them, and says what they wait for. The next `up` after the start brings the nodes.
"""

from __future__ import annotations

from collections.abc import Mapping

from meshctl.model import block_ends
from meshctl.model.deployment import Deployment, utc_text
from meshctl.model.observed import JobState


def starts(deployment: Deployment) -> dict[str, str]:
    """When the nodes of a pool start, in RFC 3339, by the names of the pools that have none before."""
    return {pool.name: pool.starts for pool in deployment.pools if pool.starts}


def waiting_workloads(deployment: Deployment) -> dict[str, str]:
    """What each workload of such a pool waits for."""
    return {
        workload.name: waits_for(workload.pool, deployment.pool(workload.pool).starts)
        for workload in deployment.waiting_for_start
        if workload.runs
    }


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
