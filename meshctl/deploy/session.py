"""What the CLI and migrations do with one mesh's stacks: plan, up, destroy, outputs, move the names. EDGE.

A `Session` is made once for a command. It runs one stack for each environment and the stack of names (`edge`), and
hands back plans, outputs and addresses; it prints nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pulumi

import stacks.buckets
import stacks.edge
from meshctl import secret_variables
from meshctl.changes import Plan
from meshctl.changes.losses import Loss
from meshctl.changes.steps import Step
from meshctl.clients import clusters
from meshctl.clients.cluster_access import ClusterAccess
from meshctl.deploy import early_context, look, plans
from meshctl.deploy.fields.ownership import Ownership
from meshctl.deploy.guards import cluster_identity, preconditions, protection, upgrade, volume_sizes
from meshctl.deploy.jobs import finished_jobs, gone_jobs, job_states, remade_jobs
from meshctl.deploy.jobs.finished_jobs import Staying
from meshctl.deploy.look import Look
from meshctl.deploy.others import Other, others
from meshctl.deploy.presence import presence
from meshctl.deploy.secrets import secret_revisions, secret_values
from meshctl.deploy.teardown import Teardown
from meshctl.dns import names
from meshctl.dns.endpoint_names import EndpointNames
from meshctl.engine import pending, workspace
from meshctl.engine.command import PulumiProgram
from meshctl.engine.events import OnProgress, Recorder, deletions
from meshctl.engine.run import StackRun
from meshctl.errors import (
    CredentialsError,
    EngineError,
    JobsFailedError,
    MeshError,
    UnreachableError,
    UsageError,
)
from meshctl.model import pod_users
from meshctl.model.deployment import Deployment
from meshctl.model.environment import Environments
from meshctl.model.observed import Presence
from meshctl.model.stack_state import NO_OUTPUTS, StackOutputs, StackState
from meshctl.platforms import registry
from stacks.edge import Name

Program = Callable[[], None]


@dataclass(frozen=True)
class UpResult:
    """After `up`: the addresses by endpoint, all outputs, and what was done. `failed_jobs`: what the command is to end
    with all the same."""

    addresses: dict[str, str]
    outputs: StackOutputs
    plan: Plan
    failed_jobs: JobsFailedError | None = None


@dataclass
class Session:
    """One mesh's stacks. `folder` holds mesh.yaml and `.meshctl/`."""

    folder: Path
    mesh: str
    environments: Environments
    on_progress: OnProgress | None = None
    break_lock: bool = False
    command: str = "status"  # what the user asked for, as errors call it
    ready_timeout_s: int = 0  # how long each Kubernetes object may take to become ready; 0: the provider's own limits
    take_over: tuple[str, ...] = ()  # fields of other programs that an `up` may set: SUBJECT or SUBJECT:FIELD
    refresh: bool = True  # whether a plan and an `up` look at the world first
    check: Callable[[], None] | None = None  # raises what forbids an `up`; asked while the state is locked
    program: PulumiProgram = field(default_factory=workspace.pulumi_program)

    def __post_init__(self) -> None:
        # kubeconfigs for EKS call `meshctl`: the clients here and the engine's plugins must find this very one
        os.environ["PATH"] = workspace.path_with_meshctl()
        secret_variables.withdraw(self.environments.secret_variables)

    @property
    def names(self) -> EndpointNames:
        """The endpoints' names, which have a stack of their own."""
        return EndpointNames(
            self.mesh, self.environments.dns, lambda program: self._run(names.EDGE, program or _nothing)
        )

    @property
    def backend(self) -> workspace.Backend:
        state = self.environments.state
        return workspace.Backend(state.backend, state.secrets, self.folder)

    def plan(self, deployment: Deployment, *, refresh: bool | None = None) -> Plan:
        """What `up` would do, with no change made. `refresh`: whether to look at the world, instead of the session's.

        Raises: EngineError and its leaves, UsageError as `up` does.
        """
        looks = self.refresh if refresh is None else refresh
        cluster = cluster_identity.asked(deployment) if looks else cluster_identity.asked_if_it_answers(deployment)
        # a preview is over before its progress is read
        run = self._environment_run(
            deployment,
            cluster,
            lambda: state.result(),
            lambda: owned.result().held(preview=True),
            lambda: staying.result(),
            quiet=True,
        )
        with ThreadPoolExecutor(max_workers=6) as pool:
            state = pool.submit(lambda: run.state(plain_secrets=secret_revisions.needed(deployment)))
            owned = pool.submit(lambda: self._owners(deployment, state.result()))
            staying = pool.submit(lambda: self._staying(deployment, state.result()))
            edge = pool.submit(self._names_after, state)
            allowed = pool.submit(lambda: self._check_plan(deployment, state.result(), cluster, owned))
            looked = pool.submit(
                lambda: (
                    look.before_plan(run, deployment, state.result(), owned.result(), allowed.result) if looks else None
                )
            )
            try:
                record = run.preview()
            except MeshError:
                allowed.result()  # what is wrong with the location explains more
                owned.result()
                raise
            allowed.result()
            seen = looked.result()
        if self.command == "up":
            owned.result().refuse(self.command)
        steps = look.preview_after(run, seen) if seen is not None and seen.changes_the_preview else record.steps
        steps = owned.result().without_left(steps)
        before = state.result().deployment
        moved = names.changes(deployment, edge.result(), state.result().outputs.addresses, self.environments.dns)
        drifted = look.as_up_mends(deployment, state.result(), owned.result(), seen.drift) if seen else ()
        notes = (
            *owned.result().forecasts(drifted),
            *gone_jobs.notes(drifted, deployment.environment),
            *staying.result().notes,
            *pod_users.notes(upgrade.kept(deployment, state.result())),
            *plans.looked_at(
                state.result(), looked=seen is not None, other_profile=seen is not None and seen.other_profile
            ),
        )
        lost = protection.lost_by_up(state.result(), deployment, steps)
        marked = finished_jobs.with_marks(deployment, state.result())
        return plans.previewed(marked, steps, before, moved, lost, notes, drifted)

    def _names_after(self, state: Future[StackState]) -> dict[str, Name]:
        """Not beside it: the program waits for the state, and the preview needs the processors."""
        state.result()
        return self.names.current()

    def _check_plan(
        self,
        deployment: Deployment,
        state: StackState,
        cluster: str | None,
        owned: Future[Ownership],
    ) -> None:
        """The state is of the same place; on AWS without credentials, of the same region. Beside the preview: the
        program waits for the state, and needn't wait for this. `cluster`: as for `_environment_run`."""
        if cluster is not None:
            cluster_identity.check_change(clusters.access(deployment), state, cluster)
        with suppress(CredentialsError, UnreachableError):
            preconditions.check_change(deployment, state, self.environments, owned.result().left)

    def check_cluster(self, access: ClusterAccess) -> None:
        """Raises: UsageError when an existing cluster isn't the one that the environment is in, CredentialsError,
        UnreachableError."""
        found = clusters.uid(access)
        cluster_identity.check_change(access, self._run(access.name, _nothing).state(), found)

    def up(
        self,
        deployment: Deployment,
        *,
        set_names: bool = True,
        previewed: Plan | None = None,
        allow_data_loss: bool = False,
        keep_marks: bool = True,
    ) -> UpResult:
        """Bring the environment up. `set_names`: also point unowned and own endpoint names at it, and remove own ones
        that the mesh no longer has. `previewed`: what `plan` has just said, where it was asked. `keep_marks`: jobs that
        a migration left as finished elsewhere stay so; without it, only those that `deployment` marks.

        Raises: ProtectedDataError (storage with data would go; nothing was done), OwnedFieldsError (fields of other
        programs; nothing was done), UsageError (the environment is in another region, account or cluster; nothing was
        done), ResourcesFailedError (what was made is kept), CredentialsError, UnreachableError, LockedError,
        InterruptedByUserError.
        """
        cluster = cluster_identity.asked(deployment)
        run = self._environment_run(
            deployment,
            cluster,
            lambda: state,
            lambda: owned.held(preview=False),
            lambda: staying,
            keep_marks=keep_marks,
        )
        state = run.state(plain_secrets=secret_revisions.needed(deployment))
        cluster_identity.check_change(clusters.access(deployment), state, cluster)
        owned = self._owners(deployment, state)
        preconditions.check_change(deployment, state, self.environments, owned.left)
        owned.refuse(self.command)
        seen = look.before_up(run, deployment, state, owned) if self.refresh and state.resources else Look()
        if seen.drift or seen.cluster_is_gone or pending.is_unsettled(state):
            state = run.state(plain_secrets=secret_revisions.needed(deployment))
            preconditions.check_object_storage(deployment, state, self.environments)  # asks no cluster: it may be gone
        before = state.deployment
        lost = (
            previewed.losses if previewed is not None else self._lost(deployment, state, certain=bool(seen.by_engine))
        )
        if lost and not allow_data_loss:
            raise protection.refused_by_up(deployment.environment, lost)
        run.empty_on_delete(protection.buckets(lost))
        volume_sizes.grow(deployment, state)
        owned.take_over(self.on_progress)
        deployment = finished_jobs.with_marks(deployment, state) if keep_marks else deployment
        staying = self._staying(deployment, state)
        with early_context.written(deployment, self.folder, state, run):
            record = run.up(state=state)
        named = deployment if set_names else deployment.model_copy(update={"endpoints": ()})
        with ThreadPoolExecutor(max_workers=1) as pool:
            pointing = pool.submit(self.names.current) if set_names else None
            outputs = run.outputs()
            current = pointing.result() if pointing else {}
        addresses = outputs.addresses
        early_context.write_made(deployment.environment, self.folder, outputs)
        moved = names.changes(named, current, addresses, self.environments.dns)
        mended = gone_jobs.as_made_again(seen.drift, deployment.marks)
        said = (*gone_jobs.notes(mended, deployment.environment), *staying.notes)
        plan = plans.done(named, owned.without_left(record.steps), before, moved, lost, mended, said)
        if set_names:
            self.names.write(names.after_up(deployment, current, addresses, self.environments.dns), current)
        return UpResult(addresses, outputs, plan, job_states.failure_after_up(deployment, outputs, self.on_progress))

    def _owners(self, deployment: Deployment, state: StackState) -> Ownership:
        """Whose the fields of the live objects are, beside those that this run would declare."""
        return look.owners(upgrade.kept(deployment, state), state, self.take_over)

    def _staying(self, deployment: Deployment, state: StackState) -> Staying:
        """What a run leaves as it is: jobs that have finished. The cluster is asked only where that matters."""
        declared = upgrade.kept(deployment, state)
        return finished_jobs.staying(declared, state, lambda: job_states.of(deployment, state.outputs))

    def remake_job(self, deployment: Deployment, workload: str) -> None:
        """Run a job again: its Job is deleted, waited for as long as its pods may take, and made anew; the Secrets that
        it reads get their values of now. `deployment`: what is deployed, with the marks that it is to have from now on.

        Raises: UsageError where it has no Job yet, and as `up`.
        """
        cluster = cluster_identity.asked(deployment)
        run = self._environment_run(deployment, cluster, lambda: state, dict, Staying, keep_marks=False)
        state = run.state(plain_secrets=secret_revisions.needed(deployment))
        cluster_identity.check_change(clusters.access(deployment), state, cluster)
        run.remake(remade_jobs.remade(workload, deployment, state), state=state)

    def lost_by_up(self, deployment: Deployment) -> tuple[Loss, ...]:
        """The data that bringing it up would lose; a preview costs seconds, and is made only where data could go.
        Changes nothing, and looks at data alone."""
        return self._lost(deployment, self.state(deployment.environment), certain=False)

    def _lost(self, deployment: Deployment, state: StackState, *, certain: bool) -> tuple[Loss, ...]:
        """`certain`: the preview is made in any case, as others have changed more than the mesh says."""
        if not certain and not protection.may_lose(state, deployment):
            return ()
        return self.plan(deployment, refresh=False).losses

    def plan_object_storage(self, deployment: Deployment) -> Plan:
        """What `up_object_storage` would do. Raises: as that."""
        run, state, declared = self._object_storage_run(deployment, quiet=True)
        steps = run.preview().steps
        lost = protection.lost_by_up(state, declared, steps)
        return plans.of_buckets(declared, steps, state.deployment, lost)

    def up_object_storage(self, deployment: Deployment) -> Plan:
        """Only the buckets: to fill them before the workloads start. Whatever else is up stays as it is, and what was
        protected stays so.

        Raises: UsageError where there are none, or the environment is in another region or account, ProtectedDataError
        where one that holds data would be replaced, and as `up`.
        """
        run, state, declared = self._object_storage_run(deployment)
        if protection.may_lose_buckets(state, declared):
            lost = self.plan_object_storage(deployment).losses
            if lost:
                raise protection.refused_by_up(deployment.environment, lost)
        return plans.of_buckets(declared, run.up().steps, state.deployment)

    def _object_storage_run(
        self, deployment: Deployment, *, quiet: bool = False
    ) -> tuple[StackRun, StackState, Deployment]:
        """The run, the stack's state before it, and the deployment that it declares the buckets of."""
        if not deployment.object_stores:
            raise UsageError(
                f"{self.mesh} has no object storage",
                hint=f"`meshctl up {deployment.environment}` brings up the rest",
            )
        state = self._run(deployment.environment, _nothing).state()
        preconditions.check_object_storage(deployment, state, self.environments)
        declared = protection.still_protected(deployment, state)

        def program() -> None:
            run.checked(run.refuse_unspared)
            stacks.buckets.declare_alone(declared, state.outputs.written())

        run = self._run(deployment.environment, program, quiet=quiet, only=stacks.buckets.names(deployment))
        return run, state, declared

    def lost_by_destroy(self, environment: str, *, keep_buckets: bool = False) -> tuple[Loss, ...]:
        """The data that `destroy` would lose; `keep_buckets`: that a `retire` would. Raises: UsageError as `destroy`
        does."""
        return self._teardown.lost(environment, keep_buckets=keep_buckets)

    def destroy_plan(self, environment: str) -> list[Step]:
        """What `destroy` would delete."""
        run = self._run(environment, _nothing, quiet=True)
        return deletions(run.preview_destroy()) if run.state().resources else []

    def destroy(self, environment: str, *, allow_data_loss: bool = False) -> Recorder:
        """As `Teardown.destroy`."""
        return self._teardown.destroy(environment, allow_data_loss=allow_data_loss)

    def retire(
        self,
        deployment: Deployment,
        *,
        keep_data: bool,
        allow_data_loss: bool = False,
        command: str = "meshctl migrations finish",
    ) -> None:
        """As `Teardown.retire`."""
        self._teardown.retire(deployment, keep_data=keep_data, allow_data_loss=allow_data_loss, command=command)

    def forget_cluster(self, environment: str, declared: ClusterAccess | None) -> None:
        """As `Teardown.forget_cluster`."""
        self._teardown.forget_cluster(environment, declared)

    @property
    def _teardown(self) -> Teardown:
        return Teardown(
            self.folder,
            run=lambda environment: self._run(environment, _nothing),
            drop_names=lambda environment: self.names.drop(environment),
            bring_up_buckets=self.up_object_storage,
        )

    def outputs(self, environment: str) -> StackOutputs:
        """The environment's stack outputs; none when it was never brought up, or only parts of it were."""
        state = self.state(environment)
        return state.outputs if presence(state) is Presence.WHOLE else NO_OUTPUTS

    def state(self, environment: str) -> StackState:
        """The environment's state, as `StackRun.state` has it."""
        return self._run(environment, _nothing).state()

    def others(self) -> tuple[Other, ...]:
        """What is up in the state, and no environment of the files stands for."""
        own = self.backend.is_own
        stacks = self._run(names.EDGE, _nothing).stacks(all_projects=own)
        return others(stacks, self.mesh, self.environments.environments)

    def deployed(self, environment: str) -> Deployment | None:
        """What the last `up` declared there, whether or not all of it succeeded."""
        return self.outputs(environment).deployment

    def _environment_run(
        self,
        deployment: Deployment,
        cluster: str | None,
        state: Callable[[], StackState],
        held: Callable[[], Mapping[str, Any]],
        staying: Callable[[], Staying],
        *,
        keep_marks: bool = True,
        quiet: bool = False,
    ) -> StackRun:
        """`cluster`: the UID of an existing cluster, which the state keeps; empty on AWS, None for one that doesn't
        answer, of which only a preview is made. `state` waits for the stack's state, `held` for the fields that others
        own (see `Ownership.held`), `staying` for what is to stay as it is in there. `keep_marks`: as for `up`."""
        values = secret_values.collect(deployment, self.environments)

        def program() -> None:
            if self.check is not None:
                run.checked(self.check)
            late: dict[str, Any] = {name: pulumi.Output.secret(value) for name, value in values.items()}
            late |= held()
            if values:
                late |= secret_revisions.revisions(deployment, values, state())
            declared = upgrade.kept(deployment, state())
            declared = finished_jobs.with_marks(declared, state()) if keep_marks else declared
            uid = cluster_identity.recorded(deployment.environment, state()) if cluster is None else cluster
            declare = registry.platform(deployment.provider).declare
            declare(declared, late, self.ready_timeout_s, staying=staying().paths, cluster_uid=uid)

        watched = early_context.watching(deployment, self.folder, self.on_progress)
        run = self._run(deployment.environment, program, quiet=quiet, on_progress=watched)
        return run

    def _run(
        self,
        stack: str,
        program: Program,
        *,
        quiet: bool = False,
        only: frozenset[str] | None = None,
        on_progress: OnProgress | None = None,
    ) -> StackRun:
        opened = workspace.open_stack(self.backend, self.mesh, stack, program, self.program)
        on_progress = None if quiet else on_progress or self.on_progress
        declared = self.environments.environments.get(stack)
        platform = declared.provider if declared is not None else ""
        return StackRun(
            opened, self.program, on_progress, self.break_lock, command=self.command, only=only, platform=platform
        )


def _nothing() -> None:
    """For runs that only read or delete: they need no program."""
    raise EngineError("this run has no program")  # the engine never calls it: destroy and export take the state alone
