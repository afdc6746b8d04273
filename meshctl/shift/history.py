"""The state of a shift, computed from its journal: direction, steps done, what its nodes had before. PURE.

Used by `runner` (which steps to skip), `shifts`, `in_force` and `views`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from pydantic import TypeAdapter, ValidationError

from meshctl.migrate.journal.journal import Record, Undertaking
from meshctl.model.persisted import unreadable
from meshctl.shift.planning.node_changes import Original
from meshctl.shift.planning.plan import SHIFT_PLAN, ShiftPlan

SHIFT: Final = Undertaking("shift", "shifts", "meshctl status")
ORIGINALS: Final = "originals"  # the key of the intent that holds what the nodes had before the first patch
CORDONS: Final = "cordons"  # the key of the undo's first intent: which nodes were cordoned then
_ORIGINALS: Final = TypeAdapter(dict[str, Original])
FORWARD: Final = ("hold", "checkpoint", "empty", "hand-over", "release", "arrive")
BACK: Final = ("undo/hold", "undo/empty", "undo/put-back", "undo/release", "undo/owners", "undo/gangs")

Direction = Literal["forward", "rollback"]


@dataclass(frozen=True)
class History:
    """`done`: the completed steps, without those that a later `failed` record names as `again`. `originals`: by node,
    once the first step has begun. `intents`: the steps that have begun. `failure`: why the last run stopped; "" where
    it did not fail. `late`: which pods the nodes did not get in time, in words; "" where they did, or none waits."""

    plan: ShiftPlan
    direction: Direction
    done: frozenset[str]
    intents: frozenset[str]
    originals: Mapping[str, Original]
    outcome: str
    failure: str
    late: str = ""

    @property
    def steps(self) -> tuple[str, ...]:
        """The steps of the direction, in their order."""
        return FORWARD if self.direction == "forward" else BACK

    @property
    def state(self) -> str:
        """under-way | in-force | undoing | undone | ended (with its environment)."""
        if self.outcome:
            return "undone" if self.outcome == "rolled-back" else "ended"
        if self.direction == "rollback":
            return "undoing"
        return "in-force" if FORWARD[-1] in self.done else "under-way"

    @property
    def is_under_way(self) -> bool:
        """Whether some steps are done and others are not, so that nodes may belong to neither pool."""
        return self.state in ("under-way", "undoing")

    @property
    def changes_nodes(self) -> bool:
        """Whether nodes may carry the label of the taking pool."""
        return not self.outcome and "hand-over" in self.intents | self.done


def originals_document(originals: Mapping[str, Original]) -> dict[str, object]:
    return dict(_ORIGINALS.dump_python(dict(originals), mode="json"))


def read_history(records: Sequence[Record]) -> History:
    """Compute the state from the records. Raises: NewerVersionError, UnreadableError."""
    first = records[0]
    place = "the plan in the shift's journal"
    if first.kind != "begin":
        raise unreadable(place, f"the first record of a journal must be `begin`, and this one is `{first.kind}`")
    done: set[str] = set()
    intents: set[str] = set()
    direction: Direction = "forward"
    originals: Mapping[str, Original] = {}
    cordons: Mapping[str, bool] = {}
    outcome = failure = late = ""
    for record in records[1:]:
        failure = str(record.data.get("what", "")) if record.kind == "failed" else ""
        if record.kind == "intent":
            intents.add(record.step)
            originals = originals or _read_originals(record)
            cordons = cordons or record.data.get(CORDONS, {})
        elif record.kind == "done":
            done.add(record.step)
            originals = originals or _read_originals(record)
            late = str(record.data.get("late", ""))
        elif record.kind == "failed":
            done -= {*record.data.get("again", ())}
        elif record.kind == "direction":
            direction = "rollback" if record.data["to"] == "rollback" else "forward"
        elif record.kind == "closed":
            outcome = record.data["outcome"]
    originals = {
        name: replace(each, unschedulable=cordons.get(name, each.unschedulable)) for name, each in originals.items()
    }
    plan = SHIFT_PLAN.read(first.data.get("plan"), first.stamp, place)
    return History(plan, direction, frozenset(done), frozenset(intents), originals, outcome, failure, late)


def _read_originals(record: Record) -> Mapping[str, Original]:
    try:
        return _ORIGINALS.validate_python(record.data.get(ORIGINALS, {}))
    except ValidationError as error:
        raise unreadable(f"the record {record.file_name} of a shift's journal", str(error)) from error
