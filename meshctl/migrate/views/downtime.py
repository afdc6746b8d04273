"""How long a plan's workloads stand still at the least, from the rates that are known. PURE.

Shown by `views` before a migration begins. Nodes that start, images and models that load belong to no estimate: nobody
knows them beforehand, so they are named.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from meshctl.migrate.planning.plan import MigrationPlan, StoreMove, written_stores
from meshctl.migrate.planning.rates import COPY_RATE, LISTING_RATE
from meshctl.migrate.views.summary import span
from meshctl.model.units import size_text
from meshctl.render.pods import grace_s
from meshctl.words import pluralize

_SETTLE_S = 3  # between the two listings that must be equal
_LISTINGS = 4  # of each object while everything stands: to settle, before and after the copy, to compare
NOT_ESTIMATED = (
    "provisioning",
    "node start",
    "image pulls",
    "model load",
    "what changes between the seed and the stop",
)


@dataclass(frozen=True)
class Downtime:
    """`grace_s`: what may come on top, for the checkpoint. `source`: what `at_least_s` is made of."""

    workloads: tuple[str, ...]
    at_least_s: float
    grace_s: int
    source: str


def downtime(plan: MigrationPlan) -> Downtime | None:
    """None when nothing is stopped."""
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
    found = downtime(plan)
    document = None if found is None else {**asdict(found), "at_least_s": round(found.at_least_s, 1)}
    return {"downtime": document, "not_estimated": list(NOT_ESTIMATED)}


def downtime_lines(plan: MigrationPlan) -> list[str]:
    unknown = f"  in no estimate here: {', '.join(NOT_ESTIMATED)} (unknown, often minutes to hours)"
    found = downtime(plan)
    if found is None:
        return ["  none: nothing is stopped before it runs at the target", unknown]
    names = ", ".join(found.workloads)
    return [
        f"  {names}: at least {span(found.at_least_s)}, and before that up to {span(found.grace_s)} to save and end",
        f"    from: {found.source}",
        unknown,
    ]
