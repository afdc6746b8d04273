"""The state of a migration, computed from its journal: direction, steps done, results of the steps. PURE.

Used by `runner` (which steps to skip), `step_plan` (what a rollback must undo), `migration` and `views`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from meshctl.changes.losses import Loss, not_agreed
from meshctl.errors import AmbiguousStepError
from meshctl.migrate.journal.journal import Record
from meshctl.migrate.planning.inputs import Share
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
    """The state of one migration. `done` maps a step to its `done` record; `options` are those of the `direction`."""

    records: tuple[Record, ...]
    plan: MigrationPlan
    direction: Direction
    options: dict[str, Any]
    done: dict[str, Record]
    intents: frozenset[str]  # steps that have begun at least once
    open_intent: str  # the step that has begun and has neither ended nor failed; "" if there is none
    decided: dict[str, str]  # step -> "done" | "again": answers of the user that no run has acted on yet
    failed: Record | None  # the last failure, unless another step has begun or ended since
    outcome: str = ""  # finished | rolled-back; "" while the migration is open
    failures: dict[str, Record] = field(default_factory=dict)  # step -> its last failure, for steps not done since

    @property
    def state(self) -> str:
        """running | waiting | rolling-back | finishing | finished | rolled-back."""
        if self.outcome:
            return self.outcome
        if self.direction != "forward":
            return {"rollback": "rolling-back", "finish": "finishing"}[self.direction]
        return "waiting" if LAST_FORWARD in self.done else "running"

    @property
    def share(self) -> Share | None:
        """Of an expansion: its share as it was chosen last."""
        weight = self.options.get("weight")
        planned = self.plan.share
        return planned if planned is None or weight is None else planned.model_copy(update={"weight": int(weight)})

    @property
    def weights(self) -> tuple[int, ...]:
        """Of an expansion: the weight of the target at first, and the one of each round after it."""
        chosen = (r.data["weight"] for r in self.records if r.kind == "direction" and "weight" in r.data)
        return (self.plan.share.weight if self.plan.share is not None else 0, *map(int, chosen))

    @property
    def leaves_sick_source(self) -> frozenset[int]:
        """The numbers of the rounds that lead all users away from a source that did not answer them."""
        chosen = [r.data for r in self.records if r.kind == "direction" and "weight" in r.data]
        return frozenset(number for number, data in enumerate(chosen, start=1) if data.get("source_sick"))

    @property
    def rounds(self) -> int:
        """How often an expansion was given again since it began: for another share, or to copy what has changed."""
        return len(self.weights) - 1

    @property
    def round_is_open(self) -> bool:
        """Whether the command was given again and is not done with it yet."""
        parts = ("records", *(f"seed.{move.store}" for move in self.plan.moves))
        done = all(f"round{self.rounds}/{part}" in self.done for part in parts)
        return self.state == "waiting" and self.rounds > 0 and not done

    @property
    def source_lost(self) -> bool:
        return bool(self.options.get("source_lost"))

    @property
    def take_over(self) -> tuple[str, ...]:
        """The `--take-over` fields of `migrate` and of each `resume` since."""
        return (*self.plan.options.take_over, *self.options.get("take_over", ()))

    @property
    def target_lost(self) -> bool:
        return bool(self.options.get("target_lost"))

    @property
    def allows_data_loss(self) -> bool:
        """Whether the user agreed to lose data of the destroyed side that is not in its buckets."""
        return bool(self.options.get("allow_data_loss") or self._deletes_source)

    @property
    def _deletes_source(self) -> bool:
        return self.direction == "finish" and bool(self.options.get("delete_data"))

    def not_agreed(self, lost: Sequence[Loss]) -> Sequence[Loss]:
        """Those of `lost` that the user has not agreed to lose. Journals of older versions record only that the user
        agreed, so that agreement covers everything."""
        if not self.allows_data_loss:
            return lost
        agreed = self.options.get("agreed_losses")
        return () if agreed is None else not_agreed(lost, agreed, buckets=self._deletes_source)

    @property
    def undecided(self) -> str:
        """The step that waits for the user's answer (`--done` or `--again`); "" if none does."""
        if self.failed is None or self.failed.data.get("code") != AmbiguousStepError.code:
            return ""
        return self.failed.step

    @property
    def deletion_begun(self) -> bool:
        """Whether any run has begun to destroy the source with its data, whatever the user chose later."""
        chosen = False
        for record in self.records:
            if record.kind == "direction":
                chosen = record.data.get("delete_data", chosen)
            elif chosen and (record.kind, record.step) == ("intent", "finish/source"):
                return True
        return False

    def finished_meanwhile(self, side: str) -> dict[str, str]:
        """The jobs that ended after the plan was made and before they were stopped on the other side. They are not run
        again on this one. Workload -> the environment that the job ended in."""
        step, other = ("quiesce/stop", self.plan.source) if side == "target" else ("rollback/stop", self.plan.target)
        record = self.done.get(step)
        return dict.fromkeys(record.data.get("finished", ()), other.environment) if record is not None else {}

    @property
    def target_is_ours(self) -> bool:
        """Whether the migration has begun to bring up its target. Before, what runs there is not its own: nothing is
        taken away by a rollback."""
        return self.began("provision/target")

    @property
    def ends_expansion(self) -> bool:
        """Whether the expansion that the migration goes on from ends with it. One that was given up before it changed
        anything leaves the expansion in force."""
        return self.plan.expanded is not None and self.target_is_ours

    def began(self, *steps: str) -> bool:
        return any(step in self.intents or step in self.done for step in steps)


