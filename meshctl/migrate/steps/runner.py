"""Runs the steps one by one: observe, intent, act, verify, done. EDGE.

Called by `migration` with the lock held. Each part of a step is repeated while the other side does not answer
(`StepContext.with_retries`). After a crash nothing is assumed: for a step with an intent and no `done` record,
`observe` first looks at the real state. If that is inconclusive, the run stops and asks the user.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from meshctl.errors import AmbiguousStepError, InterruptedByUserError, LockedError, MeshError
from meshctl.migrate.data import Data
from meshctl.migrate.gateway import Gateway
from meshctl.migrate.journal.history import History, read_history, read_plan
from meshctl.migrate.journal.journal import Journal, Kind
from meshctl.migrate.planning.plan import MigrationPlan
from meshctl.migrate.progress import Report
from meshctl.migrate.steps.actions import ACTIONS
from meshctl.migrate.steps.context import Action, State, StepContext
from meshctl.migrate.steps.order.step import Step
from meshctl.migrate.steps.order.step_plan import step_plan
from meshctl.objects.progress import Stop
from meshctl.words import pluralize


@dataclass(frozen=True)
class Runner:
    """One run of one migration."""

    gateway: Gateway
    data: Data
    journal: Journal
    report: Report
    stop: Stop

    @cached_property
    def plan(self) -> MigrationPlan:
        """It never changes, and is as large as two deployments: too much to be read again after each record."""
        return read_plan(self.journal.records)

    @property
    def history(self) -> History:
        return read_history(self.journal.records, self.plan)

    def add(self, step: str, kind: Kind, data: dict[str, Any] | None = None) -> None:
        self.journal.add(step, kind, self.gateway.now(), data)

    def run(self) -> None:
        """Run every step that is not done. Raises: the errors of the steps, which are in the journal, too."""
        for step in step_plan(self.history):
            done = self.history.done
            if step.name not in done or (step.guards and step.guards not in done):
                self.stop.check()
                self._run_step(step)

    def _run_step(self, step: Step) -> None:
        context = StepContext(self.gateway, self.data, self.history, step, self.report, self.stop, self.gateway.now())
        context.emit("started")
        try:
            result = self._observe_and_act(step, ACTIONS[step.action], context)
        except (InterruptedByUserError, LockedError):
            raise
        except MeshError as error:
            if isinstance(error, AmbiguousStepError):
                error.hint += (
                    f"; then resume with `--again {step.name}` (do it again) or `--done {step.name}` (it is done)"
                )
            context.emit("failed", text=error.what)
            failure = {"code": error.code, "what": error.what, "why": error.why, "again": list(step.redo)}
            self.add(step.name, "failed", failure)
            raise
        self.add(step.name, "done", result)
        context.emit("done", text=_result_text(result))

    def _observe_and_act(self, step: Step, action: Action, context: StepContext) -> dict[str, Any]:
        decided = context.history.decided.get(step.name)
        if decided == "done":
            return {"decided": True}
        if decided is None:
            observation = context.with_retries(action.observe)
            if observation.state is State.AMBIGUOUS:
                raise AmbiguousStepError(
                    f"can't go on with {step.name}: {observation.reason}",
                    hint=f"find out {observation.ask}",
                )
            if observation.state is State.DONE:
                return {"observed": True, **context.with_retries(action.verify)}
        self.add(step.name, "intent", context.with_retries(action.before))
        result = {**context.with_retries(action.act), **context.with_retries(action.verify)}
        return {**result, "unanswered": len(context.unanswered)} if context.unanswered else result


def _result_text(result: dict[str, Any]) -> str:
    """The result of a copy, a comparison or an answer as text; "" for other steps."""
    texts: dict[str, Callable[[], str]] = {
        "bytes": lambda: f"{pluralize(result['objects'], 'object')} copied, {result['deleted']} deleted",
        "read_bytes": lambda: f"{pluralize(result['target']['objects'], 'object')} equal",
        "decided": lambda: "as you answered",
    }
    return next((text() for key, text in texts.items() if key in result), "")
