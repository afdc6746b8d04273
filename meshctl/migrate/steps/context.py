"""What a step has at hand while it runs: the world, the data, the plan, what happened so far. EDGE by what it holds.

Made by `runner` for each step; the actions take it as their first argument.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import Any, TypeVar

from meshctl.engine import passing
from meshctl.errors import MeshError, NotReadyError
from meshctl.migrate.data import Data
from meshctl.migrate.gateway import Gateway
from meshctl.migrate.journal.history import History
from meshctl.migrate.planning.plan import MigrationPlan
from meshctl.migrate.progress import Event, Report
from meshctl.migrate.steps import retries
from meshctl.migrate.steps.step_plan import Step
from meshctl.model.deployment import Deployment
from meshctl.model.observed import PodState
from meshctl.objects.progress import Stop
from meshctl.objects.store import ObjectAccess

POLL_S = 2.0
Answer = TypeVar("Answer")


class State(Enum):
    DONE = "done"
    NOT_DONE = "not done"
    AMBIGUOUS = "ambiguous"


@dataclass(frozen=True)
class Observation:
    """Whether the step's effect is in the world. `reason` and `ask` are for a person, where it can't be told."""

    state: State
    reason: str = ""
    ask: str = ""  # what to find out


DONE = Observation(State.DONE)
NOT_DONE = Observation(State.NOT_DONE)


@dataclass(frozen=True)
class StepContext:
    """One step's surroundings."""

    gateway: Gateway
    data: Data
    history: History
    step: Step
    report: Report
    stop: Stop
    started: float
    unanswered: list[str] = field(default_factory=list)  # why a part of the step had to be done once more, each time
    copied: list[int] = field(default_factory=list)  # objects in this try; [] where nobody has told

    @property
    def plan(self) -> MigrationPlan:
        return self.history.plan

    @property
    def deployment(self) -> Deployment:
        """The environment that the step acts on, as it is planned, with the step's paused workloads."""
        return self.planned_side(self.step.side).paused(self.step.paused)

    def planned_side(self, side: str) -> Deployment:
        """That side as it is planned, with the marks of jobs that have ended since."""
        planned = self.plan.source if side == "source" else self.plan.target
        return planned.finished({**planned.marks, **self.history.finished_meanwhile(side)})

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
        """Wait until `reached` returns "" (otherwise: what is still missing). An answer that does not come is one that
        is missing, too. Raises: NotReadyError, caused by the last look's error if that is what it ended with;
        Interrupted…
        """
        deadline = self.gateway.now() + timeout_s
        said = ""
        while True:
            missing, silence = _poll(reached)
            if not missing:
                return
            self.stop.check()
            if missing != said:
                self.say(missing)
                said = missing
            if self.gateway.now() >= deadline:
                raise NotReadyError(f"{what}: not after {timeout_s:.0f} s", why=missing, hint=hint) from silence
            self.gateway.sleep(POLL_S)

    def with_retries(self, part: Callable[[StepContext], Answer]) -> Answer:
        """What a part of the step returns (`observe`, `act`, …), done again from its beginning while the other side
        does not answer. Raises: NotReadyError once that went on for too long, and what else the part raises.
        """
        retries_left = retries.Retries()
        while True:
            began_s = self.gateway.now()
            self.copied.clear()
            try:
                return part(self)
            except MeshError as error:
                if not passing.may_pass(error):
                    raise
                now_s = self.gateway.now()
                retries_left.add_failure(began_s, now_s, idle=self.copied == [0])
                if retries_left.is_over(now_s):
                    minutes = (now_s - retries_left.since_s) / 60
                    what = f"{self.step.title}: no answer for {minutes:.0f} min: {error.what}"
                    raise NotReadyError(what, why=error.why, hint=error.hint) from error
                said = f"{passing.reason(error)}; asking again"
                if self.unanswered[-1:] != [said]:
                    self.say(said)
                self.unanswered.append(said)
            self.pause(retries_left.pause_s)

    def pause(self, seconds: float) -> None:
        """Sleep, but stop when asked to."""
        end = self.gateway.now() + seconds
        while (left := end - self.gateway.now()) > 0:
            self.stop.check()
            self.gateway.sleep(min(POLL_S, left))
        self.stop.check()


def _poll(reached: Callable[[], str]) -> tuple[str, MeshError | None]:
    """What is missing, and the error if that is an answer."""
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
    """How one kind of step is observed, done and verified. `act` and `verify` return what the journal should keep;
    `before` what it must have before anything is done, because no one can tell afterwards.

    observe: reads the world only; `act` must be harmless when repeated; `verify` raises unless the effect is there.
    """

    observe: Callable[[StepContext], Observation]
    act: Callable[[StepContext], dict[str, Any]]
    verify: Callable[[StepContext], dict[str, Any]]
    before: Callable[[StepContext], dict[str, Any]] = nothing


def never_done(_work: StepContext) -> Observation:
    """For steps that are checks, or that find out themselves what is left to do."""
    return NOT_DONE


def alive(pods: list[PodState]) -> list[PodState]:
    return [pod for pod in pods if pod.phase not in ("Succeeded", "Failed")]
