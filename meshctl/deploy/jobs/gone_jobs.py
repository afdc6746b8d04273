"""A finished job whose object is gone, deleted by hand or by a TTL, is not run again by making the object anew. PURE.

Called by `look` before an `up`, and by `session`. That a job has finished can be seen only while its object is there.
So an `up` that sees it Complete writes that into the state, as the status among the Job's outputs; a later one that
finds the object gone marks the workload as finished, as a migration does (`finished_in`), and its Job is declared
suspended. One that nobody has seen Complete is run again: see ADR 0023.
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
    """The state with what is seen of its jobs. `live`: the objects that are there, by logical name; `gone`: the URNs of
    those that are not, or are being deleted."""
    seen = state.with_resources(_as_seen(resource, live) for resource in state.resources)
    finished = {
        _workload(resource.urn)
        for resource in seen.resources
        if resource.urn in gone and _is_job(resource) and _is_complete(resource.outputs)
    }
    return _marked(seen, finished)


def state_without(state: StackState, gone: Collection[str]) -> StackState:
    """The state once what is gone has left it."""
    return state.with_resources(resource for resource in state.resources if resource.urn not in gone)


def gone_urns(drift: Iterable[Step]) -> frozenset[str]:
    return frozenset(step.urn for step in drift if step.op == "delete")


def drift_with_suspended_jobs(drift: Iterable[Step], marks: Collection[str]) -> tuple[Step, ...]:
    """The drift, in which a gone Job says that it is made again suspended where its workload is in `marks`."""
    suspended = {"spec": {"suspend": True}}
    return tuple(
        replace(step, new=suspended)
        if step.type == _JOB and step.op == "delete" and _workload(step.urn) in marks
        else step
        for step in drift
    )


def notes_on_gone_jobs(drift: Iterable[Step], environment: str) -> tuple[str, ...]:
    """Lines of a plan. `drift`: what `drift_with_suspended_jobs` gave."""
    finished = [_workload(s.urn) for s in drift if s.type == _JOB and s.op == "delete" and value_at(s.new, _SUSPEND)]
    return tuple(
        f"workload/{name} has finished and its object is gone: it is not run again; "
        f"`meshctl restart {name} --env {environment}` runs it again"
        for name in sorted(finished)
    )


def _as_seen(resource: Resource, live: Mapping[str, Json]) -> Resource:
    """With the status of the live object where that is complete, and the same object as in the state."""
    seen = live.get(resource.name)
    outputs = resource.outputs
    if seen is None or not _is_job(resource) or not _is_complete(seen) or _is_complete(outputs):
        return resource
    if value_at(outputs, "metadata.uid") != value_at(seen, "metadata.uid"):
        return resource
    return resource.with_fields(outputs={**outputs, "status": seen["status"]})


def _is_job(resource: Resource) -> bool:
    """Whether it is a Job that stands for its workload, and not one that a killed run has deleted to run it again."""
    return resource.type == _JOB and not (resource.is_deleted_for_replacement or resource.is_to_be_deleted)


def _is_complete(job: Json) -> bool:
    conditions = (job.get("status") or {}).get("conditions") or ()
    return any(each.get("type") in COMPLETE and each.get("status") == "True" for each in conditions)


def _marked(state: StackState, finished: Collection[str]) -> StackState:
    """With the marks of these workloads in the deployment among its outputs. One that ended elsewhere keeps saying
    so."""
    deployment = state.deployment
    if deployment is None:
        return state
    known = {workload.name for workload in deployment.workloads}
    marks = {**dict.fromkeys(known.intersection(finished), deployment.environment), **deployment.marks}
    return state if marks == deployment.marks else state.with_deployment(deployment.finished(marks))


def _workload(urn: str) -> str:
    return resource_name(urn).partition(":")[0].removeprefix("workload/")
