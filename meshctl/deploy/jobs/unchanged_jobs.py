"""Reads from the cluster which jobs a run must leave unchanged. EDGE.

Called by `environment_plan` and `environment_up` before the engine's program declares the jobs.
"""

from __future__ import annotations

import functools

from meshctl.clients.kubernetes import clusters
from meshctl.clients.queues import kueue
from meshctl.deploy.jobs import finished_jobs, held_jobs, job_states, queue_ends
from meshctl.deploy.jobs.finished_jobs import UnchangedJobs
from meshctl.model.deployment import Deployment
from meshctl.model.stack_state import StackState


def read_unchanged_jobs(deployment: Deployment, state: StackState) -> UnchangedJobs:
    """The jobs that a run must leave unchanged, wholly or in part. The cluster is asked only where its answer
    matters."""
    cluster = clusters.access(deployment, state.outputs)
    read_jobs = functools.cache(lambda: job_states.jobs_of_deployment(deployment, state.outputs))
    unchanged = finished_jobs.unchanged_jobs(deployment, state, read_jobs)
    has_kueue = functools.cache(lambda: kueue.is_installed(cluster))
    unchanged = held_jobs.with_queues_of_jobs(unchanged, deployment, state, read_jobs, has_kueue)
    return queue_ends.with_pools_in_use(unchanged, deployment, state, read_jobs, has_kueue)
