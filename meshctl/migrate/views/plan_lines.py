"""Lines that the plans of migrations and of expansions have in common: copies, costs, steps. PURE."""

from __future__ import annotations

from collections.abc import Sequence

from meshctl.migrate.planning.indexes import RemadeIndex
from meshctl.migrate.planning.plan import MigrationPlan, StoreMove, span_text
from meshctl.migrate.steps.order.step import Step
from meshctl.model.files.units import size_text
from meshctl.words import pluralize


def move_lines(move: StoreMove) -> list[str]:
    at_target = f"; the target already has {pluralize(move.target_objects, 'object')}" if move.target_objects else ""
    at_target += f", and the {move.foreign_objects} that the source lacks are deleted" if move.foreign_objects else ""
    return [
        f"  {move.store}: {move.source_url} -> {move.target_url}",
        f"    {pluralize(move.objects, 'object')}, {size_text(move.total_bytes)}{at_target}",
        f"    about {span_text(move.minutes)} ({move.minutes_source})",
        f"    egress {_usd(move.egress_usd)} ({move.egress_source})",
    ]


def index_lines(index: RemadeIndex, plan: MigrationPlan) -> list[str]:
    size = "of unknown size"
    if index.objects is not None and index.total_bytes is not None:
        passages = f"about {pluralize(index.passages or 0, 'passage')} if all of it is text"
        size = f"{pluralize(index.objects, 'object')}, {size_text(index.total_bytes)}: {passages}"
    time = "unknown" if index.minutes is None else f"about {span_text(index.minutes)}" if index.minutes else "seconds"
    source, target = plan.source.environment, plan.target.environment
    return [
        f"  {index.workload}: makes its index again at {target}, while {source} answers",
        f"    of {index.documents}, {size}",
        f"    {time} ({index.source})",
    ]


def cost_lines(plan: MigrationPlan) -> list[str]:
    pairs = [(f"  {cost.subject}: {_usd(cost.usd)} {cost.what}", f"    from: {cost.source}") for cost in plan.costs]
    return [line for pair in pairs for line in pair]


def step_lines(steps: Sequence[Step]) -> list[str]:
    width = max(len(step.name) for step in steps)
    return [f"  {step.name:<{width}}  {step.title}" for step in steps]


def _usd(usd: float | None) -> str:
    return "unknown" if usd is None else f"{usd:.2f} USD"
