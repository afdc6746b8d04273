"""A Plan as text for a person. PURE: returns a string, coloured by the CLI if at all.

Called by `meshctl.cli.plan` and `meshctl.cli.up`. Meaning never hangs on colour: each line begins with its sign.
"""

from __future__ import annotations

from meshctl.changes.grouping import Change, Plan

_SIGNS = {"create": "+", "update": "~", "replace": "±", "delete": "-", "move": ">", "same": " "}


def plan_text(plan: Plan, *, resources: bool = False) -> str:
    """The plan as text, ending in a newline. With `resources`, each resource on a line of its own below its
    subject."""
    lines = [f"{plan.environment}: {_headline(plan)}"]
    width = max((len(change.subject) for change in plan.changes), default=0)
    for change in plan.changes:
        lines += _change_lines(change, width, resources=resources)
    lines += [f"  note: {note}" for note in plan.notes]
    if plan.data_at_risk:
        lines.append(f"  DATA AT RISK: {', '.join(plan.data_at_risk)} would lose its content")
    lines.append(f"  cost: {_usd(plan.hourly_usd_before)} -> {_usd(plan.hourly_usd_after)}")
    return "\n".join(lines) + "\n"


def _headline(plan: Plan) -> str:
    same = plan.counts.get("same", 0)
    if not plan.pending:
        return f"no changes ({same} resources as declared)"
    words = [
        f"{plan.counts[action]} to {action}"
        for action in ("create", "update", "replace", "delete")
        if plan.counts[action]
    ]
    return f"{', '.join(words)}, {same} unchanged"


def _change_lines(change: Change, width: int, *, resources: bool) -> list[str]:
    lines = [f"  {_SIGNS[change.action]} {change.subject.ljust(width)}  {change.action}: {change.summary}"]
    lines += [
        f"      {f.path}: {f.old!r} -> {f.new!r} (replaces the resource)" for f in change.fields if f.forces_replace
    ]
    if resources:
        lines += [f"      {_SIGNS[r.action]} {r.type} {r.urn.rsplit('::', 1)[-1]}" for r in change.resources]
    return lines


def _usd(hourly: float | None) -> str:
    return "unknown" if hourly is None else f"${hourly:,.2f}/h"
