"""Jobs that have ended: which are not run again on the other side of a migration. PURE.

Called by `plan`, and by `steps.environment` for those that end while the migration is under way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from meshctl.model.deployment import Deployment
from meshctl.model.observed import JobState
from meshctl.render import work


def completed_jobs(deployment: Deployment, states: Mapping[str, JobState]) -> frozenset[str]:
    """The jobs that were to run there and have run to their end."""
    names = (workload.name for workload in deployment.workloads if workload.is_job and workload.runs)
    return frozenset(name for name in names if name in states and states[name].ended == "complete")


def finished_jobs(source: Deployment, target: Deployment, states: Mapping[str, JobState]) -> dict[str, str]:
    """The jobs that are not run again at the target: workload -> the environment that it ended in. Those that do other
    work there, as mesh.yaml has changed them, are run."""
    ended = {**source.marks, **dict.fromkeys(completed_jobs(source, states), source.environment)}
    same = jobs_with_equal_work(source, target, ended)
    return {name: environment for name, environment in sorted(ended.items()) if name in same}


def jobs_with_equal_work(one: Deployment, other: Deployment, names: Iterable[str]) -> frozenset[str]:
    """Those of the jobs that run the same in both environments."""
    wanted = list(names)
    if not wanted:
        return frozenset()
    specs = work.job_specs(one), work.job_specs(other)
    there = [name for name in wanted if all(name in found for found in specs)]
    return frozenset(name for name in there if work.same_work(specs[0][name], specs[1][name], _own(one, other, name)))


def _own(one: Deployment, other: Deployment, name: str) -> frozenset[str]:
    return work.variables(one.workload(name)) | work.variables(other.workload(name))


def notes(source: Deployment, target: Deployment, states: Mapping[str, JobState]) -> list[str]:
    """What a plan says of jobs that ended, beside those that it leaves alone."""
    there = {workload.name for workload in target.workloads}
    again = sorted(
        (completed_jobs(source, states) | source.marks.keys()) & there - finished_jobs(source, target, states).keys()
    )
    found = [
        f"workload {name} has finished and runs again at {target.environment}: mesh.yaml changes what it runs"
        for name in again
    ]
    failed = [w.name for w in source.workloads if w.is_job and w.runs and has_failed(states, w.name)]
    return [
        *found,
        *(
            f"workload {name} has failed at {source.environment} and starts anew at {target.environment}: "
            f"{states[name].why}"
            for name in failed
            if name in there
        ),
    ]


def has_failed(states: Mapping[str, JobState], name: str) -> bool:
    return name in states and states[name].ended == "failed"
