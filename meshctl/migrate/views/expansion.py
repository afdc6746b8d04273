"""The plan of an expansion, as text and as a JSON document. PURE; golden-tested.

Used by `cli.expand`, which adds the `"meshctl": 1` of every document. What is in force is shown as a migration is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from meshctl.migrate.journal.history import History
from meshctl.migrate.planning.inputs import share_text
from meshctl.migrate.planning.plan import MigrationPlan
from meshctl.migrate.steps.order.share_plan import first_expansion, next_round
from meshctl.migrate.steps.order.step import Step
from meshctl.migrate.views.plan_lines import cost_lines, move_lines, step_lines
from meshctl.model.dns_splits import WHOLE
from meshctl.printable import one_line


def round_document(history: History, weight: int) -> dict[str, Any]:
    """As `expansion_document`, of a command that is given again: the keys are the same."""
    return expansion_document(_again(history, weight), next_round(history, weight))


def round_text(history: History, weight: int) -> str:
    """`expand --dry-run` where the workload is expanded already: the new share beside that of now, and the steps."""
    plan, now = history.plan, history.share.weight if history.share is not None else 0
    source, target = plan.source.environment, plan.target.environment
    workload = history.share.workload if history.share is not None else ""
    lines = [f"{plan.source.mesh}: {workload} of {source} and {target}, another share", "", "shares"]
    lines += [f"  {source}: {share_text(WHOLE - weight)}, now {share_text(WHOLE - now)}"]
    lines += [f"  {target}: {share_text(weight)}, now {share_text(now)}"]
    lines += ["", "steps", *step_lines(next_round(history, weight))]
    return "\n".join(map(one_line, lines)) + "\n"


def _again(history: History, weight: int) -> MigrationPlan:
    """The plan with another share, and without what was said of the first one."""
    share = history.plan.share
    wanted = share.model_copy(update={"weight": weight}) if share is not None else None
    return history.plan.model_copy(update={"share": wanted, "notes": ()})


def expansion_document(plan: MigrationPlan, steps: Sequence[Step] | None = None) -> dict[str, Any]:
    """`expand --dry-run --output json`. USD are estimates; null = unknown. `weights` are of 255. `steps`: those of a
    first expansion where they are not given."""
    source, target = plan.source.environment, plan.target.environment
    weight = plan.share.weight if plan.share is not None else 0
    return {
        "mesh": plan.source.mesh,
        "source": source,
        "target": target,
        "workload": plan.share.workload if plan.share is not None else "",
        "by": plan.share.by if plan.share is not None else "",
        "weights": {source: WHOLE - weight, target: weight},
        "steps": [{"phase": s.phase, "step": s.name, "title": s.title} for s in steps or first_expansion(plan)],
        "data": [move.model_dump(mode="json") for move in plan.moves],
        "endpoints": [{"name": e.name, "host": e.host} for e in plan.endpoints],
        "costs": [cost.model_dump(mode="json") for cost in plan.costs],
        "notes": list(plan.notes),
    }


def _shared_by(plan: MigrationPlan) -> str:
    by_gateway = plan.share is not None and plan.share.by == "gateway"
    return "the gateway" if by_gateway else "the weighted records"


def expansion_text(plan: MigrationPlan) -> str:
    """`expand --dry-run`: what is shared, what is copied, what it costs, then every step."""
    source, target = plan.source.environment, plan.target.environment
    weight = plan.share.weight if plan.share is not None else 0
    workload = plan.share.workload if plan.share is not None else ""
    lines = [f"{plan.source.mesh}: {workload} of {source} also in {target}", "", "shares"]
    lines += [f"  {source}: {share_text(WHOLE - weight)}", f"  {target}: {share_text(weight)}"]
    lines += [f"  by {_shared_by(plan)} of {endpoint.host}" for endpoint in plan.endpoints]
    lines += ["", "data", *([line for move in plan.moves for line in move_lines(move)] or ["  none"])]
    lines += ["", "costs", *cost_lines(plan), "", "steps", *step_lines(first_expansion(plan))]
    lines += [f"  then both serve until `meshctl contract`, which leads all to {source} again"]
    lines += ["", *(f"note: {note}" for note in plan.notes)] if plan.notes else []
    return "\n".join(map(one_line, lines)) + "\n"
