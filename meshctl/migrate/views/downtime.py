"""Estimates the least downtime of the workloads that a migration stops, from known rates. PURE.

Shown by `views` before a migration begins. The time that nodes, images and models need to start is not known in
advance; these parts are listed as not estimated.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from meshctl.migrate.planning.plan import MigrationPlan, StoreMove, written_stores
from meshctl.migrate.planning.rates import COPY_RATE, LISTING_RATE
from meshctl.migrate.views.summary import span
from meshctl.model.files.units import size_text
from meshctl.render.pod.pods import grace_s
from meshctl.words import pluralize

_SETTLE_S = 3  # between the two listings that must be equal
_LISTINGS = 4  # of each object during the downtime: to settle, before and after the copy, to compare
NOT_ESTIMATED = (
    "provisioning",
    "node start",
    "image pulls",
    "model load",
    "what changes between the seed and the stop",
)


@dataclass(frozen=True)
class Downtime:
    """`grace_s` is the time that checkpoints may take before the downtime. `source` lists the parts of `at_least_s`."""

    workloads: tuple[str, ...]
    at_least_s: float
    grace_s: int
    source: str


def downtime(plan: MigrationPlan) -> Downtime | None:
    """None if the migration stops no workload."""
    if not plan.stopped:
        return None
    stopped = [plan.source.workload(name) for name in plan.stopped]
    moved = {move.store for move in plan.moves}
    settles = any(written_stores(workload) & moved for workload in stopped)
    objects = sum(move.objects for move in plan.moves)
    read = sum(_read_bytes(plan, move) for move in plan.moves)
    listing_s = _LISTINGS * objects / LISTING_RATE.objects_per_s
    reading_s = 2 * read / COPY_RATE.bytes_per_s  # both sides come through this machine
    parts = [
        f"two equal listings ({_SETTLE_S} s)" if settles else "",
        f"listing {pluralize(objects, 'object')} ({span(listing_s)}; {LISTING_RATE.source})" if objects else "",
        f"reading {size_text(read)} on both sides ({span(reading_s)}; {COPY_RATE.source})" if read else "",
    ]
    return Downtime(
        workloads=plan.stopped,
        at_least_s=(_SETTLE_S if settles else 0) + listing_s + reading_s,
        grace_s=max(grace_s(workload) for workload in stopped),
        source=", ".join(part for part in parts if part) or "nothing is copied or compared",
    )


def _read_bytes(plan: MigrationPlan, move: StoreMove) -> int:
    return move.total_bytes if plan.options.deep_verify else move.read_bytes


def downtime_document(plan: MigrationPlan) -> dict[str, Any]:
    estimate = downtime(plan)
    document = None if estimate is None else {**asdict(estimate), "at_least_s": round(estimate.at_least_s, 1)}
    return {"downtime": document, "not_estimated": list(NOT_ESTIMATED)}


def downtime_lines(plan: MigrationPlan) -> list[str]:
    unknown = f"  not estimated: {', '.join(NOT_ESTIMATED)} (unknown, often minutes to hours)"
    estimate = downtime(plan)
    if estimate is None:
        return ["  none: no workload is stopped before it runs at the target", unknown]
    names = ", ".join(estimate.workloads)
    return [
        f"  {names}: at least {span(estimate.at_least_s)}, after up to {span(estimate.grace_s)} to save and end",
        f"    from: {estimate.source}",
        unknown,
    ]
