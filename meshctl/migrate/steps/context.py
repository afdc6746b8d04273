"""What the functions of a step get: gateway, object stores, plan, history, progress; waiting and retrying. EDGE.

Made by `runner` for each step, and passed to each function of its action.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property, partial
from typing import Any, TypeVar

from meshctl.engine import passing
from meshctl.errors import (
    BusyError,
    CredentialsError,
    InterruptedByUserError,
    LockedError,
    MeshError,
    NotReadyError,
    UnreachableError,
)
from meshctl.migrate.data import Data
from meshctl.migrate.gateway import Gateway
from meshctl.migrate.journal.history import History
from meshctl.migrate.planning.plan import MigrationPlan
from meshctl.migrate.progress import Event, Report
from meshctl.migrate.steps import retries
from meshctl.migrate.steps.order.step import COUNTED, Step
from meshctl.model.deployment import Deployment, Endpoint
from meshctl.model.observed import PodState
from meshctl.objects.progress import Stop
from meshctl.objects.store import ObjectAccess

POLL_S = 2.0
# raised by an `up` of the source, they end a step that need not have all of it: nobody is led to a source that does not
# answer, or that somebody else is changing
STOPPING = (BusyError, CredentialsError, InterruptedByUserError, LockedError, UnreachableError)
_STARTING = frozenset({"quiesce/warm", "start/refresh", "start/target", "rollback/readers", "rollback/source"})
Answer = TypeVar("Answer")


class State(Enum):
    DONE = "done"
    NOT_DONE = "not done"
    AMBIGUOUS = "ambiguous"


@dataclass(frozen=True)
class Observation:
    """Whether the step has already taken effect. If that can't be determined, `reason` and `ask` are for the user."""

    state: State
    reason: str = ""
    ask: str = ""  # what the user should find out: "find out <ask>"


DONE = Observation(State.DONE)
NOT_DONE = Observation(State.NOT_DONE)


