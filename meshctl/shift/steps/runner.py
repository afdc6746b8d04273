"""Runs the steps of a shift one by one: observe, intent, act, verify, done. EDGE. Called by `shifts`, with the lock
held.

A step counts as done only if the journal says so: one that was interrupted runs again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from meshctl.errors import InterruptedByUserError, LockedError, MeshError, ShiftError
from meshctl.migrate.journal.journal import Journal, Kind
from meshctl.migrate.progress import Report
from meshctl.objects.progress import Stop
from meshctl.shift.gateway import Gateway
from meshctl.shift.history import History, read_history
from meshctl.shift.steps.actions import STEPS
from meshctl.shift.steps.context import Step, StepContext


@dataclass(frozen=True)
class Runner:
    """One run of one shift. `timeout_s`: how long nodes may take to become empty in this run, 0 = as the plan says."""

    gateway: Gateway
    journal: Journal
    report: Report
    stop: Stop
    timeout_s: int = 0

    @property
    def history(self) -> History:
        return read_history(self.journal.records)

    def add(self, step: str, kind: Kind, data: dict[str, Any] | None = None) -> None:
        self.journal.add(step, kind, self.gateway.now(), data)

    def run(self) -> None:
        """Run every step of the direction that is not done. Raises: the errors of the steps, which are in the journal,
        too."""
        for name in self.history.steps:
            if name not in self.history.done:
                self.stop.check()
                self._run_step(name)

    def _run_step(self, name: str) -> None:
        step = STEPS[name]
        context = self._context(name)
        context.emit("started")
        try:
            result = self._observe_and_act(name, step, context)
        except (InterruptedByUserError, LockedError):
            raise
        except MeshError as error:
            context.emit("failed", error.what)
            self.add(name, "failed", {"code": error.code, "what": error.what, "why": error.why})
            raise
        self.add(name, "done", result)
        context.emit("done")

    def _observe_and_act(self, name: str, step: Step, context: StepContext) -> dict[str, Any]:
        """Skips a step only if an earlier run started it and its effect is there.

        Raises: ShiftError where the effect is missing after the step was done.
        """
        if step.missing is not None and name in self.history.intents and not step.missing(context):
            return {"observed": True}
        self.add(name, "intent", step.before(context))
        context = self._context(name)  # with what the intent has recorded
        result = step.act(context)
        left = step.missing(context) if step.missing is not None else ""
        if left:
            raise ShiftError(f"can't {step.title}", why=left)
        return result

    def _context(self, name: str) -> StepContext:
        history = self.history
        limits = {"end_limit_s": self.timeout_s, "undo_limit_s": self.timeout_s} if self.timeout_s else {}
        return StepContext(
            self.gateway,
            history.plan.model_copy(update=limits),
            history.originals,
            history.done,
            name,
            STEPS[name].title,
            self.report,
            self.stop,
            self.gateway.now(),
        )
