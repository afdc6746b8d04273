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

import stacks.aws
import stacks.buckets
import stacks.coreweave
import stacks.edge
import stacks.onprem
from meshctl import secret_variables
from meshctl.changes import Plan
from meshctl.changes.steps import Step
from meshctl.engine import (
    cluster_identity,
    clusters,
    early_context,
    kubeconfig,
    names,
    object_access,
    plans,
    preconditions,
    secret_revisions,
    secret_values,
    upgrade,
    volume_sizes,
    workspace,
)
from meshctl.engine.cluster_access import ClusterAccess
from meshctl.engine.command import PulumiProgram
from meshctl.engine.endpoint_names import EndpointNames
from meshctl.engine.events import OnProgress, Recorder
from meshctl.engine.others import Other, others
from meshctl.engine.outputs import known_addresses
from meshctl.engine.presence import Presence, presence
from meshctl.engine.protection import Risk, data_at_risk, let_go, loss_refused, may_lose
from meshctl.engine.run import StackRun, stack_outputs
from meshctl.errors import CredentialsError, EngineError, MeshError, ProtectedDataError, UnreachableError, UsageError
from meshctl.model.deployment import Deployment
from meshctl.model.environment import AwsEnvironment, Environments
from stacks.edge import Name

Program = Callable[[], None]
_DECLARE: Mapping[str, Callable[..., None]] = {
    "aws": stacks.aws.declare,
    "coreweave": stacks.coreweave.declare,
    "kubernetes": stacks.onprem.declare,
    "onprem": stacks.onprem.declare,
}


