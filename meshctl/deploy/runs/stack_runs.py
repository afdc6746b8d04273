"""Makes the runs of the stacks of one mesh, and reads their state: what every command on a stack needs. EDGE.

`Session` is made of it, and `environment_plan` and `environment_up` run stacks through it. There is one stack for each
environment, and one for the DNS records.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from meshctl import secret_variables
from meshctl.deploy import live_platform, own_credentials
from meshctl.deploy.endpoints import proof_zones
from meshctl.deploy.guards import hosted_zone, preflight
from meshctl.deploy.guards.running.pools import pools_in_place
from meshctl.deploy.jobs.finished_jobs import UnchangedJobs
from meshctl.deploy.runs import early_context
from meshctl.deploy.runs.environment_program import declare_environment
from meshctl.deploy.secrets import secret_values
from meshctl.dns import records
from meshctl.dns.endpoint_records import EndpointRecords
from meshctl.engine import workspace
from meshctl.engine.command import PulumiProgram
from meshctl.engine.events import OnProgress
from meshctl.engine.run import StackRun
from meshctl.errors import EngineError
from meshctl.model.deployment import Deployment
from meshctl.model.environment import Environments
from meshctl.model.observed import ShiftsInForce
from meshctl.model.questions import Findings
from meshctl.model.releases import LivePlatform
from meshctl.model.stack_state import StackState


@dataclass
class StackRuns:
    """The stacks of one mesh, and the settings of the command that runs them. `folder` holds mesh.yaml and
    `.meshctl/`."""

    folder: Path
    mesh: str
    environments: Environments
    on_progress: OnProgress | None = None
    break_lock: bool = False
    command: str = "status"  # the command that the user gave, for errors
    ready_timeout_s: int = 0  # how long each Kubernetes object may take to become ready; 0: the provider's own limits
    take_over: tuple[str, ...] = ()  # fields of other programs that an `up` may set: SUBJECT or SUBJECT:FIELD
    refresh: bool = True  # whether a plan and an `up` check for drift first
    refresh_images: bool = False  # whether nodes and add-ons move to the newest releases
    check: Callable[[], None] | None = None  # raises what forbids an `up`; called while the state is locked
    # what its plan says beside its changes, found when the environment was resolved: what could not be read, and what
    # the mesh does not say
    remarks: dict[str, tuple[str, ...]] = field(default_factory=dict)
    # what shifts have changed in an environment, from their journals, which are read above this layer
    shifts_in_force: Callable[[str], ShiftsInForce] = lambda _environment: ShiftsInForce()
    program: PulumiProgram = field(default_factory=workspace.pulumi_program)
    # what platforms have answered, by the digest of the deployment: a command that plans and brings up asks once
    _findings: dict[str, Findings] = field(default_factory=dict)
    _live: dict[str, LivePlatform] = field(default_factory=dict)  # what runs there, in the same way
    _asking: threading.Lock = field(default_factory=threading.Lock)  # of `_live`

    def __post_init__(self) -> None:
        # kubeconfigs for EKS call `meshctl`: the clients here and the engine's plugins must find this installation
        os.environ["PATH"] = workspace.path_with_meshctl()
        own_credentials.make_in_process()
        secret_variables.withdraw(self.environments.secret_variables)

    @property
    def dns_records(self) -> EndpointRecords:
        """The DNS records of the endpoints, which have a stack of their own."""
        return EndpointRecords(self.mesh, self.environments.dns, lambda program: self.stack_run(records.EDGE, program))

    @property
    def backend(self) -> workspace.Backend:
        """Where the stacks' states are kept, and what encrypts their secrets."""
        state = self.environments.state
        return workspace.Backend(state.backend, state.secrets, self.folder)

    def state(self, environment: str) -> StackState:
        """The environment's state. Raises: as `StackRun.state`."""
        return self.stack_run(environment, None).state()

    def other_states(self, environment: str) -> list[StackState]:
        """The states of all other environments of the files."""
        return [self.state(name) for name in self.environments.environments if name != environment]

    def ask_platform(self, deployment: Deployment, state: StackState) -> Findings:
        """What the environment's platform answers about `deployment`, of which `state` is up. It is asked once.

        Raises: nothing but for mistakes of ours: a service that can't be asked is named in the notes.
        """
        if deployment.digest not in self._findings:
            dns = self.environments.dns  # the zone may be another profile's
            of_zone = _beside(lambda: hosted_zone.ask(deployment, state.deployment, dns))
            findings = preflight.ask(deployment, pools_in_place.in_place(state)) | of_zone.result()
            self._findings[deployment.digest] = findings.of_a_plan() if self.command == "plan" else findings
        return self._findings[deployment.digest]

    def forget_answers(self) -> None:
        """Let the next `ask_platform` ask again, because a run has shown that an answer no longer holds."""
        self._findings.clear()

    def placed(self, deployment: Deployment, state: StackState, findings: Findings) -> Deployment:
        """The deployment in the zones that have its machines; with the newest releases where somebody asked for
        them."""
        placed = findings.placed(deployment)
        return self._ask_what_runs(deployment, state).refreshed(placed) if self.refresh_images else placed

    def live_notes(self, deployment: Deployment, state: StackState, *, looks: bool) -> tuple[str, ...]:
        """What is said of the releases that run and of live counts. `looks`: whether the platform is asked although
        nobody wants newer releases."""
        if self.refresh_images:
            live = self._ask_what_runs(deployment, state)
            return (*live_platform.refresh_notes(deployment, state, live), *live.notes)
        if not looks:
            return ()
        live = self._ask_what_runs(deployment, state)
        return (*live.newer_notes(deployment.environment), *live.count_notes(deployment), *live.notes)

    def _ask_what_runs(self, deployment: Deployment, state: StackState) -> LivePlatform:
        with self._asking:
            if deployment.digest not in self._live:
                self._live[deployment.digest] = live_platform.ask(deployment, state)
            return self._live[deployment.digest]

    def environment_run(
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
        None for a preview whose cluster doesn't answer. `keep_marks`: as for `environment_up.up`. `placed`: the
        deployment with its pools in the zones that have their machines. It, `state`, `kept_values` (see
        `Ownership.kept_values`) and `unchanged_jobs` are called by the program while the engine runs, so that reading
        them and starting the engine overlap.
        """
        secrets = secret_values.collect(deployment, self.environments)

        def program() -> None:
            if self.check is not None:
                run.run_check(self.check)
            zones: dict[str, str] = {}
            if any(endpoint.certificate for endpoint in placed().endpoints):
                run.run_check(lambda: zones.update(proof_zones.deferred_values(placed(), state(), is_preview=quiet)))
            declare_environment(
                placed(),
                state(),
                secrets,
                zones,
                kept_values(),
                unchanged_jobs(),
                cluster=cluster,
                keep_marks=keep_marks,
                ready_timeout_s=self.ready_timeout_s,
            )

        on_progress = early_context.progress_writing_context(deployment, self.folder, self.on_progress)
        run = self.stack_run(deployment.environment, program, quiet=quiet, on_progress=on_progress)
        return run

    def stack_run(
        self,
        stack: str,
        program: Callable[[], None] | None,
        *,
        quiet: bool = False,
        only: frozenset[str] | None = None,
        on_progress: OnProgress | None = None,
    ) -> StackRun:
        """A run of one stack. `program`: None for a run that only reads or deletes, which needs the state alone.

        `only`: the names of the resources that the program declares, when that is a part of the stack. `quiet`: report
        no progress.
        """
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


def _beside(ask: Callable[[], Findings]) -> Future[Findings]:
    """Asks in a daemon thread: unlike those of an executor, neither an interrupt nor the end of the program waits for
    it."""
    future: Future[Findings] = Future()

    def answer() -> None:
        try:
            future.set_result(ask())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=answer, daemon=True).start()
    return future