@dataclass
class _Reading:
    """What the records up to one of them say; the fields are those of History."""

    direction: Direction = "forward"
    options: dict[str, Any] = field(default_factory=dict)
    done: dict[str, Record] = field(default_factory=dict)
    intents: set[str] = field(default_factory=set)
    open_intent: str = ""
    decided: dict[str, str] = field(default_factory=dict)
    failed: Record | None = None
    outcome: str = ""
    failures: dict[str, Record] = field(default_factory=dict)

    def add(self, record: Record) -> None:
        match record.kind:
            case "intent":
                self.intents.add(record.step)
                self.decided.pop(record.step, None)
                self.open_intent, self.failed = record.step, None
            case "done":
                self.done[record.step] = record
                self.failures.pop(record.step, None)
                self.decided.pop(record.step, None)
                self.open_intent, self.failed = "", None
            case "failed":
                self.failed = self.failures[record.step] = record
                # the steps that a failed check has examined must be done again
                for step in record.data.get("again", ()):
                    self.done.pop(step, None)
            case "decided":
                self.decided[record.step] = record.data["as"]
            case "direction":
                self.direction, self.options = record.data["to"], {**self.options, **record.data}
                self.open_intent, self.failed = "", None
            case "closed":
                self.outcome = record.data["outcome"]


def read_history(records: Sequence[Record], plan: MigrationPlan | None = None) -> History:
    """Compute the state from the records. `plan`: that of the first record, where it has been read before.

    Raises: NewerVersionError; UnreadableError, also if the first record is not `begin`.
    """
    reading = _Reading()
    for record in records[1:]:
        reading.add(record)
    return History(
        records=tuple(records),
        plan=plan or read_plan(records),
        direction=reading.direction,
        options=reading.options,
        done=reading.done,
        intents=frozenset(reading.intents),
        open_intent=reading.open_intent,
        decided=reading.decided,
        failed=reading.failed,
        outcome=reading.outcome,
        failures=reading.failures,
    )


def read_plan(records: Sequence[Record]) -> MigrationPlan:
    """The plan in the first record. Raises: as `read_history`."""
    first = records[0]
    if first.kind != "begin":
        place = f"the record {first.file_name} of a migration's journal"
        raise unreadable(place, f"the first record of a journal must be `begin`, and this one is `{first.kind}`")
    return MIGRATION_PLAN.read(first.data.get("plan"), first.stamp, "the plan in the migration's journal")