@dataclass(frozen=True)
class UpResult:
    """After `up`: the addresses by endpoint, all outputs, and what was done."""

    addresses: dict[str, str]
    outputs: dict[str, Any]
    plan: Plan


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

    def plan(self, deployment: Deployment) -> Plan:
        """What `up` would do, with no change made. Raises: EngineError and its leaves, UsageError as `up` does."""
        cluster = cluster_identity.asked(deployment)
        # a preview is over before its progress is read
        run = self._environment_run(deployment, cluster, lambda: state.result(), quiet=True)
        with ThreadPoolExecutor(max_workers=3) as pool:
            state = pool.submit(lambda: run.state(plain_secrets=secret_revisions.needed(deployment)))
            edge = pool.submit(self._names_after, state)
            allowed = pool.submit(lambda: self._check_plan(deployment, state.result(), cluster))
            try:
                record = run.preview()
            except MeshError:
                allowed.result()  # what is wrong with the location explains more
                raise
            allowed.result()
            before = stack_outputs(state.result())
            moved = names.changes(deployment, edge.result(), known_addresses(before), self.environments.dns)
            return plans.previewed(deployment, record.steps, before, moved)

    def _names_after(self, state: Future[dict[str, Any]]) -> dict[str, Name]:
        """Not beside it: the program waits for the state, and the preview needs the processors."""
        state.result()
        return self.names.current()

    def _check_plan(self, deployment: Deployment, state: Mapping[str, Any], cluster: str) -> None:
        """The state is of the same place; on AWS without credentials, of the same region. Beside the preview: the
        program waits for the state, and needn't wait for this."""
        cluster_identity.check_change(clusters.access(deployment, {}), state, cluster)
        with suppress(CredentialsError, UnreachableError):
            preconditions.check_change(deployment, state, self.environments)

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
    ) -> UpResult:
        """Bring the environment up. `set_names`: also point unowned and own endpoint names at it, and remove own ones
        that the mesh no longer has. `previewed`: what `plan` has just said, where it was asked.

        Raises: ProtectedDataError (storage with data would go; nothing was done), UsageError (the environment is in
        another region, account or cluster; nothing was done), ResourcesFailedError (what was made is kept),
        CredentialsError, UnreachableError, LockedError, InterruptedByUserError.
        """
        cluster = cluster_identity.asked(deployment)
        run = self._environment_run(deployment, cluster, lambda: state)
        state = run.state(plain_secrets=secret_revisions.needed(deployment))
        cluster_identity.check_change(clusters.access(deployment, {}), state, cluster)
        preconditions.check_change(deployment, state, self.environments)
        before = stack_outputs(state)
        lost = self._lost_by_up(deployment, state, previewed)
        if lost and not allow_data_loss:
            raise loss_refused(deployment.environment, lost)
        run.empty_on_delete(_buckets(lost))
        volume_sizes.grow(deployment, state)
        with early_context.written(deployment, self.folder, state, run):
            record = run.up(state=state)
        named = deployment if set_names else deployment.model_copy(update={"endpoints": ()})
        with ThreadPoolExecutor(max_workers=1) as pool:
            pointing = pool.submit(self.names.current) if set_names else None
            outputs = run.outputs()
            current = pointing.result() if pointing else {}
        addresses = known_addresses(outputs)
        early_context.write_made(deployment.environment, self.folder, outputs)
        moved = names.changes(named, current, addresses, self.environments.dns)
        plan = plans.done(named, record.steps, before, moved)
        if set_names:
            self.names.write(names.after_up(deployment, current, addresses, self.environments.dns), current)
        return UpResult(addresses, outputs, plan)

    def data_lost_by(self, plan: Plan) -> list[Risk]:
        """The storage with data that `plan` would delete or replace."""
        if not plan.data_at_risk:
            return []
        risks = data_at_risk(self._run(plan.environment, _nothing).state())
        return [risk for risk in risks if risk.subject in plan.data_at_risk]

    def _lost_by_up(self, deployment: Deployment, state: Mapping[str, Any], previewed: Plan | None) -> list[Risk]:
        """A preview costs seconds: it is made only where storage could go."""
        if previewed is None and not may_lose(state, deployment):
            return []
        return self.data_lost_by(previewed or self.plan(deployment))

    def plan_object_storage(self, deployment: Deployment) -> Plan:
        """What `up_object_storage` would do. Raises: as that."""
        run, before = self._object_storage_run(deployment, quiet=True)
        return plans.of_buckets(deployment, run.preview().steps, before)

    def up_object_storage(self, deployment: Deployment) -> Plan:
        """Only the buckets: to fill them before the workloads start. Whatever else is up stays as it is.

        Raises: UsageError where there are none, or the environment is in another region or account, and as `up`.
        """
        run, before = self._object_storage_run(deployment)
        return plans.of_buckets(deployment, run.up().steps, before)

    def _object_storage_run(self, deployment: Deployment, *, quiet: bool = False) -> tuple[StackRun, dict[str, Any]]:
        """The run, and the stack's outputs before it."""
        if not deployment.object_stores:
            raise UsageError(
                f"{self.mesh} has no object storage",
                hint=f"`meshctl up {deployment.environment}` brings up the rest",
            )
        state = self._run(deployment.environment, _nothing).state()
        preconditions.check_object_storage(deployment, state, self.environments)
        before = stack_outputs(state)

        def program() -> None:
            run.checked(run.refuse_unspared)
            stacks.buckets.declare_alone(deployment, before)

        run = self._run(deployment.environment, program, quiet=quiet, only=stacks.buckets.names(deployment))
        return run, before

    def data_held(self, environment: str) -> list[str]:
        """The storage that `destroy` would lose the content of. Raises: UsageError as `destroy` does."""
        state = self._run(environment, _nothing).state()
        preconditions.check_destroy(environment, state)
        return [risk.subject for risk in data_at_risk(state)]

    def destroy_plan(self, environment: str) -> list[Step]:
        """What `destroy` would delete."""
        run = self._run(environment, _nothing, quiet=True)
        return deletions(run.preview_destroy()) if run.state().get("resources") else []

    def destroy(self, environment: str, *, allow_data_loss: bool = False) -> Recorder:
        """Delete everything of the environment, and the names that point at it.

        Raises: ProtectedDataError when storage holds data and `allow_data_loss` is False, UsageError when the
        credentials are of another account or the kubeconfig leads to another cluster; nothing is touched then.
        """
        run = self._run(environment, _nothing)
        state = run.state()
        preconditions.check_destroy(environment, state)
        risks = data_at_risk(state)
        if risks and not allow_data_loss:
            raise ProtectedDataError(
                f"{environment} holds data: {', '.join(f'{risk.subject} ({risk.what})' for risk in risks)}",
                why="`destroy` deletes no data unless told to",
                hint=f"`meshctl migrate` moves it; `meshctl destroy {environment} --allow-data-loss` deletes it",
            )
        self.names.drop(environment)
        record = self._destroy(run, state, risks)
        kubeconfig.remove_context(self.folder, environment)
        return record

    def retire(self, deployment: Deployment, *, keep_data: bool) -> None:
        """Destroy the environment, with the names that still point at it: those of endpoints that the mesh no longer
        has. With `keep_data`, buckets that hold data stay, in the stack too.

        They are let go by the destroy and taken back by name: the engine can't delete a cluster beside resources that
        it is to keep. Killed in between, the next `retire` finds those that the state no longer has by their tags.
        """
        run = self._run(deployment.environment, _nothing)
        preconditions.check_destroy(deployment.environment, run.state())
        state = run.settled()  # what a killed run was taking back is in the state then, and is kept like the rest
        risks = data_at_risk(state)
        self.names.drop(deployment.environment)
        if keep_data:
            self._destroy_but_data(run, state, risks, deployment)
        else:
            self._destroy(run, state, risks)
        kubeconfig.remove_context(self.folder, deployment.environment)

    def _destroy_but_data(
        self, run: StackRun, state: Mapping[str, Any], risks: list[Risk], deployment: Deployment
    ) -> None:
        kept = {risk.store.name for risk in risks if risk.store is not None} | let_go(deployment, state)
        run.retain(frozenset(risk.urn for risk in risks))
        if state.get("resources"):
            run.destroy()
        stores = tuple(store for store in deployment.object_stores if store.name in kept)
        if stores:
            self.up_object_storage(deployment.model_copy(update={"object_stores": stores}))

    def _destroy(self, run: StackRun, state: Mapping[str, Any], risks: list[Risk]) -> Recorder:
        """Delete everything. Buckets with data are emptied once nothing in the cluster writes to them any more."""
        run.empty_on_delete(_buckets(risks))
        return run.destroy(state=state) if state.get("resources") else Recorder()

    def forget_cluster(self, environment: str, declared: ClusterAccess | None) -> None:
        """Drop from the state what is in a cluster that is gone for good. `declared`: the one that the file names.

        Raises: UsageError when there is nothing to forget, or the cluster is still there.
        """
        run = self._run(environment, _nothing)
        there = cluster_identity.saved(environment, run.state())
        cluster_identity.refuse_forgetting(there, environment, declared)
        run.rewrite(cluster_identity.without_cluster)

    def settled(self, deployment: Deployment) -> Deployment:
        """The deployment with what only this machine and the state know: endpoints of profiles, names of buckets.

        Raises: CredentialsError, UsageError as `object_access.with_endpoints` does.
        """
        declared = self.environments.environments.get(deployment.environment)
        if isinstance(declared, AwsEnvironment):
            if declared.account is None:  # the names are then what they have always been
                return deployment
            return object_access.with_saved_names(deployment, self._run(deployment.environment, _nothing).state())
        return object_access.with_endpoints(deployment)

    def outputs(self, environment: str) -> dict[str, Any]:
        """The environment's stack outputs; empty when it was never brought up, or only parts of it were."""
        state = self.state(environment)
        return stack_outputs(state) if presence(state) is Presence.WHOLE else {}

    def state(self, environment: str) -> dict[str, Any]:
        """The environment's state, as `StackRun.state` has it."""
        return self._run(environment, _nothing).state()

    def others(self) -> tuple[Other, ...]:
        """What is up in the state, and no environment of the files stands for."""
        own = self.backend.is_own
        stacks = self._run(names.EDGE, _nothing).stacks(all_projects=own)
        return others(stacks, self.mesh, self.environments.environments)

    def deployed(self, environment: str) -> Deployment | None:
        """What the last `up` declared there, whether or not all of it succeeded."""
        found = self.outputs(environment).get("deployment")
        return Deployment.model_validate(found) if found else None

    def _environment_run(
        self,
        deployment: Deployment,
        cluster: str,
        state: Callable[[], Mapping[str, Any]],
        *,
        quiet: bool = False,
    ) -> StackRun:
        """`cluster`: the UID of an existing cluster, which the state keeps; empty on AWS. `state`: waits for the
        stack's state, which the program needs on AWS and where there are secrets."""
        values = secret_values.collect(deployment, self.environments)
        identity = {"cluster_uid": cluster} if cluster else {}

        def program() -> None:
            if self.check is not None:
                run.checked(self.check)
            late: dict[str, Any] = {name: pulumi.Output.secret(value) for name, value in values.items()}
            if values:
                late |= secret_revisions.revisions(deployment, values, state())
            declared = upgrade.kept(deployment, state()) if deployment.provider == "aws" else deployment
            _DECLARE[deployment.provider](declared, late, self.ready_timeout_s, **identity)

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
        return StackRun(opened, self.program, on_progress, self.break_lock, command=self.command, only=only)


def _buckets(risks: list[Risk]) -> frozenset[str]:
    return frozenset(risk.urn for risk in risks if risk.store is not None)


def deletions(record: Recorder) -> list[Step]:
    """What a run deleted of what `up` made."""
    return [step for step in record.steps if step.action == "delete" and not step.is_engine_own]


def _nothing() -> None:
    """For runs that only read or delete: they need no program."""
    raise EngineError("this run has no program")  # the engine never calls it: destroy and export take the state alone
