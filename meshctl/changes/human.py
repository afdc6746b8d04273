"""A Plan as text for a person, before (`plan_text`) and after (`done_text`) it is applied. PURE.

Called by `meshctl.cli.plan` and `meshctl.cli.up`. Meaning never hangs on colour: each line begins with its sign.
"""

from __future__ import annotations

import re

from meshctl.changes.grouping import Change, Plan
from meshctl.printable import one_line

_SIGNS = {"create": "+", "update": "~", "replace": "±", "delete": "-", "move": ">", "same": " "}
_WILL_MEND = "changed outside meshctl; `up` sets it back:"
_MENDED = "was changed outside meshctl, and set back:"
_DONE = {"create": "created", "update": "updated", "replace": "replaced", "delete": "deleted"}


def plan_text(plan: Plan, *, resources: bool = False) -> str:
    """What would happen, ending in a newline. With `resources`, each on a line of its own below its subject."""
    counts = [f"{plan.counts[action]} to {action}" for action in _DONE if plan.counts[action]]
    risks = [f"  DATA AT RISK: {loss.text()}" for loss in plan.losses]
    return _text(plan, counts, "no changes", risks, resources=resources)


def done_text(plan: Plan, *, resources: bool = False) -> str:
    """What was done, ending in a newline."""
    counts = [f"{plan.counts[action]} {done}" for action, done in _DONE.items() if plan.counts[action]]
    text = _text(plan, counts, "up to date", [], resources=resources).replace(_WILL_MEND, _MENDED)
    return re.sub(r"(\d+ resources?) to (create|update|replace|delete)\b", lambda m: f"{m[1]} {_DONE[m[2]]}", text)


def _text(plan: Plan, counts: list[str], nothing: str, warnings: list[str], *, resources: bool) -> str:
    same = plan.counts.get("same", 0)
    if plan.changes:
        headline = f"{', '.join(counts)}, {same} unchanged"
    elif plan.outside:
        headline = f"no changes of the mesh ({same} resources as declared)"
    else:
        headline = f"{nothing} ({same} resources as declared)"
    lines = [f"{plan.environment}: {headline}"]
    width = max((len(change.subject) for change in (*plan.changes, *plan.outside)), default=0)
    for change in plan.changes:
        lines += _change_lines(change, width, resources=resources)
    if plan.outside:
        lines.append(f"  {_WILL_MEND}")
        lines += [f"  {line}" for change in plan.outside for line in _change_lines(change, width, resources=resources)]
    lines += [f"  note: {note}" for note in plan.notes]
    lines += warnings
    lines.append(f"  cost: {_usd(plan.hourly_usd_before)} -> {_usd(plan.hourly_usd_after)}")
    lines += [f"    {source}" for source in plan.price_sources] if resources else []
    return "\n".join(map(one_line, lines)) + "\n"


def _change_lines(change: Change, width: int, *, resources: bool) -> list[str]:
    lines = [f"  {_SIGNS[change.action]} {change.subject.ljust(width)}  {change.summary}"]
    replacing = [field for field in change.fields if field.forces_replace]
    lines += [f"      {field.text()} (replaces the resource)" for field in replacing]
    if resources:
        lines += [f"      {_SIGNS[r.action]} {r.type} {r.urn.rsplit('::', 1)[-1]}" for r in change.resources]
    return lines


def _usd(hourly: float | None) -> str:
    return "unknown" if hourly is None else f"${hourly:,.2f}/h"
