"""Decides which jobs that have ended are not run again in the other environment. PURE.

Called by `plan`, and by `steps.stopping` for jobs that end during the migration.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from meshctl.model.deployment import Deployment
from meshctl.model.observed import JobState
from meshctl.render.controllers import work


def completed_jobs(deployment: Deployment, states: Mapping[str, JobState]) -> frozenset[str]:
    """The deployment's jobs that have completed; not those that are paused."""
    names = (workload.name for workload in deployment.workloads if workload.is_job and workload.runs)
    return frozenset(name for name in names if name in states and states[name].ended == "complete")


def finished_jobs(source: Deployment, target: Deployment, states: Mapping[str, JobState]) -> dict[str, str]:
    """The jobs that are not run again at the target: workload -> the environment that the job ended in. A job that
    mesh.yaml has changed since is run again."""
    ended = {**source.marks, **dict.fromkeys(completed_jobs(source, states), source.environment)}
    same = jobs_with_equal_work(source, target, ended)
    return {name: environment for name, environment in sorted(ended.items()) if name in same}


def jobs_with_equal_work(one: Deployment, other: Deployment, names: Iterable[str]) -> frozenset[str]:
    """Those of the jobs that do the same work in both environments: same image, command, and so on."""
    jobs = [{workload.name for workload in deployment.workloads if workload.is_job} for deployment in (one, other)]
    in_both = jobs[0] & jobs[1]
    return frozenset(name for name in names if name in in_both and work.same_in_both(one, other, name))


def notes(source: Deployment, target: Deployment, states: Mapping[str, JobState]) -> list[str]:
    """The plan's notes on jobs that have ended and that run again."""
    at_target = {workload.name for workload in target.workloads}
    again = sorted(
        (completed_jobs(source, states) | source.marks.keys())
        & at_target - finished_jobs(source, target, states).keys()
    )
    run_again = [
        f"workload {name} has finished, and runs again at {target.environment} because its job is not the same there"
        for name in again
    ]
    failed = [w.name for w in source.workloads if w.is_job and w.runs and has_failed(states, w.name)]
    return [
        *run_again,
        *(
            f"workload {name} has failed at {source.environment}, and starts again at {target.environment}: "
            f"{states[name].why}"
            for name in failed
            if name in at_target
        ),
    ]


def has_failed(states: Mapping[str, JobState], name: str) -> bool:
    return name in states and states[name].ended == "failed"
