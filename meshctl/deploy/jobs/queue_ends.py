"""Queues of pools that lend and borrow no more stay until the jobs in them have ended. PURE.

Called by `unchanged_jobs` with what the cluster says of its jobs, and by `environment_program` for what is declared. A
job that has started keeps the queue that it was made for (`held_jobs`). Kueue holds a ClusterQueue with such jobs back
from its deletion, for which `up` would wait; and a job that Kueue has stopped could not start again without it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from meshctl.deploy import jobs_in_state
from meshctl.deploy.jobs import finished_jobs
from meshctl.deploy.jobs.finished_jobs import UnchangedJobs
from meshctl.errors import MeshError
from meshctl.model.deployment import Deployment
from meshctl.model.keys import job_order, lending
from meshctl.model.observed import JobState
from meshctl.model.stack_state import StackState
from meshctl.words import pluralize


def with_pools_in_use(
    unchanged: UnchangedJobs,
    deployment: Deployment,
    state: StackState,
    read_jobs: Callable[[], Mapping[str, JobState]],
    has_kueue: Callable[[], bool],
) -> UnchangedJobs:
    """The unchanged jobs with the pools whose queues stay for some of them. The cluster is asked only where a queue
    would go; without an answer it stays. Where Kueue is gone, nothing of it can stay."""
    jobs = _in_queues_that_go(unchanged, deployment, state)
    if not jobs:
        return unchanged
    try:
        if not has_kueue():
            return unchanged
        states = read_jobs()
        jobs = {name: pool for name, pool in jobs.items() if name in states and not states[name].ended}
    except MeshError:
        pass
    pools = frozenset(jobs.values())
    why = "is counted by KAI Scheduler now" if lending.kai_counts(deployment) else "lends and borrows no more"
    notes = tuple(_stays(pool, why, [name for name, home in jobs.items() if home == pool]) for pool in sorted(pools))
    return replace(unchanged, pools_with_queues=pools, notes=(*unchanged.notes, *notes))


def _in_queues_that_go(unchanged: UnchangedJobs, deployment: Deployment, state: StackState) -> dict[str, str]:
    """The jobs that stay in the queue of their pool, which is to go: pool by workload."""
    before = state.deployment
    if before is None:
        return {}
    going = {pool.name for pool in lending.kueue_pools(before)} - {
        pool.name for pool in lending.kueue_pools(deployment)
    }
    labels = jobs_in_state.labels(state) if going else {}
    jobs = {
        workload.name: workload.pool
        for workload in deployment.workloads
        if workload.is_job
        and workload.pool in going
        and labels.get(workload.name, {}).get(job_order.QUEUE_LABEL) == workload.pool
    }
    replaced = finished_jobs.replaced_jobs(deployment, state, unchanged) if jobs else frozenset()
    return {name: pool for name, pool in jobs.items() if name not in replaced}


def _stays(pool: str, why: str, jobs: list[str]) -> str:
    has = "has" if len(jobs) == 1 else "have"
    return (
        f"pool/{pool}: {why}; its queue of Kueue stays until {pluralize(len(jobs), 'job')} that {has} started in it"
        f" ({', '.join(jobs)}) {has} ended; the first `up` after that removes it"
    )


def with_queues(deployment: Deployment, unchanged: UnchangedJobs) -> Deployment:
    """The deployment with the queues that stay."""
    pools = tuple(
        pool.model_copy(update={"has_jobs_in_queue": True}) if pool.name in unchanged.pools_with_queues else pool
        for pool in deployment.pools
    )
    return deployment.model_copy(update={"pools": pools}) if unchanged.pools_with_queues else deployment
