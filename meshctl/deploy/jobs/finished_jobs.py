"""Keeps a finished job from being run again, unless the user asks for it. PURE.

Called by `runs` before each run. A user asks by changing what the job runs, or with `meshctl restart`. Kubernetes
can change a Job only by replacing it, which runs it again. So a change that doesn't concern the job's work (its pool
was renamed, or a newer meshctl declares it in another way) is not applied to a complete Job. See ADR 0023. A Job that
still runs is left unchanged, too, when only its texts are written in another way, or when only the pools differ that it
may borrow from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from meshctl.deploy import jobs_in_state
from meshctl.errors import MeshError
from meshctl.model.deployment import Deployment, Workload
from meshctl.model.observed import JobState
from meshctl.model.stack_state import StackState
from meshctl.render.controllers import jobs, lending, work

_SIZE: Final = frozenset(jobs.SIZE)
_IN_PLACE: Final = "suspend"  # the field of a Job's spec that can change without replacing the Job


@dataclass(frozen=True)
class UnchangedJobs:
    """Jobs that a run leaves unchanged. `paths`: by workload, the properties of its Job's resource that are not
    applied; `notes`: lines for the plan; `pools_with_queues`: see `queue_ends`."""

    paths: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    pools_with_queues: frozenset[str] = frozenset()


def with_finished_marks(deployment: Deployment, state: StackState) -> Deployment:
    """The deployment with the marks of jobs that finished in another environment, as a migration left them in the
    state.

    A mark is valid while the Job exists, is suspended, and declares the same work. A job that has been run since, by
    `restart` or by a change, has lost its mark.
    """
    deployed = state.deployment
    if deployed is None or not deployed.marks:
        return deployment
    wanted = work.job_specs(deployment)
    before = {**work.job_specs(deployed), **jobs_in_state.specs(state)}
    valid = {
        name: ended_in
        for name, ended_in in deployed.marks.items()
        if name in wanted
        and before[name].get("suspend")
        and work.same_work(before[name], wanted[name], deployed.workload(name), deployment.workload(name))
    }
    return deployment.finished({**deployment.marks, **valid})


def unchanged_jobs(
    deployment: Deployment, state: StackState, read_jobs: Callable[[], Mapping[str, JobState]]
) -> UnchangedJobs:
    """The jobs that a run of `deployment` must leave unchanged.

    `read_jobs` asks the cluster for its jobs; it is called only when the answer matters, and raises MeshError when the
    cluster can't be asked.
    """
    small = _with_fewer_nodes(deployment, state)
    outdated = {name: paths for name, paths in _outdated(deployment, state).items() if name not in small}
    rewritten = _only_rewritten(deployment, state) - small.keys()
    notes = tuple(_older_texts(name, deployment.environment) for name in sorted(rewritten))
    notes += tuple(_waits_for_nodes(name, deployment.environment) for name, paths in small.items() if {*paths} - _SIZE)
    undecided = {name: paths for name, paths in outdated.items() if name not in rewritten}
    outdated |= small
    if not undecided:
        return UnchangedJobs(outdated, notes)
    try:
        states = read_jobs()
    except MeshError as error:
        return UnchangedJobs(outdated, (*notes, *(_unknown_text(name, error) for name in sorted(undecided))))
    complete = [name for name in undecided if name in states and states[name].ended == "complete"]
    # one that waits in its queue has no pods: made anew, it may start on the nodes of a new lender
    started = {name for name in undecided if name in states and not states[name].suspended}
    borrowers = sorted((_with_other_lenders(deployment, state) & started) - {*complete})
    paths = {name: paths for name, paths in outdated.items() if name in {*rewritten, *complete, *borrowers, *small}}
    notes += tuple(_unchanged_text(name, deployment.environment) for name in sorted(complete))
    notes += tuple(_other_lenders_text(name, deployment, state, states[name]) for name in borrowers)
    return UnchangedJobs(paths, notes)


def replaced_jobs(deployment: Deployment, state: StackState, unchanged: UnchangedJobs) -> frozenset[str]:
    """The workloads whose Jobs a run creates or makes anew: every change of a Job's spec but for `suspend` does."""
    specs = jobs_in_state.specs(state)
    return frozenset(
        name
        for name, spec in work.job_specs(deployment).items()
        if name not in specs
        or {f"spec.{key}" for key in work.differing(specs[name], spec) if key != _IN_PLACE}
        - {*unchanged.paths.get(name, ())}
    )


