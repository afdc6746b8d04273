"""The Pulumi program of an environment: what a run declares, once the state and the live objects were read. EDGE.

Called by `stack_runs` inside a run of the engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi

from meshctl import render
from meshctl.deploy.guards import cluster_identity, upgrade
from meshctl.deploy.guards.running import running_pods
from meshctl.deploy.jobs import finished_jobs, held_jobs, queue_ends
from meshctl.deploy.jobs.finished_jobs import UnchangedJobs
from meshctl.deploy.secrets import secret_revisions
from meshctl.model.deployment import Deployment
from meshctl.model.stack_state import StackState
from meshctl.platforms import registry


def declare_environment(
    deployment: Deployment,
    state: StackState,
    secrets: Mapping[str, str],
    zones: Mapping[str, str],
    kept_values: Mapping[str, Any],
    unchanged_jobs: UnchangedJobs,
    *,
    cluster: str | None,
    keep_marks: bool,
    ready_timeout_s: int,
) -> None:
    """Declare all resources of `deployment`. `zones`: see `proof_zones`. The others are as for
    `StackRuns.environment_run`."""
    deferred: dict[str, Any] = {name: pulumi.Output.secret(value) for name, value in secrets.items()}
    deferred |= dict.fromkeys(_up_names(deployment, state), True)
    deferred |= zones
    if secrets:
        deferred |= secret_revisions.revision_values(deployment, secrets, state)
    declared = running_pods.with_running_pods(upgrade.with_running_version(deployment, state), state)
    declared = finished_jobs.with_finished_marks(declared, state) if keep_marks else declared
    deferred |= held_jobs.values_that_stay(kept_values, declared, state, unchanged_jobs)
    declared = queue_ends.with_queues(declared, unchanged_jobs)
    uid = cluster_identity.recorded_cluster_uid(deployment.environment, state) if cluster is None else cluster
    declare = registry.platform(deployment.provider).declare
    declare(declared, deferred, ready_timeout_s, staying=unchanged_jobs.paths, cluster_uid=uid)


def _up_names(deployment: Deployment, state: StackState) -> list[str]:
    """The marks of sets that have pods now and will have some: only these stand in for each other in a roll-out. Groups
    that start after a pause, or that are paused, all go at once."""
    paused = {f"workload/{workload.name}" for workload in deployment.workloads if workload.paused}
    return [
        render.up_name(resource.name)
        for resource in state.resources
        if resource.subject not in paused and _has_pods(resource.inputs.get("spec"))
    ]


def _has_pods(spec: Any) -> bool:
    replicas = spec.get("replicas") if isinstance(spec, dict) else None
    return isinstance(replicas, int | float) and replicas > 0
