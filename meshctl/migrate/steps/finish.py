"""Checks, before the source's data is deleted, that the target has all of it. EDGE; `uncompared_keys` is PURE.

While a migration waits for `finish`, something outside the mesh (an uploader, for example) may still write to the old
bucket. Only such writes count: the target may have changed or deleted its own objects since the comparison.
"""

from __future__ import annotations

from typing import Any

from meshctl.errors import MigrationError
from meshctl.migrate.journal.history import History
from meshctl.migrate.steps.context import StepContext
from meshctl.objects.listing import Listing, NoBucketError
from meshctl.objects.verify import proves_equal
from meshctl.words import counted

_SHOWN = 5


def check_data(context: StepContext) -> dict[str, Any]:
    """Raises: MigrationError when objects of the source would be deleted that the target never had."""
    found: dict[str, list[str]] = {}
    objects = 0
    for move in context.plan.moves:
        here = _listing_of_source(context, move.store)
        objects += len(here)
        there = context.data.listing(context.access("target", move.store)) if here else {}
        found[move.store] = uncompared_keys(here, there, newest_compared(context.history, move.store))
    keys = [f"{store}/{key}" for store, found_keys in found.items() for key in found_keys]
    if keys:
        source, target = context.plan.source.environment, context.plan.target.environment
        more = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
        raise MigrationError(
            f"{counted(len(keys), 'object')} came to {source} after the comparison: {target} does not have them",
            why=f"they would be deleted unseen: {', '.join(keys[:_SHOWN])}{more}",
            hint=f"stop what writes there and copy them to {target}, or finish without --delete-source-data",
        )
    return {"objects": objects}


def _listing_of_source(context: StepContext, store: str) -> Listing:
    """Of the source. A run that was cut off may have deleted the bucket already."""
    try:
        return context.data.listing(context.access("source", store))
    except NoBucketError:
        return {}


def uncompared_keys(source: Listing, target: Listing, until: float) -> list[str]:
    """Keys written at the source after `until` whose content the target can't be shown to have, or to have replaced."""
    return sorted(
        key
        for key, item in source.items()
        if item.modified > until
        and (key not in target or not (proves_equal(item, target[key]) or target[key].modified > item.modified))
    )


def newest_compared(history: History, store: str) -> float:
    """When the newest object was written that the comparison saw, by the source's clock; 0 without a comparison.

    Listings may tell whole seconds only: what followed that object within its second is not told from it.
    """
    record = history.done.get(f"verify/{store}")
    if record is None or "source" not in record.data:
        return 0.0
    newest = record.data["source"].get("newest")
    if newest is not None:
        return float(newest)
    # a journal made before that was kept: our own clock, and listings that tell whole seconds
    return max(r.at for r in history.records if (r.step, r.kind) == (record.step, "intent")) - 1