def _with_fewer_nodes(deployment: Deployment, state: StackState) -> dict[str, tuple[str, ...]]:
    """All that differs of the gangs whose size a shift has changed, by workload. What makes such a Job anew would give
    it back the size that the engine has recorded, and so more ranks than there are nodes."""
    specs = jobs_in_state.specs(state)
    return {
        name: tuple(f"spec.{key}" for key in work.differing(specs[name], spec) if key != _IN_PLACE)
        for name, spec in work.job_specs(deployment).items()
        if name in deployment.jobs_with_fewer_nodes and name in specs
    }


def _waits_for_nodes(name: str, environment: str) -> str:
    return (
        f"workload/{name}: runs with fewer nodes while a shift is in force, and is left as it is: its changes wait for"
        f" `meshctl shift {environment} --undo`"
    )


def _only_rewritten(deployment: Deployment, state: StackState) -> frozenset[str]:
    """The Jobs that differ only in how an older meshctl wrote their texts."""
    pairs = _of_both(deployment, state)
    return frozenset(name for name, (old, new) in pairs.items() if work.only_rewritten(old, new))


def _with_other_lenders(deployment: Deployment, state: StackState) -> frozenset[str]:
    """The Jobs that differ only in the pools that they may borrow from."""
    pairs = _of_both(deployment, state)
    return frozenset(name for name, (old, new) in pairs.items() if work.only_lenders_differ(old, new))


def _of_both(deployment: Deployment, state: StackState) -> dict[str, tuple[work.Spec, work.Spec]]:
    """The specs of the Jobs in the state, as recorded and as declared; what is changed in place is as recorded in
    both."""
    before = jobs_in_state.specs(state)
    specs = work.job_specs(deployment) if before else {}
    return {
        name: (before[name], {**spec, _IN_PLACE: before[name].get(_IN_PLACE)})
        for name, spec in specs.items()
        if name in before
    }


def _outdated(deployment: Deployment, state: StackState) -> dict[str, tuple[str, ...]]:
    """The Jobs that this run would replace although their work is the same: the differing properties by workload."""
    specs = jobs_in_state.specs(state)
    if not specs:
        return {}
    deployed = state.deployment
    outdated = {}
    for name, spec in work.job_specs(deployment).items():
        differing = [key for key in work.differing(specs.get(name, spec), spec) if key != _IN_PLACE]
        if differing and work.same_work(specs[name], spec, _workload(deployed, name), deployment.workload(name)):
            outdated[name] = tuple(f"spec.{key}" for key in differing)
    return outdated


def _workload(deployment: Deployment | None, name: str) -> Workload | None:
    workloads = deployment.workloads if deployment is not None else ()
    return next((workload for workload in workloads if workload.name == name), None)


def _unchanged_text(name: str, environment: str) -> str:
    again = f"`meshctl restart {name} --env {environment}` runs it again"
    return f"workload/{name} has finished and is left unchanged, because its work has not changed; {again}"


def _other_lenders_text(name: str, deployment: Deployment, state: StackState, job: JobState) -> str:
    before = ", ".join(lending.pools_in(jobs_in_state.specs(state)[name]))
    after = ", ".join(lending.pools_in(work.job_specs(deployment)[name]))
    why = "as it has failed" if job.ended else f"as it has started: until it ends it runs on nodes of {before}"
    return (
        f"workload/{name} is left unchanged, {why}; `meshctl restart {name} --env {deployment.environment}` runs it"
        f" again, on nodes of {after}"
    )


def _older_texts(name: str, environment: str) -> str:
    return (
        f"workload/{name} is left unchanged, as an older meshctl made it, with texts in which Kubernetes replaces `$$` "
        f"and `$(NAME)`: `meshctl restart {name} --env {environment}` runs it again with the texts as they are written"
    )


def _unknown_text(name: str, error: MeshError) -> str:
    return f"workload/{name} is left unchanged, because meshctl can't read whether it has finished ({error.what})"
