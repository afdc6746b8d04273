"""Takes the steps one by one: observe, intent, act, verify, done. EDGE.

Called by `migration` with the lock held. Each part of a step is done again while the other side does not answer
(`Work.answered`). After a crash nothing is assumed: a step with an intent but no `done` is looked for in the world
first; the journal only says what to look for. What can't be told stops the run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from meshctl.errors import AmbiguousStepError, InterruptedByUserError, LockedError, MeshError
from meshctl.migrate.data import Data
from meshctl.migrate.journal.history import History, read_history
from meshctl.migrate.journal.journal import Journal, Kind
from meshctl.migrate.progress import Report
from meshctl.migrate.steps.actions import ACTIONS
from meshctl.migrate.steps.outline import Step, outline
from meshctl.migrate.steps.work import Action, State, Work
from meshctl.migrate.world import World
from meshctl.objects.progress import Stop
from meshctl.words import pluralize


@dataclass(frozen=True)
class Runner:
    """One run of one migration."""

    world: World
    data: Data
    journal: Journal
    report: Report
    stop: Stop

    @property
    def history(self) -> History:
        return read_history(self.journal.records)

    def add(self, step: str, kind: Kind, data: dict[str, Any] | None = None) -> None:
        self.journal.add(step, kind, self.world.now(), data)

    def run(self) -> None:
        """Every step of the direction that is not done. Raises what the steps raise; the journal says where it was."""
        for step in outline(self.history):
            done = self.history.done
            if step.name not in done or (step.guards and step.guards not in done):
                self.stop.check()
                self._watched(step)

    def _watched(self, step: Step) -> None:
        work = Work(self.world, self.data, self.history, step, self.report, self.stop, self.world.now())
        work.emit("started")
        try:
            kept = self._take(step, ACTIONS[step.action], work)
        except (InterruptedByUserError, LockedError):
            raise
        except MeshError as error:
            if isinstance(error, AmbiguousStepError):
                error.hint += f"; then resume with `--again {step.name}` (do it) or `--done {step.name}` (it is done)"
            work.emit("failed", text=error.what)
            failure = {"code": error.code, "what": error.what, "why": error.why, "again": list(step.redo)}
            self.add(step.name, "failed", failure)
            raise
        self.add(step.name, "done", kept)
        work.emit("done", text=_kept_text(kept))

    def _take(self, step: Step, action: Action, work: Work) -> dict[str, Any]:
        decided = work.history.decided.get(step.name)
        if decided == "done":
            return {"decided": True}
        if decided is None:
            observation = work.answered(action.observe)
            if observation.state is State.AMBIGUOUS:
                raise AmbiguousStepError(
                    f"can't go on with {step.name}: {observation.reason}",
                    hint=f"find out {observation.ask}",
                )
            if observation.state is State.DONE:
                return {"observed": True, **work.answered(action.verify)}
        self.add(step.name, "intent", work.answered(action.before))
        kept = {**work.answered(action.act), **work.answered(action.verify)}
        return {**kept, "unanswered": len(work.unanswered)} if work.unanswered else kept


def _kept_text(kept: dict[str, Any]) -> str:
    """What a step left, where a person wants to read it: numbers of a copy or of a comparison."""
    texts: dict[str, Callable[[], str]] = {
        "bytes": lambda: f"{pluralize(kept['objects'], 'object')} copied, {kept['deleted']} deleted",
        "read_bytes": lambda: f"{pluralize(kept['target']['objects'], 'object')} equal",
        "decided": lambda: "as you said",
    }
    return next((text() for key, text in texts.items() if key in kept), "")