@dataclass(frozen=True)
class StepContext:
    """Everything that the functions of one step use."""

    gateway: Gateway
    data: Data
    history: History
    step: Step
    report: Report
    stop: Stop
    started: float
    unanswered: list[str] = field(default_factory=list)  # the reason of each retry of a part of the step
    copied: list[int] = field(default_factory=list)  # [number of objects copied in this try]; [] if unknown

    @property
    def plan(self) -> MigrationPlan:
        return self.history.plan

    @cached_property
    def deployment(self) -> Deployment:
        """The environment that the step acts on, as planned, with the workloads paused that the step pauses."""
        return self.planned_side(self.step.side).paused(self.step.paused).with_least(self.replicas_to_keep)

    @property
    def replicas_to_keep(self) -> dict[str, int]:
        """As many replicas of workloads that follow load as were counted, in steps that start them before names lead to
        their side; none in others. A source that had a part of them, beside an expansion, starts with that part."""
        record = self.history.done.get(self.step.counted or (COUNTED if self.step.name in _STARTING else ""))
        if record is None:
            return {}
        counts = record.data["replicas"]
        if self.step.side == "source":
            counts = record.data.get("at_source", counts)
        return {name: int(count) for name, count in counts.items()}

    def planned_side(self, side: str) -> Deployment:
        """The source or target as planned, and with the jobs marked as finished that have ended since."""
        planned = self.plan.source if side == "source" else self.plan.target
        return planned.finished({**planned.marks, **self.history.finished_meanwhile(side)})

    @property
    def endpoints(self) -> list[Endpoint]:
        """Those that the step asks, watches or moves."""
        return [endpoint for endpoint in self.deployment.endpoints if endpoint.name in self.step.endpoints]

    def has_jobs(self, workloads: Iterable[str]) -> bool:
        return any(self.deployment.workload(name).is_job for name in workloads)

    def alive_pods(self, workload: str) -> list[PodState]:
        """The workload's pods that have not ended."""
        return alive(list(self.gateway.pods(self.deployment, workload)))

    def access(self, side: str, store: str) -> Callable[[], ObjectAccess]:
        return partial(self.gateway.object_access, self.planned_side(side).object_store(store))

    def say(self, text: str) -> None:
        self.emit("message", text=text)

    def on_copied(self, done: int, total: int, objects: int, of_objects: int, eta_s: float | None) -> None:
        self.copied[:] = [max([objects, *self.copied])]
        numbers = {"done_bytes": done, "total_bytes": total, "done_objects": objects, "total_objects": of_objects}
        self.emit("copying", **numbers, eta_s=eta_s)

    def emit(self, kind: Any, **fields: Any) -> None:
        elapsed = self.gateway.now() - self.started
        self.report(Event(kind, self.step.name, self.step.title, elapsed_s=elapsed, **fields))

    def wait_until(self, what: str, reached: Callable[[], str], timeout_s: float, hint: str = "") -> None:
        """Wait until `reached` returns ""; until then it returns what is still missing. While it gets no answer, the
        wait goes on.

        Raises: NotReadyError after `timeout_s`, with the last poll's error as its cause if that had no answer;
        InterruptedByUserError.
        """
        deadline = self.gateway.now() + timeout_s
        reported = ""
        while True:
            missing, no_answer = _poll(reached)
            if not missing:
                return
            self.stop.check()
            if missing != reported:
                self.say(missing)
                reported = missing
            if self.gateway.now() >= deadline:
                what = f"timed out after {timeout_s:.0f} s waiting for {what}"
                raise NotReadyError(what, why=missing, hint=hint) from no_answer
            self.gateway.sleep(POLL_S)

    def with_retries(self, part: Callable[[StepContext], Answer]) -> Answer:
        """The result of a part of the step (`observe`, `act`, …), which is repeated from its beginning while the other
        side does not answer. Raises: NotReadyError if there is no answer for too long; other errors of the part.
        """
        tries = retries.Retries()
        while True:
            began_s = self.gateway.now()
            self.copied.clear()
            try:
                return part(self)
            except MeshError as error:
                if not passing.may_pass(error):
                    raise
                now_s = self.gateway.now()
                tries.add_failure(began_s, now_s, idle=self.copied == [0])
                if tries.is_over(now_s):
                    minutes = (now_s - tries.since_s) / 60
                    what = f"{self.step.title}: no answer for {minutes:.0f} min: {error.what}"
                    raise NotReadyError(what, why=error.why, hint=error.hint) from error
                message = f"{passing.reason(error)}; trying again"
                if self.unanswered[-1:] != [message]:
                    self.say(message)
                self.unanswered.append(message)
            self.pause(tries.pause_s)

    def pause(self, seconds: float) -> None:
        """Sleep, and stop early on Ctrl-C. Raises: InterruptedByUserError."""
        end = self.gateway.now() + seconds
        while (left := end - self.gateway.now()) > 0:
            self.stop.check()
            self.gateway.sleep(min(POLL_S, left))
        self.stop.check()


def _poll(reached: Callable[[], str]) -> tuple[str, MeshError | None]:
    """What is missing, and the error if there was no answer."""
    try:
        return reached(), None
    except MeshError as error:
        if not passing.may_pass(error):
            raise
        return passing.reason(error), error


def nothing(_work: StepContext) -> dict[str, Any]:
    return {}


@dataclass(frozen=True)
class Action:
    """The functions of one kind of step. Each returns data for the journal.

    - `observe` reads, and never changes anything: has the step already taken effect?
    - `before` returns what must be recorded before `act`, because it can't be determined afterwards
    - `act` does the step; repeating it must be harmless
    - `verify` raises an error unless the step has taken effect
    """

    observe: Callable[[StepContext], Observation]
    act: Callable[[StepContext], dict[str, Any]]
    verify: Callable[[StepContext], dict[str, Any]]
    before: Callable[[StepContext], dict[str, Any]] = nothing


def never_done(_work: StepContext) -> Observation:
    """For steps that are checks, and for those whose `act` finds out itself what is left to do."""
    return NOT_DONE


def alive(pods: list[PodState]) -> list[PodState]:
    return [pod for pod in pods if pod.phase not in ("Succeeded", "Failed")]
