"""Keeps a finished job from being run again when its Job object was deleted, by hand or by a TTL. PURE.

Called by `drift_check` and `environment_up`. Whether a job has finished can be read only while its object
exists. So an `up` that sees it Complete records that in the state, as the status among the Job's outputs. A later `up`
that finds the object gone marks the workload as finished, as a migration does (`finished_in`), and declares its Job
suspended. A job that no `up` has seen Complete is run again: see ADR 0023.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from meshctl.changes.fields import value_at
from meshctl.changes.steps import Step, resource_name
from meshctl.deploy.jobs.job_states import COMPLETE
from meshctl.model.stack_state import Resource, StackState

_JOB: Final = "kubernetes:batch/v1:Job"
_SUSPEND: Final = "spec.suspend"

Json = Mapping[str, Any]


def with_finished_jobs_recorded(state: StackState, live: Mapping[str, Json], gone: Collection[str]) -> StackState:
    """The state in which finished jobs are recorded.

    `live`: the existing objects by logical name; `gone`: the URNs of those that are gone or being deleted.
    """
    updated = state.with_resources(_with_live_status(resource, live) for resource in state.resources)
    finished = {
        _workload(resource.urn)
        for resource in updated.resources
        if resource.urn in gone and _is_job(resource) and _is_complete(resource.outputs)
    }
    return _with_marks(updated, finished)


def state_without(state: StackState, gone: Collection[str]) -> StackState:
    """The state without the resources whose URNs are in `gone`."""
    return state.with_resources(resource for resource in state.resources if resource.urn not in gone)


def gone_urns(drift: Iterable[Step]) -> frozenset[str]:
    return frozenset(step.urn for step in drift if step.op == "delete")


def drift_with_suspended_jobs(drift: Iterable[Step], marks: Collection[str]) -> tuple[Step, ...]:
    """The drift in which a gone Job is created again suspended if its workload is in `marks`."""
    suspended = {"spec": {"suspend": True}}
    return tuple(
        replace(step, new=suspended)
        if _is_of_workload(step.urn, step.type) and step.op == "delete" and _workload(step.urn) in marks
        else step
        for step in drift
    )


def notes_on_gone_jobs(drift: Iterable[Step], environment: str) -> tuple[str, ...]:
    """Lines for a plan. `drift`: the result of `drift_with_suspended_jobs`."""
    gone = [step for step in drift if _is_of_workload(step.urn, step.type) and step.op == "delete"]
    finished = [_workload(step.urn) for step in gone if value_at(step.new, _SUSPEND)]
    return tuple(
        f"workload/{name} has finished and its Job object is gone: it is not run again; "
        f"`meshctl restart {name} --env {environment}` runs it again"
        for name in sorted(finished)
    )


def _with_live_status(resource: Resource, live: Mapping[str, Json]) -> Resource:
    """The resource with the status of the live object, if that is complete and the same object as in the state."""
    live_job = live.get(resource.name)
    outputs = resource.outputs
    if live_job is None or not _is_job(resource) or not _is_complete(live_job) or _is_complete(outputs):
        return resource
    if value_at(outputs, "metadata.uid") != value_at(live_job, "metadata.uid"):
        return resource
    return resource.with_fields(outputs={**outputs, "status": live_job["status"]})


def _is_job(resource: Resource) -> bool:
    """Whether it is the current Job of its workload: not its release, and not one that a killed run has deleted to
    replace it."""
    is_current = not (resource.is_deleted_for_replacement or resource.is_to_be_deleted)
    return _is_of_workload(resource.urn, resource.type) and is_current


def _is_of_workload(urn: str, type_: str) -> bool:
    """Whether it is the Job that does the work of a workload."""
    return type_ == _JOB and resource_name(urn).endswith(":job")


def _is_complete(job: Json) -> bool:
    conditions = (job.get("status") or {}).get("conditions") or ()
    return any(each.get("type") in COMPLETE and each.get("status") == "True" for each in conditions)


def _with_marks(state: StackState, finished: Collection[str]) -> StackState:
    """The state whose deployment marks these workloads as finished here. Marks of other environments stay."""
    deployment = state.deployment
    if deployment is None:
        return state
    names = {workload.name for workload in deployment.workloads}
    marks = {**dict.fromkeys(names.intersection(finished), deployment.environment), **deployment.marks}
    return state if marks == deployment.marks else state.with_deployment(deployment.finished(marks))


def _workload(urn: str) -> str:
    return resource_name(urn).partition(":")[0].removeprefix("workload/")
