"""A job that has ended is not run again unless somebody asks: what a run leaves as it is, and what it says of it. PURE.

Called by `session` before each run. Asking is: to change what the job runs, or `meshctl restart`. Kubernetes can change
a Job only by making it anew, which runs it again; so a change that asks for nothing (its pool has another name, a newer
meshctl writes it down in other words) is kept from a Job that is complete. See ADR 0023.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from meshctl.errors import MeshError
from meshctl.model.deployment import Deployment, Workload
from meshctl.model.observed import JobState
from meshctl.model.stack_state import StackState
from meshctl.render import work

_JOB: Final = "kubernetes:batch/v1:Job"
_IN_PLACE: Final = "suspend"  # what a Job's spec can change without being made anew


@dataclass(frozen=True)
class UnchangedJobs:
    """`paths`: what is left alone of the Job of each workload (the properties of its resource); `notes`: for the
    plan."""

    paths: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def with_finished_marks(deployment: Deployment, state: StackState) -> Deployment:
    """The deployment with the marks of jobs that ended elsewhere, as a migration left them in the state.

    A mark holds while the job is there and suspended, to do the same work: a job that was made to run since, by
    `restart` or by a change, has none any more.
    """
    deployed = state.deployment
    if deployed is None or not deployed.marks:
        return deployment
    wanted = work.job_specs(deployment)
    before = {**work.job_specs(deployed), **_saved(state)}
    held = {
        name: ended_in
        for name, ended_in in deployed.marks.items()
        if name in wanted
        and before[name].get("suspend")
        and work.same_work(before[name], wanted[name], _own(deployed, deployment, name))
    }
    return deployment.finished({**deployment.marks, **held})


def unchanged_jobs(
    deployment: Deployment, state: StackState, look: Callable[[], Mapping[str, JobState]]
) -> UnchangedJobs:
    """What a run of `deployment` is to leave as it is. `look` asks the cluster for its jobs; it is called only where
    that decides something, and raises MeshError where the cluster can't be asked."""
    outdated = _outdated(deployment, state)
    if not outdated:
        return UnchangedJobs()
    try:
        states = look()
    except MeshError as error:
        return UnchangedJobs(outdated, tuple(_unknown(name, error) for name in sorted(outdated)))
    complete = {name: paths for name, paths in outdated.items() if name in states and states[name].ended == "complete"}
    return UnchangedJobs(complete, tuple(_stays(name, deployment.environment) for name in sorted(complete)))


def _outdated(deployment: Deployment, state: StackState) -> dict[str, tuple[str, ...]]:
    """The Jobs that this run would make anew though they are to do the same work, with what of them differs."""
    saved = _saved(state)
    if not saved:
        return {}
    deployed = state.deployment
    found = {}
    for name, spec in work.job_specs(deployment).items():
        differing = [key for key in work.differing(saved.get(name, spec), spec) if key != _IN_PLACE]
        if differing and work.same_work(saved[name], spec, _own(deployed, deployment, name)):
            found[name] = tuple(f"spec.{key}" for key in differing)
    return found


def _saved(state: StackState) -> dict[str, Mapping[str, Any]]:
    """The specs of the Jobs in the state, by workload; without those that a killed run has deleted to make them
    anew."""
    found = {}
    for job in state.of_type(_JOB):
        if not (job.is_deleted_for_replacement or job.is_to_be_deleted):
            found[job.subject.removeprefix("workload/")] = job.inputs.get("spec") or {}
    return {name: spec for name, spec in found.items() if spec}


def _own(before: Deployment | None, after: Deployment, name: str) -> frozenset[str]:
    return work.variables(_workload(before, name)) | work.variables(_workload(after, name))


def _workload(deployment: Deployment | None, name: str) -> Workload | None:
    workloads = deployment.workloads if deployment is not None else ()
    return next((workload for workload in workloads if workload.name == name), None)


def _stays(name: str, environment: str) -> str:
    again = f"`meshctl restart {name} --env {environment}` runs it again"
    return f"workload/{name} has finished and stays as it is: nothing of what it runs has changed; {again}"


def _unknown(name: str, error: MeshError) -> str:
    return f"workload/{name} stays as it is: it can't be told whether it has finished ({error.what})"
