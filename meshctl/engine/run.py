"""One engine run on one stack: preview, up, destroy, read; goes on after a crash. EDGE.

Called by `session`. After a `kill -9` three things may be left: a lock of a dead process, operations that the state
calls pending, and an engine that is still finishing. Each is looked for when it shows itself, so a run that finds
nothing of it pays nothing.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psutil
from pulumi import automation

from meshctl.changes.steps import Step, resource_name
from meshctl.engine import drift, failures, pending
from meshctl.engine.command import STARTED_BY, PulumiProgram
from meshctl.engine.events import OnProgress, Progress, Recorder
from meshctl.engine.job_rerun import JobRerun
from meshctl.engine.workspace import EngineStack
from meshctl.errors import EngineError, InterruptedByUserError, LockedError, MeshError
from meshctl.model.stack_state import STACK_TYPE, Resource, StackOutputs, StackState
from meshctl.words import pluralize

FINISHING_TIMEOUT_S = 180  # how long an interrupted run of the same machine may need to save its state
STUCK_S = 5  # without any event, after which the engine is taken to wait for what never comes


@dataclass(frozen=True)
class StackRun:
    """A stack and how to run it. `parallel` is the number of resources worked on at once; `command` what the user
    asked for, where a run may be part of several commands; `only` the names of what the program declares, where that is
    a part of the stack: the rest stays as it is."""

    stack: EngineStack
    pulumi: PulumiProgram
    on_progress: OnProgress | None = None
    break_lock: bool = False
    parallel: int = 32
    command: str = "status"
    only: frozenset[str] | None = None
    platform: str = ""  # whose APIs the run calls, for hints; "" for none in particular
    _excluded: set[str] = field(default_factory=set, init=False)
    _refusals: list[MeshError] = field(default_factory=list, init=False)

    @property
    def name(self) -> str:
        return self.stack.name

    @property
    def _place(self) -> str:
        """What the state is called in an error."""
        return f"the state of {self.name}"

    def preview(self, *, refresh: bool = False, without_cluster: bool = False) -> Recorder:
        """What `up` would do, with `refresh` over the state as the APIs tell it. The state stays as it is.

        `without_cluster`: the cluster is known to be gone, and with it all objects in it, which nobody can ask about.
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
        """What became of these resources of the state since the last `up`, as their APIs tell it; the state stays.

        Raises: EngineError and its leaves.
        """
        return self._run(
            "plan", lambda record: self.stack.compare(list(urns), record, self.parallel), quiet=True
        ).results

    def reread(self, urns: Collection[str]) -> list[Step]:
        """As `compare`, and the state is brought in line with it."""
        return self._run(
            self.command, lambda record: self.stack.reread(list(urns), record, self.parallel), quiet=True
        ).results

    def mark_changed(self, urns: frozenset[str]) -> None:
        """Have the next `up` set these resources as declared, though their inputs are the same."""

        def marked(resource: Resource) -> Resource:
            others = [error for error in resource.init_errors if error != drift.CHANGED_OUTSIDE]
            return resource.with_fields(initErrors=[*others, drift.CHANGED_OUTSIDE])

        self.rewrite(lambda state: state.with_changed(urns, marked))

    def up(self, *, state: StackState | None = None) -> Recorder:
        """Apply. Independent resources go on when one fails. `state`: what `state()` has just said, where it was asked.

        Raises: ResourcesFailedError and the others.
        """
        self._recover_interrupted("up", state)
        excluded = self._excluded_urns()

        def act(record: Recorder) -> None:
            with self._ended_when_stuck(record):
                self.stack.up(
                    on_event=record,
                    parallel=self.parallel,
                    continue_on_error=True,
                    suppress_outputs=True,
                    suppress_progress=True,
                    exclude=excluded,
                )

        return self._run("up", act)

    def rerun_job(self, rerun: JobRerun, *, state: StackState) -> Recorder:
        """Delete a Job and make it anew, with the Secrets that it reads as declared; all else stays as it is. A run
        that was killed in between is brought to its end by `up`. Raises: as `up`."""
        self._recover_interrupted("up", state)

        def act(record: Recorder) -> None:
            with self._ended_when_stuck(record):
                self.stack.up(
                    on_event=record,
                    parallel=self.parallel,
                    continue_on_error=True,
                    suppress_outputs=True,
                    suppress_progress=True,
                    target=[*rerun.secrets, rerun.job],
                    replace=[rerun.job],
                )

        return self._run("up", act)

    @contextmanager
    def _ended_when_stuck(self, record: Recorder) -> Iterator[None]:
        """Have the engine finish when a delete within a replacement failed and all else is done.

        With `continue_on_error` the engine (3.259.0: `DeleteStep.Fail`) then never answers the program, which waits for
        the new resource; so both would wait for ever. What failed is reported as it is without this.
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
        """Have `destroy` let go of these resources, and of no others, without deleting what they stand for."""

        def change(state: StackState) -> StackState:
            return state.with_resources(each.with_fields(retainOnDelete=each.urn in urns) for each in state.resources)

        self.rewrite(change)

    def empty_on_delete(self, urns: frozenset[str]) -> None:
        """Mark buckets in the state so that their content goes with them, when their turn to be deleted comes: after
        everything that writes to them. `up` takes the mark from a bucket that stays."""
        if not urns:
            return

        def emptied(resource: Resource) -> Resource:
            return resource.with_fields(inputs={**resource.inputs, "ForceDestroy": True})

        self.rewrite(lambda state: state.with_changed(urns, emptied))

    def rewrite(self, change: Callable[[StackState], StackState | None]) -> None:
        """Replace the state by what `change` makes of it; None leaves it. Nothing that it stands for is touched.

        `change` gets the operations of an interrupted run as marks: a rewrite would drop them otherwise.
        """
        self._run(self.command, lambda _: self._rewrite(lambda state: change(pending.with_interruption_marks(state))))

    def _rewrite(self, change: Callable[[StackState], StackState | None]) -> None:
        """Raises: `automation.CommandError`, and what `StackState.read` raises, before anything is written."""

        def changed(record: Mapping[str, Any]) -> dict[str, Any] | None:
            state = change(StackState.read(record, self._place))
            return state.written() if state is not None else None

        self.stack.rewrite(changed)

    def preview_destroy(self) -> Recorder:
        return self._run("destroy", lambda record: self.stack.preview_destroy(on_event=record, parallel=self.parallel))

    def state(self, *, plain_secrets: bool = False) -> StackState:
        """The state as it is now; an empty one when the stack is new.

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
        """The state, with what became of the operations that a killed run had begun."""
        state = self.state()
        if not pending.is_interrupted(state):
            return state
        self._recover_interrupted(self.command, state)
        return self.state()

    def stacks(self, *, all_projects: bool) -> dict[str, int]:
        """The number of resources in each stack of the project, by name; those of others are ORGANIZATION/PROJECT/NAME.

        Raises: EngineError and its leaves.
        """
        self._check_interrupted(self.command)
        try:
            found = self.stack.workspace.list_stacks(include_all=all_projects)
        except automation.CommandError as error:
            raise self._error(self.command, error, Recorder()) from error
        return {stack.name: stack.resource_count or 0 for stack in found}

    def _excluded_urns(self) -> list[str] | None:
        """The URNs of everything that a run of a part spares; None for a run of all, or where there is nothing."""
        if self.only is None:
            return None
        self._excluded.clear()
        self._excluded.update(_all_but(self.only, self.state()))
        return sorted(self._excluded) or None

    def refuse_newly_made(self) -> None:
        """For the program of a part of the stack, which runs while nobody else can change the state.

        Raises: LockedError when another run has made something since it was told what to spare: the engine would take
        it for something to delete.
        """
        made = sorted({*_all_but(self.only or (), self.state())} - self._excluded)
        if made:
            raise LockedError(
                f"another run has changed {self.name} meanwhile: {resource_name(made[0])}",
                hint="run the command again",
            )

    def run_check(self, check: Callable[[], None]) -> None:
        """For programs: call `check`, which raises what the run is to end with, before anything is declared."""
        try:
            check()
        except MeshError as refusal:
            self._refusals.append(refusal)  # the engine hands on its words alone
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
        """Between two engines: the next one would know nothing of the interrupt."""
        if self.pulumi.interrupted:
            raise self._interrupted(operation)

    def _interrupted(self, operation: str) -> InterruptedByUserError:
        what = f"{operation} {self.name} was interrupted"
        if operation not in ("up", "destroy"):
            return InterruptedByUserError(what)
        finished = "the engine finished what was in flight and saved its state"
        ended = "the engine was ended at once; the next run looks for what it had begun"
        return InterruptedByUserError(
            what,
            why=ended if self.pulumi.killed else finished,
            hint=f"`meshctl {operation} {self.name}` goes on from there",
        )

    def _error(self, operation: str, error: automation.CommandError, record: Recorder) -> MeshError:
        if self.pulumi.interrupted:
            return self._interrupted(operation)
        if self._refusals:
            return self._refusals.pop()
        return failures.error_of(self.name, operation, str(error), record.diagnostics, record.failed, self.platform)

    def _unlock(self, error: automation.CommandError, deadline: float) -> bool:
        """Whether it is worth trying again: a lock of a process that is gone, or one of ours that is about to
        finish."""
        owner = failures.lock_owner(str(error))
        if owner is None:
            return False
        _, host, pid, _ = owner
        engine = _engine(pid) if host == socket.gethostname() else None
        if engine is not None and _is_orphan(engine) and time.monotonic() < deadline:
            self._say(f"an interrupted run (pid {pid}) is still saving its state; waiting for it")
            time.sleep(1)
            return True
        if self.break_lock or (host == socket.gethostname() and engine is None):
            self.stack.cancel()
            return True
        return False

    def _recover_interrupted(self, operation: str, state: StackState | None) -> None:
        """Find out what became of the operations that a killed run had begun, and put it into the state.

        With them just dropped, what a create made would be nobody's, and an update that is undone in the mesh meanwhile
        would count as never made. Ended at any moment, or refused by an API, it leaves the marks of `pending` in the
        state, and the next run looks again. Raises: EngineError and its leaves; nothing was changed then.
        """
        if state is not None and not pending.is_interrupted(state):
            return
        urns: list[str] = []

        def mark(state: StackState) -> StackState | None:
            urns[:] = pending.interrupted_urns(pending.with_interruption_marks(state))
            return pending.with_interruption_marks(state) if state.pending_operations else None

        # read anew at each try: while a lock was waited for, its owner has written another state
        self._run(operation, lambda _: self._rewrite(mark))
        if not urns:
            return
        self._say(f"{pluralize(len(urns), 'resource')} of an interrupted run: looking for what it did")
        # quiet: the engine calls deleted what was never made
        self._run(operation, lambda record: self.stack.reread(urns, record, self.parallel), quiet=True)
        self._refuse_placeholders(operation)

    def _refuse_placeholders(self, operation: str) -> None:
        """Raises: EngineError. The engine would take a placeholder for a resource that exists."""
        left = pending.placeholders(self.state())
        if left:
            raise EngineError(
                f"{operation} {self.name}: can't find out whether {resource_name(left[0])} exists",
                why="an interrupted run had begun to create it, and its provider did not answer for it",
                hint="run the command again; nothing was changed",
            )

    def _say(self, text: str) -> None:
        if self.on_progress is not None:
            self.on_progress(Progress("engine", self.name, "message", text))


def _all_but(names: Collection[str], state: StackState) -> list[str]:
    """The URNs of a state's resources, without those of these names and without the stack itself."""
    return [each.urn for each in state.resources if each.type != STACK_TYPE and each.name not in names]


def _engine(pid: int) -> psutil.Process | None:
    """The pulumi program with this process id, if there is one that lives."""
    try:
        process = psutil.Process(pid)
        lives = process.name().startswith("pulumi") and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return None
    return process if lives else None


def _is_orphan(engine: psutil.Process) -> bool:
    """Whether the meshctl that started it is gone: it has another parent now. Engines of others are never called so."""
    try:
        return engine.environ().get(STARTED_BY, str(engine.ppid())) != str(engine.ppid())
    except psutil.Error:
        return False
