"""What a journal says: how far a migration is, which way it goes, what its steps left. PURE.

Read by `runner` (what to skip), `step_plan` (what a rollback must undo), `migration` and `parity`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from meshctl.changes.losses import Loss, not_agreed
from meshctl.errors import AmbiguousStepError
from meshctl.migrate.journal.journal import Record
from meshctl.migrate.planning.plan import MigrationPlan
from meshctl.model.persisted import Format, unreadable
from meshctl.model.stack_state import DEPLOYMENT

Direction = Literal["forward", "rollback", "finish"]
LAST_FORWARD = "observe/health"

# The only reader of the plan in a journal's first record. The plan has the schema version of that record.
MIGRATION_PLAN: Final[Format[MigrationPlan]] = Format(
    MigrationPlan.model_validate, parts={"source": DEPLOYMENT, "target": DEPLOYMENT}
)


@dataclass(frozen=True)
class History:
    """One migration's records, read. `done` maps a step to its `done` record; `options` are those of `direction`."""

    records: tuple[Record, ...]
    plan: MigrationPlan
    direction: Direction
    options: dict[str, Any]
    done: dict[str, Record]
    intents: frozenset[str]  # steps that were begun at least once
    open_intent: str  # a step that was begun and neither done nor failed; "" if there is none
    decided: dict[str, str]  # step -> "done" | "again", where a person answered and nothing followed yet
    failed: Record | None  # the last failure, if nothing was done after it
    outcome: str = ""  # finished | rolled-back, once closed
    failures: dict[str, Record] = field(default_factory=dict)  # each step's failure, if the step is not done since

    @property
    def state(self) -> str:
        """running | waiting | rolling-back | finishing | finished | rolled-back."""
        if self.outcome:
            return self.outcome
        if self.direction != "forward":
            return {"rollback": "rolling-back", "finish": "finishing"}[self.direction]
        return "waiting" if LAST_FORWARD in self.done else "running"

    @property
    def source_lost(self) -> bool:
        return bool(self.options.get("source_lost"))

    @property
    def take_over(self) -> tuple[str, ...]:
        """Fields of other programs to be set all the same: what `migrate` was given, and `migrations resume` since."""
        return (*self.plan.options.take_over, *self.options.get("take_over", ()))

    @property
    def target_lost(self) -> bool:
        return bool(self.options.get("target_lost"))

    @property
    def allows_data_loss(self) -> bool:
        """Whether somebody agreed to lose what the side that is destroyed holds beside its buckets."""
        return bool(self.options.get("allow_data_loss") or self._deletes_source)

    @property
    def _deletes_source(self) -> bool:
        return self.direction == "finish" and bool(self.options.get("delete_data"))

    def not_agreed(self, lost: Sequence[Loss]) -> Sequence[Loss]:
        """Those of `lost` that nobody has agreed to lose with the side that is destroyed. A journal of an older version
        does not say what was agreed to, but only that something was."""
        if not self.allows_data_loss:
            return lost
        agreed = self.options.get("agreed_losses")
        return () if agreed is None else not_agreed(lost, agreed, buckets=self._deletes_source)

    @property
    def undecided(self) -> str:
        """The step that waits for a person's answer; "" if none does."""
        if self.failed is None or self.failed.data.get("code") != AmbiguousStepError.code:
            return ""
        return self.failed.step

    @property
    def deletion_begun(self) -> bool:
        """Whether a run began to destroy the source together with its data, whatever was chosen after that."""
        chosen = False
        for record in self.records:
            if record.kind == "direction":
                chosen = record.data.get("delete_data", chosen)
            elif chosen and (record.kind, record.step) == ("intent", "finish/source"):
                return True
        return False

    def finished_meanwhile(self, side: str) -> dict[str, str]:
        """The jobs that were found at their end when they were to be stopped on the other side, after the plan was
        made: they are not run again on this one. Workload -> the environment that they ended in."""
        step, where = ("quiesce/stop", self.plan.source) if side == "target" else ("rollback/stop", self.plan.target)
        record = self.done.get(step)
        return dict.fromkeys(record.data.get("finished", ()), where.environment) if record is not None else {}

    def began(self, *steps: str) -> bool:
        return any(step in self.intents or step in self.done for step in steps)


def read_history(records: Sequence[Record]) -> History:
    """Fold the records. Raises: NewerVersionError, UnreadableError, which is also for a first record that does not
    begin a migration."""
    if records[0].kind != "begin":
        place = f"the record {records[0].file_name} of a migration's journal"
        raise unreadable(place, f"a journal begins with a record `begin`, and this one is `{records[0].kind}`")
    done: dict[str, Record] = {}
    intents: set[str] = set()
    decided: dict[str, str] = {}
    failures: dict[str, Record] = {}
    direction: Direction = "forward"
    options: dict[str, Any] = {}
    open_intent = outcome = ""
    failed: Record | None = None
    for record in records[1:]:
        if record.kind == "intent":
            intents.add(record.step)
            decided.pop(record.step, None)
            open_intent, failed = record.step, None
        elif record.kind == "done":
            done[record.step] = record
            failures.pop(record.step, None)
            open_intent, failed = "", None
            decided.pop(record.step, None)
        elif record.kind == "failed":
            failed = failures[record.step] = record
            # a failed check makes the steps it checks void: they are done again
            for step in record.data.get("again", ()):
                done.pop(step, None)
        elif record.kind == "decided":
            decided[record.step] = record.data["as"]
        elif record.kind == "direction":
            direction, options = record.data["to"], {**options, **record.data}
            open_intent, failed = "", None
        elif record.kind == "closed":
            outcome = record.data["outcome"]
    return History(
        records=tuple(records),
        plan=MIGRATION_PLAN.read(records[0].data.get("plan"), records[0].stamp, "the plan in the migration's journal"),
        direction=direction,
        options=options,
        done=done,
        intents=frozenset(intents),
        open_intent=open_intent,
        decided=decided,
        failed=failed,
        outcome=outcome,
        failures=failures,
    )
