"""Runs the engine on one stack: preview, up, destroy, read. Recovers after a crash. EDGE.

Called by `session`. A `kill -9` may leave three things: the lock of a dead process, pending operations in the state,
and an engine that is still finishing. Each is handled only when it gets in the way, so that an ordinary run does no
extra work.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pulumi import automation

from meshctl.changes.steps import Step, resource_name
from meshctl.engine import drift, failures, pending, running_engines
from meshctl.engine.command import PulumiProgram
from meshctl.engine.events import OnProgress, Progress, Recorder
from meshctl.engine.job_rerun import JobRerun
from meshctl.engine.workspace import EngineStack
from meshctl.errors import EngineError, InterruptedByUserError, LockedError, MeshError
from meshctl.model.stack_state import STACK_TYPE, Resource, StackOutputs, StackState
from meshctl.words import pluralize

FINISHING_TIMEOUT_S = 180  # how long an interrupted run on the same machine may need to save its state
STUCK_S = 5  # time without any event after which the engine counts as stuck

_Urns = list[str] | None


@dataclass(frozen=True)
class StackRun:
    """A stack and how to run it.

    `parallel`: the number of resources processed at the same time; `command`: the user's command, for runs that are a
    part of several commands; `only`: the names of the resources that the program declares, if it declares only a part
    of the stack. All other resources stay unchanged then.
    """

    stack: EngineStack
    pulumi: PulumiProgram
    on_progress: OnProgress | None = None
    break_lock: bool = False
    parallel: int = 32
    command: str = "status"
    only: frozenset[str] | None = None
    platform: str = ""  # the platform whose APIs the run calls, for hints; "" for none in particular
    _excluded: set[str] = field(default_factory=set, init=False)
    _refusals: list[MeshError] = field(default_factory=list, init=False)

    @property
    def name(self) -> str:
        return self.stack.name

    @property
    def _place(self) -> str:
        """The name of the state in errors."""
        return f"the state of {self.name}"

    def preview(self, *, refresh: bool = False, without_cluster: bool = False) -> Recorder:
        """What `up` would do, with `refresh` on a refreshed state. The state itself is not changed.

        `without_cluster`: the cluster is known to be gone, so its objects count as deleted without being read.
        Raises: EngineError and its leaves.
        """
        excluded = self._excluded_urns()

        def act(record: Recorder) -> None:
            self.stack.preview(
                on_event=record,
                parallel=self.parallel,
                exclude=excluded,
                refresh=refresh,
                without_cluster=without_cluster,
            )

        return self._run("plan", act)

    def compare(self, urns: Collection[str]) -> list[Step]:
        """What has changed about these resources since the last `up`, as their APIs say; the state is not changed.

        Raises: EngineError and its leaves.
        """
        return self._run(
            "plan", lambda record: self.stack.compare(list(urns), record, self.parallel), quiet=True
        ).results

    def reread(self, urns: Collection[str]) -> list[Step]:
        """As `compare`, and update the state accordingly."""
        return self._run(
            self.command, lambda record: self.stack.reread(list(urns), record, self.parallel), quiet=True
        ).results

    def mark_changed(self, urns: frozenset[str]) -> None:
        """Mark these resources, so that the next `up` updates them although their inputs are unchanged."""

        def marked(resource: Resource) -> Resource:
            other_errors = [error for error in resource.init_errors if error != drift.CHANGED_OUTSIDE]
            return resource.with_fields(initErrors=[*other_errors, drift.CHANGED_OUTSIDE])

        self.rewrite(lambda state: state.with_changed(urns, marked))

    def up(self, *, state: StackState | None = None) -> Recorder:
        """Apply. Independent resources go on when one fails. `state`: what `state()` returned a moment ago, if it was
        read.

        Raises: ResourcesFailedError and the others.
        """
        self._recover_interrupted("up", state)
        return self._up(exclude=self._excluded_urns())

    def up_of(self, urns: Collection[str], *, state: StackState) -> Recorder:
        """Apply what is declared of these resources; everything else is unchanged. Raises: as `up`."""
        self._recover_interrupted("up", state)
        return self._up(target=list(urns))

    def rerun_job(self, rerun: JobRerun, *, state: StackState) -> Recorder:
        """Replace a Job and update the Secrets that it reads; everything else is unchanged.

        If the run is killed in between, the next `up` completes it. Raises: as `up`.
        """
        self._recover_interrupted("up", state)
        return self._up(target=[*rerun.read_by_pods, rerun.job, *rerun.releases], replace=[rerun.job])

    def _up(self, *, exclude: _Urns = None, target: _Urns = None, replace: _Urns = None) -> Recorder:
        """Apply the whole stack, but for what is excluded, or the targets alone; `replace`: which are made anew."""

        def act(record: Recorder) -> None:
            with self._interrupted_when_stuck(record):
                self.stack.up(
                    on_event=record,
                    parallel=self.parallel,
                    continue_on_error=True,
                    suppress_outputs=True,
                    suppress_progress=True,
                    exclude=exclude,
                    target=target,
                    replace=replace,
                )

        return self._run("up", act)

    @contextmanager
    def _interrupted_when_stuck(self, record: Recorder) -> Iterator[None]:
        """Interrupt the engine when a delete within a replacement has failed and everything else is done.

        With `continue_on_error` the engine (3.259.0: `DeleteStep.Fail`) then never answers the program, which waits for
        the new resource, so both would wait for ever. The failure itself is reported as usual.
        """
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(1):
                if record.is_stuck(STUCK_S):
                    self.pulumi.finish()

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            ended.set()
            watcher.join()

    def destroy(self, *, state: StackState | None = None) -> Recorder:
        """Delete every resource of the stack; its name and history stay. `state`: as for `up`."""
        self._recover_interrupted("destroy", state)
        return self._run(
            "destroy",
            lambda record: self.stack.destroy(
                on_event=record,
                parallel=self.parallel,
                continue_on_error=True,
                suppress_progress=True,
            ),
        )

    def retain(self, urns: frozenset[str]) -> None:
        """Set retainOnDelete on these resources and on no others: `destroy` drops them from the state, and the real
        ones stay."""

        def change(state: StackState) -> StackState:
            return state.with_resources(each.with_fields(retainOnDelete=each.urn in urns) for each in state.resources)

        self.rewrite(change)

    def leave(self, urns: frozenset[str]) -> None:
        """Mark resources in the state so that the real ones stay when they are removed. `up` removes the mark from one
        that is declared."""
        if urns:
            self.rewrite(lambda state: state.with_changed(urns, lambda each: each.with_fields(retainOnDelete=True)))

    def empty_on_delete(self, urns: frozenset[str]) -> None:
        """Mark buckets in the state so that they are emptied when they are deleted, after everything that writes to
        them. `up` removes the mark from a bucket that stays."""
        if not urns:
            return

        def emptied(resource: Resource) -> Resource:
            return resource.with_fields(inputs={**resource.inputs, "ForceDestroy": True})

        self.rewrite(lambda state: state.with_changed(urns, emptied))

    def rewrite(self, change: Callable[[StackState], StackState | None]) -> None:
        """Replace the state by the result of `change`; None leaves it. The real resources are not changed.

        `change` gets pending operations of an interrupted run as marks, because a rewrite would drop them.
        """
        self._run(self.command, lambda _: self._rewrite(lambda state: change(pending.with_interruption_marks(state))))

    def _rewrite(self, change: Callable[[StackState], StackState | None]) -> None:
        """Raises: `automation.CommandError`, and as `StackState.read`, before anything is written."""

        def changed(record: Mapping[str, Any]) -> dict[str, Any] | None:
            state = change(StackState.read(record, self._place))
            return state.written() if state is not None else None

        self.stack.rewrite(changed)

    def preview_destroy(self) -> Recorder:
        return self._run("destroy", lambda record: self.stack.preview_destroy(on_event=record, parallel=self.parallel))

    def state(self, *, plain_secrets: bool = False) -> StackState:
        """The current state; an empty one when the stack is new.

        Raises: NewerVersionError, UnreadableError, EngineError and its leaves.
        """
        self._check_interrupted(self.command)
        try:
            exported = self.stack.exported(plain_secrets=plain_secrets)
        except automation.StackNotFoundError:
            return StackState()
        except automation.CommandError as error:
            raise self._error(self.command, error, Recorder()) from error
        return StackState.read(exported.get("deployment") or {}, self._place)

    def recovered_state(self) -> StackState:
        """The state after the pending operations of a killed run, if there are any, were resolved."""
        state = self.state()
        if not pending.is_interrupted(state):
            return state
        self._recover_interrupted(self.command, state)
        return self.state()

    def stacks(self, *, all_projects: bool) -> dict[str, int]:
        """The number of resources by stack of the project; stacks of others are named ORGANIZATION/PROJECT/NAME.

        Raises: EngineError and its leaves.
        """
        self._check_interrupted(self.command)
        try:
            summaries = self.stack.workspace.list_stacks(include_all=all_projects)
        except automation.CommandError as error:
            raise self._error(self.command, error, Recorder()) from error
        return {stack.name: stack.resource_count or 0 for stack in summaries}

    def _excluded_urns(self) -> list[str] | None:
        """URNs to pass as `exclude` when only a part of the stack is run. None when the whole stack is run, or nothing
        needs excluding."""
        if self.only is None:
            return None
        self._excluded.clear()
        self._excluded.update(_all_but(self.only, self.state()))
        return sorted(self._excluded) or None

    def refuse_newly_made(self) -> None:
        """Called by the program of a part of the stack, while the state is locked.

        Raises: LockedError when another run has created resources since the excluded ones were listed. The engine would
        delete them, as they are neither declared nor excluded.
        """
        newly_made = sorted({*_all_but(self.only or (), self.state())} - self._excluded)
        if newly_made:
            raise LockedError(
                f"another run has changed {self.name} meanwhile: {resource_name(newly_made[0])}",
                hint="run the command again",
            )

    def run_check(self, check: Callable[[], None]) -> None:
        """Called by programs before they declare anything: call `check`, whose error becomes the error of the run."""
        try:
            check()
        except MeshError as refusal:
            self._refusals.append(refusal)  # the engine reports only its text
            raise

    def outputs(self) -> StackOutputs:
        """The stack's outputs; none when the stack is new."""
        return self.state().outputs

    def _run(self, operation: str, act: Callable[[Recorder], Any], *, quiet: bool = False) -> Recorder:
        deadline = time.monotonic() + FINISHING_TIMEOUT_S
        while True:
            self._check_interrupted(operation)
            record = Recorder(None if quiet else self.on_progress)
            try:
                act(record)
            except automation.StackNotFoundError:
                self.stack.workspace.create_stack(self.name)
                continue
            except automation.CommandError as error:
                if self._unlock(error, deadline):
                    continue
                raise self._error(operation, error, record) from error
            return record

    def _check_interrupted(self, operation: str) -> None:
        """Raises: InterruptedByUserError when the user has interrupted an earlier engine of this command."""
        if self.pulumi.interrupted:
            raise self._interrupted(operation)

    def _interrupted(self, operation: str) -> InterruptedByUserError:
        what = f"{operation} {self.name} was interrupted"
        if operation not in ("up", "destroy"):
            return InterruptedByUserError(what)
        finished = "the engine has finished what was in flight and saved its state"
        killed = "the engine was killed; the next run looks for what it had begun"
        return InterruptedByUserError(
            what,
            why=killed if self.pulumi.killed else finished,
            hint=f"`meshctl {operation} {self.name}` goes on from there",
        )

    def _error(self, operation: str, error: automation.CommandError, record: Recorder) -> MeshError:
        if self.pulumi.interrupted:
            return self._interrupted(operation)
        if self._refusals:
            return self._refusals.pop()
        return failures.error_of(self.name, operation, str(error), record.diagnostics, record.failed, self.platform)

    def _unlock(self, error: automation.CommandError, deadline: float) -> bool:
        """Whether to try again after a run that failed because the stack is locked.

        Yes if the lock belongs to a process that has ended, or to an interrupted run of ours that is still saving its
        state.
        """
        owner = failures.lock_owner(str(error))
        if owner is None:
            return False
        _, host, pid, _ = owner
        engine = running_engines.running_engine(pid) if host == socket.gethostname() else None
        if engine is not None and running_engines.is_orphan(engine) and time.monotonic() < deadline:
            self._say(f"an interrupted run (pid {pid}) is still saving its state; waiting for it")
            time.sleep(1)
            return True
        if self.break_lock or (host == socket.gethostname() and engine is None):
            self.stack.cancel()
            return True
        return False

    def _recover_interrupted(self, operation: str, state: StackState | None) -> None:
        """Find out what became of the pending operations of a killed run, and update the state accordingly.

        If they were just dropped, a resource that a create has made would be orphaned, and an update that has since
        been reverted in the mesh would never be undone. If this is killed, or an API refuses to answer, the marks of
        `pending` stay in the state, and the next run tries again. Raises: EngineError and its leaves; nothing was
        changed then.
        """
        if state is not None and not pending.is_interrupted(state):
            return
        urns: list[str] = []

        def mark(state: StackState) -> StackState | None:
            urns[:] = pending.interrupted_urns(pending.with_interruption_marks(state))
            return pending.with_interruption_marks(state) if state.pending_operations else None

        # the state is read again at each try: while this waited for a lock, its owner has written another one
        self._run(operation, lambda _: self._rewrite(mark))
        if not urns:
            return
        self._say(f"{pluralize(len(urns), 'resource')} of an interrupted run: reading what became of them")
        # quiet: the engine reports resources that were never made as deleted
        self._run(operation, lambda record: self.stack.reread(urns, record, self.parallel), quiet=True)
        self._refuse_placeholders(operation)

    def _refuse_placeholders(self, operation: str) -> None:
        """Raises: EngineError when placeholders are left: the engine would take them for existing resources."""
        left = pending.placeholders(self.state())
        if left:
            raise EngineError(
                f"{operation} {self.name}: can't find out whether {resource_name(left[0])} exists",
                why="an interrupted run had begun to create it, and its provider gave no answer about it",
                hint="run the command again; nothing was changed",
            )

    def _say(self, text: str) -> None:
        if self.on_progress is not None:
            self.on_progress(Progress("engine", self.name, "message", text))


def _all_but(names: Collection[str], state: StackState) -> list[str]:
    """The URNs of a state's resources, except those with these names and the stack itself."""
    return [each.urn for each in state.resources if each.type != STACK_TYPE and each.name not in names]
