"""Which resources a run replaces or updates to run a job again: its Job, and what its pods read. PURE.

Called by `session`. With the Job alone, its pods would start with the values that the last `up` wrote. These may be the
cause of the failure, such as a token that was rotated since.
"""

from __future__ import annotations

from meshctl import render
from meshctl.engine.job_rerun import JobRerun
from meshctl.errors import UsageError
from meshctl.model.deployment import Deployment
from meshctl.model.stack_state import StackState

_SECRET = "Secret"  # noqa: S105 (a kind)


def job_rerun(workload: str, deployment: Deployment, state: StackState) -> JobRerun:
    """The URNs of the workload's Job and of what its pods read. Raises: UsageError when it has no Job."""
    urns = {resource.name: resource.urn for resource in state.resources}
    job = f"workload/{workload}:job"
    if job not in urns:
        environment = deployment.environment
        raise UsageError(f"{workload} has no job in {environment} yet", hint=f"`meshctl up {environment}` creates it")
    read_by_pods = (*secrets_of(job, deployment), f"workload/{workload}:gang")
    release = f"workload/{workload}:release"
    releases = tuple(urns[name] for name in (release,) if name in urns)
    return JobRerun(urns[job], tuple(urns[name] for name in read_by_pods if name in urns), releases)


def secrets_of(logical_name: str, deployment: Deployment) -> tuple[str, ...]:
    """The logical names of the Secrets that an object's pods read: its own, and those of stores and registries."""
    objects = render.platform_objects(deployment)
    secrets = {item.name for item in objects if item.kind == _SECRET}
    needed = [name for item in objects if item.name == logical_name for name in item.depends_on]
    return tuple(name for name in needed if name in secrets)
