"""Runs the stacks of one mesh for the CLI and for migrations: plan, up, destroy, outputs, DNS records. EDGE.

A `Session` is made once for a command. It runs one stack for each environment, and one stack for the DNS records. It
returns plans, outputs and addresses, and prints nothing.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from meshctl import secret_variables
from meshctl.changes import Plan
from meshctl.changes.losses import Loss
from meshctl.changes.steps import Step
from meshctl.clients import clusters
from meshctl.clients.cluster_access import ClusterAccess
from meshctl.deploy import (
    drift_check,
    early_context,
    endpoint_answers,
    own_credentials,
    plans,
    preview,
    rewritten,
    scarce_pools,
    scheduled_pools,
)
from meshctl.deploy.bucket_runs import BucketRuns
from meshctl.deploy.deploy_state import deploy_state
from meshctl.deploy.drift_check import DriftCheck
from meshctl.deploy.environment_program import declare_environment
from meshctl.deploy.fields.ownership import Ownership
from meshctl.deploy.guards import (
    changed_groups,
    cluster_identity,
    given_fabrics,
    hosted_zone,
    pod_fields,
    pools_in_place,
    preconditions,
    preflight,
    protection,
    running_pods,
    running_zones,
    volume_sizes,
)
from meshctl.deploy.jobs import finished_jobs, gone_jobs, held_jobs, job_reruns, job_states, paused_jobs
from meshctl.deploy.jobs.finished_jobs import UnchangedJobs
from meshctl.deploy.preview import PreviewReads
from meshctl.deploy.secrets import secret_revisions, secret_values
from meshctl.deploy.teardown import Teardown
from meshctl.deploy.unmanaged_stacks import UnmanagedStack, unmanaged_stacks
from meshctl.dns import records
from meshctl.dns.endpoint_records import EndpointRecords
from meshctl.engine import pending, workspace
from meshctl.engine.command import PulumiProgram
from meshctl.engine.events import OnProgress, Recorder, deletions
from meshctl.engine.run import StackRun
from meshctl.errors import (
    CredentialsError,
    EngineError,
    JobsFailedError,
    MeshError,
    NoCapacityError,
    ResourcesFailedError,
    UnreachableError,
)
from meshctl.model import pod_users
from meshctl.model.deployment import Deployment
from meshctl.model.environment import Environments
from meshctl.model.observed import DeployState
from meshctl.model.questions import Findings
from meshctl.model.stack_state import NO_OUTPUTS, StackOutputs, StackState
from stacks.edge import DnsRecord


@dataclass(frozen=True)
class UpResult:
    """What an `up` did: the addresses by endpoint, all outputs, and the changes as a plan.

    `failed_jobs` is the error with which the command is to end although everything was deployed. `waiting_jobs` are up
    and have not started: what each of them waits for, by workload; so are the workloads of pools whose reservations
    begin later. `starts`: when they do, in RFC 3339, by pool.
    """

    addresses: dict[str, str]
    outputs: StackOutputs
    plan: Plan
    failed_jobs: JobsFailedError | None = None
    waiting_jobs: Mapping[str, str] = field(default_factory=dict)
    starts: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Session:
    """The stacks of one mesh. `folder` holds mesh.yaml and `.meshctl/`."""

    folder: Path
    mesh: str
    environments: Environments
    on_progress: OnProgress | None = None
    break_lock: bool = False
    command: str = "status"  # the command that the user gave, for errors
    ready_timeout_s: int = 0  # how long each Kubernetes object may take to become ready; 0: the provider's own limits
    take_over: tuple[str, ...] = ()  # fields of other programs that an `up` may set: SUBJECT or SUBJECT:FIELD
    refresh: bool = True  # whether a plan and an `up` check for drift first
    check: Callable[[], None] | None = None  # raises what forbids an `up`; called while the state is locked
    # what its plan says beside its changes, found when the environment was resolved: what could not be read, and what
    # the mesh does not say
    remarks: dict[str, tuple[str, ...]] = field(default_factory=dict)
    program: PulumiProgram = field(default_factory=workspace.pulumi_program)
    # what platforms have answered, by the digest of the deployment: a command that plans and brings up asks once
    _findings: dict[str, Findings] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # kubeconfigs for EKS call `meshctl`: the clients here and the engine's plugins must find this installation
        os.environ["PATH"] = workspace.path_with_meshctl()
        own_credentials.make_in_process()
        secret_variables.withdraw(self.environments.secret_variables)

    @property
    def dns_records(self) -> EndpointRecords:
        """The DNS records of the endpoints, which have a stack of their own."""
        return EndpointRecords(self.mesh, self.environments.dns, lambda program: self._run(records.EDGE, program))

    @property
    def backend(self) -> workspace.Backend:
        state = self.environments.state
        return workspace.Backend(state.backend, state.secrets, self.folder)

    def plan(self, deployment: Deployment, *, refresh: bool | None = None) -> Plan:
        """What `up` would do; nothing is changed. `refresh`: whether to check for drift, instead of `self.refresh`.

        Raises: EngineError and its leaves, UsageError as `up` does.
        """
        checks_drift = self.refresh if refresh is None else refresh
        cluster = cluster_identity.declared_cluster_uid_of_preview(deployment, must_answer=checks_drift)
        run = self._environment_run(
            deployment,
            cluster,
            lambda: state.result(),
            lambda: owned.result().kept_values(preview=True),
            lambda: unchanged.result(),
            placed=lambda: findings.result().placed(deployment),
            quiet=True,  # a preview is over before anybody could read its progress
        )
        with ThreadPoolExecutor(max_workers=8) as pool:
            state = pool.submit(lambda: run.state(plain_secrets=secret_revisions.has_secrets(deployment)))
            findings = pool.submit(lambda: self._ask_platform(deployment, state.result()))
            running = pool.submit(
                lambda: running_pods.with_running_pods(findings.result().placed(deployment), state.result())
            )
            owned = pool.submit(lambda: drift_check.read_ownership(running.result(), state.result(), self.take_over))
            unchanged = pool.submit(lambda: self._unchanged_jobs(running.result(), state.result()))
            dns_records = pool.submit(self._dns_records_after, state)
            allowed = pool.submit(lambda: self._check_plan(running.result(), state.result(), cluster, owned, findings))
            drift = pool.submit(
                lambda: (
                    drift_check.detect_drift(run, running.result(), state.result(), owned.result(), allowed.result)
                    if checks_drift
                    else None
                )
            )
            try:
                steps = run.preview().steps
            except MeshError:
                allowed.result()  # an error of the location explains more than the engine's
                owned.result()
                raise
            allowed.result()
            drift.result()
        if self.command == "up":
            owned.result().refuse(self.command)
        notes = (
            *self.remarks.get(deployment.environment, ()),
            *findings.result().notes,
            *given_fabrics.notes(deployment, state.result()),
            *rewritten.notes(running.result(), state.result()),
            *pod_users.notes(running.result()),
        )
        read = PreviewReads(
            state.result(), owned.result(), unchanged.result(), dns_records.result(), drift.result(), steps, notes
        )
        return preview.plan(run, running.result(), read, self.environments.dns)

    def _dns_records_after(self, state: Future[StackState]) -> dict[str, DnsRecord]:
        """Runs after the state export, not in parallel with it: the program waits for the state, both are CPU-bound."""
        state.result()
        return self.dns_records.current()

    def _check_plan(
        self,
        deployment: Deployment,
        state: StackState,
        cluster: str | None,
        owned: Future[Ownership],
        findings: Future[Findings],
    ) -> None:
        """Check that the state is of the same cluster, region and account, and that the platform has what the run would
        add. `cluster`: as for `_environment_run`.

        Runs in parallel with the preview, whose program waits for the state but not for this. Without AWS credentials
        only the region is compared.
        """
        if cluster is not None:
            cluster_identity.check_change(clusters.access(deployment), state, cluster)
        with suppress(CredentialsError, UnreachableError):
            left = owned.result().resources_with_left_fields
            preconditions.check_change(deployment, state, self.environments, left)
            if cluster is not None:
                pod_fields.check(deployment, state)
        preflight.refuse(deployment, findings.result(), running_zones.gaps(deployment, state.deployment))

    def _ask_platform(self, deployment: Deployment, state: StackState) -> Findings:
        """Raises: nothing but for mistakes of ours: who can't be asked is named in the notes."""
        if deployment.digest not in self._findings:
            of_zone = hosted_zone.ask(deployment, state.deployment, self.environments.dns)
            self._findings[deployment.digest] = preflight.ask(deployment, pools_in_place.in_place(state)) | of_zone
        return self._findings[deployment.digest]

    def check_cluster(self, access: ClusterAccess) -> None:
        """Raises: UsageError when an existing cluster isn't the one that the environment is in, CredentialsError,
        UnreachableError."""
        current_uid = clusters.uid(access)
        cluster_identity.check_change(access, self._run(access.name, None).state(), current_uid)

    def up(
        self,
        deployment: Deployment,
        *,
        set_names: bool = True,
        previewed: Plan | None = None,
        allow_data_loss: bool = False,
        keep_marks: bool = True,
    ) -> UpResult:
        """Bring the environment up.

        `set_names`: also write the DNS records that belong to nobody or to this environment, and remove its own ones
        that the mesh no longer has. `previewed`: what `plan` returned a moment ago, to save a second preview.
        `keep_marks`: jobs that a migration marked as finished elsewhere stay marked; without it, only those that
        `deployment` marks.

        Raises: ProtectedDataError (storage with data would go; nothing was done), InfeasibleError (the platform lacks
        what the run would add; nothing was done), OwnedFieldsError (fields of other
        programs; nothing was done), UsageError (the environment is in another region, account or cluster; nothing was
        done), ResourcesFailedError (what was made is kept), NoCapacityError (machines of some pools alone are missing),
        CredentialsError, UnreachableError, LockedError,
        InterruptedByUserError.
        """
        cluster = cluster_identity.declared_cluster_uid(deployment)
        run = self._environment_run(
            deployment,
            cluster,
            lambda: state,
            lambda: owned.kept_values(preview=False),
            lambda: unchanged,
            placed=lambda: placed,
            keep_marks=keep_marks,
        )
        state = run.state(plain_secrets=secret_revisions.has_secrets(deployment))
        findings = self._ask_platform(deployment, state)
        placed = deployment = findings.placed(deployment)
        fabric_notes = given_fabrics.notes(deployment, state)
        deployment = running_pods.with_running_pods(deployment, state)
        cluster_identity.check_change(clusters.access(deployment), state, cluster)
        owned = drift_check.read_ownership(deployment, state, self.take_over)
        preconditions.check_change(deployment, state, self.environments, owned.resources_with_left_fields)
        if self.command == "up":  # a migration must be able to stop what is up, and to go back to it
            pod_fields.check(deployment, state)
        owned.refuse(self.command)
        preflight.refuse(deployment, findings, running_zones.gaps(deployment, state.deployment))
        checks_drift = self.refresh and bool(state.resources)
        drift = drift_check.refresh_state(run, deployment, state, owned) if checks_drift else DriftCheck()
        if drift.drift or drift.cluster_is_gone or pending.is_interrupted(state):
            state = run.state(plain_secrets=secret_revisions.has_secrets(deployment))
            preconditions.check_object_storage(deployment, state, self.environments)  # asks no cluster: it may be gone
        lost = self._losses_of_up(deployment, state, previewed, needs_preview=bool(drift.engine_drift))
        if lost and not allow_data_loss:
            raise protection.refused_by_up(deployment.environment, lost)
        run.empty_on_delete(protection.bucket_urns(lost))
        volume_sizes.grow(deployment, state)
        changed_groups.end_old(deployment, state)
        owned.take_over(self.on_progress)
        deployment = finished_jobs.with_finished_marks(deployment, state) if keep_marks else deployment
        unchanged = self._unchanged_jobs(deployment, state)
        paused_jobs.leave_queues(deployment, state)
        with early_context.context_written_around_up(deployment, self.folder, state, run):
            record = self._run_up(run, deployment, state, set_names=set_names)
        paused_jobs.leave_queues(
            deployment, state
        )  # again: a release, which is gone now, may have set a queue meanwhile
        outputs, current = self._outputs_and_dns_records(run, with_records=set_names)
        early_context.write_context_of_outputs(deployment.environment, self.folder, outputs)
        with_names = deployment if set_names else deployment.model_copy(update={"endpoints": ()})
        drifted = gone_jobs.drift_with_suspended_jobs(drift.drift, deployment.marks)
        plan = plans.plan_of_run(
            with_names,
            owned.without_left_fields(record.steps),
            state.deployment,
            records.dns_changes(with_names, current, outputs.addresses, self.environments.dns),
            lost,
            drifted,
            (
                *self.remarks.get(deployment.environment, ()),
                *gone_jobs.notes_on_gone_jobs(drifted, deployment.environment),
                *unchanged.notes,
                *findings.notes,
                *fabric_notes,
                *rewritten.notes(deployment, state),
            ),
        )
        if set_names:
            wanted = records.after_up(deployment, current, outputs.addresses, self.environments.dns)
            self.dns_records.write(wanted, current)
        jobs = job_states.jobs_after_up(deployment, outputs, self.on_progress)
        failed_jobs = job_states.failed_jobs_error(deployment, jobs)
        waiting = {**held_jobs.waiting_jobs(deployment, jobs), **scheduled_pools.waiting_workloads(deployment)}
        starts = scheduled_pools.starts(deployment)
        if starts:
            self._findings.clear()  # the next `up` asks again whether they have begun
        if set_names:  # a migration asks by itself before names lead there
            asker = endpoint_answers.Asker(is_interrupted=lambda: self.program.interrupted)
            unanswered = endpoint_answers.notes(deployment, record.steps, outputs.addresses, asker)
            plan = dataclasses.replace(plan, notes=(*plan.notes, *unanswered))
        return UpResult(outputs.addresses, outputs, plan, failed_jobs, waiting, starts)

    def _run_up(self, run: StackRun, deployment: Deployment, state: StackState, *, set_names: bool) -> Recorder:
        """Where only machines were missing, the rest is up: the records of its endpoints are written all the same.

        Raises: NoCapacityError, and as `StackRun.up`.
        """
        try:
            return run.up(state=state)
        except ResourcesFailedError as error:
            self._findings.clear()  # they were about a pool that was not there
            explained = scarce_pools.explained(deployment, error)
            if set_names and isinstance(explained, NoCapacityError):
                try:
                    outputs, current = self._outputs_and_dns_records(run, with_records=True)
                    wanted = records.after_up(deployment, current, outputs.addresses, self.environments.dns)
                    self.dns_records.write(wanted, current)
                except MeshError as of_names:  # the missing machines stay the error: `--wait-for-capacity` goes on
                    explained.why = f"{explained.why}; its names were not written: {of_names.what}"
            raise explained from error

    def _outputs_and_dns_records(
        self, run: StackRun, *, with_records: bool
    ) -> tuple[StackOutputs, dict[str, DnsRecord]]:
        """The stack's outputs, and at the same time the DNS records, which are in another stack."""
        with ThreadPoolExecutor(max_workers=1) as pool:
            current = pool.submit(self.dns_records.current) if with_records else None
            outputs = run.outputs()
            return outputs, current.result() if current else {}

    def _unchanged_jobs(self, deployment: Deployment, state: StackState) -> UnchangedJobs:
        """The jobs that a run must leave unchanged, wholly or in part. The cluster is asked only where its answer
        matters."""
        unchanged = finished_jobs.unchanged_jobs(
            deployment, state, lambda: job_states.jobs_of_deployment(deployment, state.outputs)
        )
        return held_jobs.with_queues_of_jobs(unchanged, deployment, state)

    def rerun_job(self, deployment: Deployment, workload: str) -> None:
        """Run a job again: delete its Job, wait for its pods to end, and create it anew with the current values of the
        Secrets that it reads. `deployment`: what is deployed, with the marks that it is to have from now on.

        Raises: UsageError when the workload has no Job yet, and as `up`.
        """
        cluster = cluster_identity.declared_cluster_uid(deployment)
        run = self._environment_run(
            deployment, cluster, lambda: state, dict, UnchangedJobs, placed=lambda: deployment, keep_marks=False
        )
        state = run.state(plain_secrets=secret_revisions.has_secrets(deployment))
        cluster_identity.check_change(clusters.access(deployment), state, cluster)
        run.rerun_job(job_reruns.job_rerun(workload, deployment, state), state=state)

    def lost_by_up(self, deployment: Deployment) -> tuple[Loss, ...]:
        """The data that bringing up `deployment` would lose. Looks at data alone, and changes nothing.

        A preview takes seconds, so one is made only if data could be lost at all.
        """
        return self._losses_of_up(deployment, self.state(deployment.environment), None, needs_preview=False)

    def _losses_of_up(
        self, deployment: Deployment, state: StackState, previewed: Plan | None, *, needs_preview: bool
    ) -> tuple[Loss, ...]:
        """`needs_preview`: resources have drifted, so the mesh alone doesn't tell what an `up` will replace."""
        if previewed is not None:
            return previewed.losses
        if not needs_preview and not protection.may_lose(state, deployment):
            return ()
        return self.plan(deployment, refresh=False).losses

    def plan_object_storage(self, deployment: Deployment) -> Plan:
        """As `BucketRuns.plan`."""
        return self._bucket_runs.plan(deployment)

    def up_object_storage(self, deployment: Deployment) -> Plan:
        """As `BucketRuns.up`."""
        return self._bucket_runs.up(deployment)

    @property
    def _bucket_runs(self) -> BucketRuns:
        return BucketRuns(self.mesh, self.environments, self._run)

    def lost_by_destroy(self, environment: str, *, keep_buckets: bool = False) -> tuple[Loss, ...]:
        """As `Teardown.lost`."""
        return self._teardown.lost(environment, keep_buckets=keep_buckets)

    def destroy_plan(self, environment: str) -> list[Step]:
        """What `destroy` would delete."""
        run = self._run(environment, None, quiet=True)
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
            make_run=lambda environment: self._run(environment, None),
            drop_dns_records=lambda environment: self.dns_records.drop(environment),
            bring_up_buckets=self.up_object_storage,
        )

    def outputs(self, environment: str) -> StackOutputs:
        """The environment's stack outputs; none when it was never brought up, or only in part."""
        state = self.state(environment)
        return state.outputs if deploy_state(state) is DeployState.WHOLE else NO_OUTPUTS

    def state(self, environment: str) -> StackState:
        """The environment's state. Raises: as `StackRun.state`."""
        return self._run(environment, None).state()

    def unmanaged_stacks(self) -> tuple[UnmanagedStack, ...]:
        """The stacks in the state store that have resources and that no environment of the files names."""
        resource_counts = self._run(records.EDGE, None).stacks(all_projects=self.backend.is_own)
        return unmanaged_stacks(resource_counts, self.mesh, self.environments.environments)

    def deployed(self, environment: str) -> Deployment | None:
        """What the last `up` declared there, whether or not all of it succeeded."""
        return self.outputs(environment).deployment

    def _environment_run(
        self,
        deployment: Deployment,
        cluster: str | None,
        state: Callable[[], StackState],
        kept_values: Callable[[], Mapping[str, Any]],
        unchanged_jobs: Callable[[], UnchangedJobs],
        *,
        placed: Callable[[], Deployment],
        keep_marks: bool = True,
        quiet: bool = False,
    ) -> StackRun:
        """A run that declares the whole environment.

        `cluster`: the UID of an existing cluster, to be recorded in the state; "" where meshctl makes the cluster, and
        None for a preview whose cluster doesn't answer. `keep_marks`: as for `up`. `placed`: the deployment with its
        pools in the zones that have their machines. It, `state`, `kept_values` (see `Ownership.kept_values`) and
        `unchanged_jobs` are called by the program while the engine runs, so that reading
        them and starting the engine overlap.
        """
        secrets = secret_values.collect(deployment, self.environments)

        def program() -> None:
            if self.check is not None:
                run.run_check(self.check)
            declare_environment(
                placed(),
                state(),
                secrets,
                kept_values(),
                unchanged_jobs(),
                cluster=cluster,
                keep_marks=keep_marks,
                ready_timeout_s=self.ready_timeout_s,
            )

        on_progress = early_context.progress_writing_context(deployment, self.folder, self.on_progress)
        run = self._run(deployment.environment, program, quiet=quiet, on_progress=on_progress)
        return run

    def _run(
        self,
        stack: str,
        program: Callable[[], None] | None,
        *,
        quiet: bool = False,
        only: frozenset[str] | None = None,
        on_progress: OnProgress | None = None,
    ) -> StackRun:
        """A run of one stack. `program`: None for a run that only reads or deletes, which needs the state alone."""
        opened = workspace.open_stack(self.backend, self.mesh, stack, program or _no_program, self.program)
        on_progress = None if quiet else on_progress or self.on_progress
        declared = self.environments.environments.get(stack)
        platform = declared.provider if declared is not None else ""
        return StackRun(
            opened, self.program, on_progress, self.break_lock, command=self.command, only=only, platform=platform
        )


def _no_program() -> None:
    """Stands for the program of runs that only read or delete. The engine never calls it."""
    raise EngineError("this run has no program")
