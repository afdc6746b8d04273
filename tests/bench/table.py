"""Outcomes as a table or as JSON. PURE."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

from tests.bench.samples import Outcome

HEADINGS = ("row", "measured", "baseline", "ratio", "goal", "holds")


def verdict(outcome: Outcome) -> str:
    return {True: "yes", False: "MISSED", None: "not measured"}[outcome.holds]


def text(outcomes: Sequence[Outcome], machine: str) -> str:
    """A Markdown table, readable on a terminal too; notes below it."""
    rows = [HEADINGS, *(_cells(outcome) for outcome in outcomes)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    lines = [_line(row, widths) for row in rows]
    lines.insert(1, "|".join(["", *("-" * (width + 2) for width in widths), ""]))
    notes = [f"- {outcome.row}: {outcome.note}" for outcome in outcomes if outcome.note]
    missed = [outcome.row for outcome in outcomes if outcome.holds is False]
    end = f"MISSED: {', '.join(missed)}" if missed else "every goal that was measured holds"
    return "\n".join([*lines, "", *notes, f"- machine: {machine}", "", end])


def document(outcomes: Sequence[Outcome], machine: str) -> str:
    rows = [{**dataclasses.asdict(outcome), "verdict": verdict(outcome)} for outcome in outcomes]
    return json.dumps({"machine": machine, "rows": rows}, indent=2, ensure_ascii=False)


def _cells(outcome: Outcome) -> tuple[str, ...]:
    ratio = "" if outcome.ratio is None else f"{outcome.ratio:.2f}"
    return outcome.row, outcome.measured, outcome.baseline, ratio, outcome.goal, verdict(outcome)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    return "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
