"""Jobs that are created suspended and started by another program: which live values stay, and why they wait. PURE.

Called by `environment_program` before a run declares its resources, and by `status`, `up` and migrations. Once such a
Job exists, its `spec.suspend` belongs to its release or to Kueue (ADR 0041). Only a Job that is made anew, as every
change of its work does, is suspended again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

from meshctl import render
from meshctl.deploy import jobs_in_state
from meshctl.deploy.jobs import finished_jobs
from meshctl.deploy.jobs.finished_jobs import UnchangedJobs
from meshctl.errors import MeshError
from meshctl.model.deployment import Deployment, Workload
from meshctl.model.keys import job_order
from meshctl.model.observed import JobState, PodState
from meshctl.model.pods import object_names
from meshctl.model.stack_state import StackState
from meshctl.render.controllers import job_release, lending

_SUSPEND: Final = "spec.suspend"
_QUEUE: Final = f'metadata.labels["{job_order.QUEUE_LABEL}"]'
_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


def values_that_stay(
    kept_values: Mapping[str, Any], deployment: Deployment, state: StackState, unchanged: UnchangedJobs
) -> dict[str, Any]:
    """The live values that a run keeps, without `suspend` of the Jobs that it makes anew and of those that it doesn't
    hold; it holds also those that stay in a queue that the mesh no longer names. `deployment`: with the marks of
    finished jobs, which hold nobody back."""
    replaced = finished_jobs.replaced_jobs(deployment, state, unchanged)
    queued = {name for name, paths in unchanged.paths.items() if _QUEUE in paths}
    started = {
        render.live_value_name(f"workload/{workload.name}:job", _SUSPEND)
        for workload in deployment.workloads
        if workload.is_job
        and (workload.name in replaced or not (workload.name in queued or job_order.is_held(deployment, workload)))
    }
    return {name: value for name, value in kept_values.items() if name not in started}


def with_queues_of_jobs(
    unchanged: UnchangedJobs,
    deployment: Deployment,
    state: StackState,
    read_jobs: Callable[[], Mapping[str, JobState]],
    has_kueue: Callable[[], bool],
) -> UnchangedJobs:
    """`unchanged`, with the jobs added whose queue label the run must leave as it is.

    Kueue accepts no other queue for a job that has started, so such a job gets its new queue when its Job is next
    recreated. A paused job has no queue, and gets one when it starts. In a cluster without Kueue, a job that has never
    started loses a queue that it no longer needs, because nothing else would start it. The cluster is asked only if a
    queue changes; without an answer the queue stays.
    """
    labels = jobs_in_state.labels(state)
    replaced = finished_jobs.replaced_jobs(deployment, state, unchanged)
    moved = [
        workload.name
        for workload in deployment.workloads
        if workload.is_job
        and workload.runs
        and workload.name not in replaced
        and _had_started(workload.name, state)
        and labels[workload.name].get(job_order.QUEUE_LABEL, "") != _queue_label(deployment, workload)
    ]
    waiting = _waiting_without_kueue(read_jobs, has_kueue) if moved else frozenset()
    moved = [name for name in moved if name not in waiting]
    paths = {name: (*unchanged.paths.get(name, ()), _QUEUE) for name in moved}
    notes = [
        f"workload/{name} keeps the queue, or none, with which its Job was created, as Kueue allows no change:"
        f" `meshctl restart {name} --env {deployment.environment}` runs it again {_in_which_queue(deployment, name)}"
        f"{_not_counted(deployment, name)}"
        for name in moved
    ]
    return replace(unchanged, paths={**unchanged.paths, **paths}, notes=(*unchanged.notes, *notes))


def _waiting_without_kueue(
    read_jobs: Callable[[], Mapping[str, JobState]], has_kueue: Callable[[], bool]
) -> frozenset[str]:
    """The jobs that nothing has started, in a cluster that has no Kueue."""
    try:
        if has_kueue():
            return frozenset()
        return frozenset(name for name, job in read_jobs().items() if job.never_started)
    except MeshError:
        return frozenset()


def _in_which_queue(deployment: Deployment, name: str) -> str:
    queue = deployment.workload(name).queue
    return f"in the queue {queue}" if queue else "without a queue"


def _not_counted(deployment: Deployment, name: str) -> str:
    """Of a job that runs already on a pool that lends or borrows: Kueue knows nothing of it."""
    workload = deployment.workload(name)
    if not lending.has_queue(deployment, workload):
        return ""
    return f"; until then Kueue counts its nodes of pool {workload.pool} as free, and may start other jobs there"


def _had_started(name: str, state: StackState) -> bool:
    """Whether the last run was to start it: Kueue takes any change of the queue of a Job that was paused."""
    deployed = state.deployment.workloads if state.deployment is not None else ()
    return any(workload.name == name and workload.runs for workload in deployed)


def _queue_label(deployment: Deployment, workload: Workload) -> str:
    return job_release.queue_labels(deployment, workload).get(job_order.QUEUE_LABEL, "")


def waiting_jobs(
    deployment: Deployment,
    jobs: Mapping[str, JobState],
    pods: Iterable[PodState] = (),
    queued: Mapping[str, str] = _NOTHING,
) -> dict[str, str]:
    """The jobs that nothing has started yet, by workload: what each of them waits for.

    `pods`: those of the mesh, among which are the pods of releases; `queued`: what Kueue says of jobs, by workload.
    """
    own_pods = list(pods)
    not_started_by_up = [workload for workload in deployment.workloads if job_order.is_held(deployment, workload)]
    return {
        workload.name: _what_it_waits_for(deployment, workload, jobs, own_pods, queued)
        for workload in not_started_by_up
        if workload.name in jobs and jobs[workload.name].suspended
    }


def _what_it_waits_for(
    deployment: Deployment,
    workload: Workload,
    jobs: Mapping[str, JobState],
    pods: list[PodState],
    queued: Mapping[str, str],
) -> str:
    before = [name for name in job_order.unfinished(deployment, workload) if not _is_complete(jobs, name)]
    if before:
        parts = [_predecessor_text(name, jobs, deployment.environment) for name in before]
        return f"waits for {' and '.join(parts)}"
    if workload.queue:
        words = queued.get(workload.name, "")
        return f"waits in the queue {workload.queue} of Kueue" + (f": {words}" if words else "")
    return _release_text(workload, pods)


def _is_complete(jobs: Mapping[str, JobState], name: str) -> bool:
    return name in jobs and jobs[name].ended == "complete"


def _predecessor_text(name: str, jobs: Mapping[str, JobState], environment: str) -> str:
    job = jobs.get(name)
    if job is None:
        return f"{name}, which has no Job: `meshctl up {environment}` creates it"
    if job.ended == "failed":
        return f"{name}, which has failed: `meshctl restart {name} --env {environment}` runs it again"
    return f"{name}, which waits itself" if job.suspended else f"{name}, which has not ended yet"


def _release_text(workload: Workload, pods: Iterable[PodState]) -> str:
    """Of a job whose predecessors have ended: why its release has not started it."""
    release = object_names.release(workload.name)
    own = [pod for pod in pods if pod.workload == release and not pod.ready and pod.reason]
    reason = next((f", {pod.name}: {pod.reason}" for pod in own), "")
    jobs = " and ".join(workload.after)
    have = "has" if len(workload.after) == 1 else "have"
    return f"{jobs} {have} ended, and the job {release} is to start it{reason}"
