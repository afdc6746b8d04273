"""Runs the stacks of one mesh for the CLI and for migrations: plan, up, destroy, outputs, DNS records. EDGE.

A `Session` is made once for a command. It runs one stack for each environment, and one stack for the DNS records. It
returns plans, outputs and addresses, and prints nothing. What each command does is in the modules that it calls:
`runs.environment_plan`, `runs.environment_up`, `bucket_runs` and `teardown`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from meshctl.changes import Plan
from meshctl.changes.losses import Loss
from meshctl.changes.steps import Step
from meshctl.clients.kubernetes import clusters
from meshctl.clients.kubernetes.cluster_access import ClusterAccess
from meshctl.deploy import jobs_in_state
from meshctl.deploy.deploy_state import deploy_state
from meshctl.deploy.guards import cluster_identity
from meshctl.deploy.jobs import job_reruns
from meshctl.deploy.jobs.finished_jobs import UnchangedJobs
from meshctl.deploy.runs import environment_plan, environment_up, workload_runs
from meshctl.deploy.runs.bucket_runs import BucketRuns
from meshctl.deploy.runs.environment_up import UpResult
from meshctl.deploy.runs.stack_runs import StackRuns
from meshctl.deploy.runs.teardown import Teardown
from meshctl.deploy.secrets import secret_revisions
from meshctl.deploy.unmanaged_stacks import UnmanagedStack, unmanaged_stacks
from meshctl.dns import records
from meshctl.engine.events import Recorder, deletions
from meshctl.model.deployment import Deployment
from meshctl.model.observed import DeployState
from meshctl.model.shifts_now import with_shifts_of_now
from meshctl.model.stack_state import NO_OUTPUTS, StackOutputs


@dataclass
class Session(StackRuns):
    """What commands do with the stacks of one mesh."""

    def plan(self, deployment: Deployment, *, refresh: bool | None = None) -> Plan:
        """As `environment_plan.plan`."""
        return environment_plan.plan(self, deployment, refresh=refresh)

    def up(
        self,
        deployment: Deployment,
        *,
        set_names: bool = True,
        previewed: Plan | None = None,
        allow_data_loss: bool = False,
        keep_marks: bool = True,
    ) -> UpResult:
        """As `environment_up.up`."""
        return environment_up.up(
            self,
            deployment,
            set_names=set_names,
            previewed=previewed,
            allow_data_loss=allow_data_loss,
            keep_marks=keep_marks,
        )

    def up_workloads(self, deployment: Deployment, workloads: Collection[str]) -> None:
        """As `workload_runs.up`."""
        workload_runs.up(self, deployment, workloads)

    def lost_by_up(self, deployment: Deployment) -> tuple[Loss, ...]:
        """The data that bringing up `deployment` would lose. Looks at data alone, and changes nothing."""
        state = self.state(deployment.environment)
        return environment_plan.losses_of_up(self, deployment, state, None, needs_preview=False)

    def check_cluster(self, access: ClusterAccess) -> None:
        """Raises: UsageError when an existing cluster isn't the one that the environment is in, CredentialsError,
        UnreachableError."""
        current_uid = clusters.uid(access)
        cluster_identity.check_change(access, self.stack_run(access.name, None).state(), current_uid)

    def rerun_job(self, deployment: Deployment, workload: str) -> None:
        """Run a job again: delete its Job, wait for its pods to end, and create it anew with the current values of the
        Secrets that it reads. `deployment`: what is deployed, with the marks that it is to have from now on.

        Raises: UsageError when the workload has no Job yet, and as `up`.
        """
        cluster = cluster_identity.declared_cluster_uid(deployment)
        run = self.environment_run(
            deployment,
            cluster,
            lambda: jobs_in_state.without_job(state, workload),
            dict,
            UnchangedJobs,
            placed=lambda: deployment,
            keep_marks=False,
        )
        state = run.state(plain_secrets=secret_revisions.has_secrets(deployment))
        cluster_identity.check_change(clusters.access(deployment), state, cluster)
        run.rerun_job(job_reruns.job_rerun(workload, deployment, state), state=state)

    def plan_object_storage(self, deployment: Deployment) -> Plan:
        """As `BucketRuns.plan`."""
        return self._bucket_runs.plan(deployment)

    def up_object_storage(self, deployment: Deployment) -> Plan:
        """As `BucketRuns.up`."""
        return self._bucket_runs.up(deployment)

    @property
    def _bucket_runs(self) -> BucketRuns:
        return BucketRuns(self.mesh, self.environments, self.stack_run)

    def lost_by_destroy(self, environment: str, *, keep_buckets: bool = False) -> tuple[Loss, ...]:
        """As `Teardown.lost`."""
        return self._teardown.lost(environment, keep_buckets=keep_buckets)

    def destroy_plan(self, environment: str) -> list[Step]:
        """What `destroy` would delete."""
        run = self.stack_run(environment, None, quiet=True)
        return deletions(run.preview_destroy()) if run.state().resources else []

    def destroy(self, environment: str, *, allow_data_loss: bool = False) -> Recorder:
        """As `Teardown.destroy`."""
        return self._teardown.destroy(environment, allow_data_loss=allow_data_loss)

    def destroy_keeping_data(self, deployment: Deployment, *, allow_data_loss: bool, command: str) -> None:
        """As `Teardown.destroy_keeping_data`."""
        self._teardown.destroy_keeping_data(deployment, allow_data_loss=allow_data_loss, command=command)

    def destroy_with_data(self, deployment: Deployment, *, allow_data_loss: bool, command: str) -> None:
        """As `Teardown.destroy_with_data`."""
        self._teardown.destroy_with_data(deployment, allow_data_loss=allow_data_loss, command=command)

    def forget_cluster(self, environment: str, declared: ClusterAccess | None) -> None:
        """As `Teardown.forget_cluster`."""
        self._teardown.forget_cluster(environment, declared)

    @property
    def _teardown(self) -> Teardown:
        return Teardown(
            self.folder,
            make_run=lambda environment: self.stack_run(environment, None),
            drop_dns_records=lambda environment: self.dns_records.drop(environment),
            bring_up_buckets=self.up_object_storage,
            other_states=self.other_states,
            on_progress=self.on_progress,
        )

    def outputs(self, environment: str) -> StackOutputs:
        """The environment's stack outputs; none when it was never brought up, or only in part."""
        state = self.state(environment)
        return state.outputs if deploy_state(state) is DeployState.WHOLE else NO_OUTPUTS

    def unmanaged_stacks(self) -> tuple[UnmanagedStack, ...]:
        """The stacks in the state store that have resources and that no environment of the files names."""
        resource_counts = self.stack_run(records.EDGE, None).stacks(all_projects=self.backend.is_own)
        return unmanaged_stacks(resource_counts, self.mesh, self.environments.environments)

    def deployed(self, environment: str) -> Deployment | None:
        """What the last `up` declared there, whether or not all of it succeeded; with the shifts of now: neither a
        shift nor its undo writes this state."""
        recorded = self.outputs(environment).deployment
        return None if recorded is None else with_shifts_of_now(recorded, self.shifts_in_force(environment))
