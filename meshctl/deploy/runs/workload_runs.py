"""Brings the objects of some workloads up, and leaves everything else of the environment as it is. EDGE.

Called by `session` to end the share of a gateway: trouble in other parts of the source must not keep anybody in an
expansion. So it skips the checks that would refuse an `up` because of those parts: fields that other programs have
set, what the platform lacks, and data at risk (this run deletes nothing).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from meshctl.clients.kubernetes import clusters
from meshctl.deploy.guards import cluster_identity
from meshctl.deploy.guards.running import running_pods
from meshctl.deploy.jobs.unchanged_jobs import read_unchanged_jobs
from meshctl.deploy.runs import drift_check
from meshctl.deploy.runs.stack_runs import StackRuns
from meshctl.deploy.secrets import secret_revisions
from meshctl.model.deployment import Deployment


def up(stacks: StackRuns, deployment: Deployment, workloads: Collection[str]) -> None:
    """`deployment`: what is up, with other values of these workloads.

    Raises: OwnedFieldsError for fields of these workloads, ResourcesFailedError, CredentialsError, UnreachableError,
    LockedError, InterruptedByUserError.
    """
    cluster = cluster_identity.declared_cluster_uid(deployment)
    run = stacks.environment_run(
        deployment,
        cluster,
        lambda: state,
        lambda: owned.kept_values(preview=False),
        lambda: unchanged,
        placed=lambda: deployment,
    )
    state = run.state(plain_secrets=secret_revisions.has_secrets(deployment))
    running = running_pods.with_running_pods(deployment, state)
    cluster_identity.check_change(clusters.access(running), state, cluster)
    subjects = {f"workload/{name}" for name in workloads}
    owned = drift_check.read_ownership(running, state, stacks.take_over)
    decisions = tuple(each for each in owned.decisions if each.conflict.subject in subjects)
    owned = replace(owned, decisions=decisions, retired_scalers=())
    owned.refuse(stacks.command)
    owned.take_over(stacks.on_progress)
    unchanged = read_unchanged_jobs(running, state)
    run.up_of([each.urn for each in state.resources if each.subject in subjects], state=state)
