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
from meshctl.words import pluralize

_MAX_SHOWN = 5


def check_data(context: StepContext) -> dict[str, Any]:
    """Raises: MigrationError if objects would be deleted at the source that the target never had."""
    uncompared: dict[str, list[str]] = {}
    objects = 0
    for move in context.plan.moves:
        at_source = _listing_of_source(context, move.store)
        objects += len(at_source)
        at_target = context.data.listing(context.access("target", move.store)) if at_source else {}
        uncompared[move.store] = uncompared_keys(at_source, at_target, newest_compared(context.history, move.store))
    keys = [f"{store}/{key}" for store, store_keys in uncompared.items() for key in store_keys]
    if keys:
        source, target = context.plan.source.environment, context.plan.target.environment
        more = f" and {len(keys) - _MAX_SHOWN} more" if len(keys) > _MAX_SHOWN else ""
        raise MigrationError(
            f"{pluralize(len(keys), 'object')} came to {source} after the comparison: {target} does not have them",
            why=f"they would be deleted: {', '.join(keys[:_MAX_SHOWN])}{more}",
            hint=f"stop whatever writes there and copy them to {target}, or finish without --delete-source-data",
        )
    return {"objects": objects}


def _listing_of_source(context: StepContext, store: str) -> Listing:
    """The source's listing; empty if the bucket does not exist, because an interrupted run has already deleted it."""
    try:
        return context.data.listing(context.access("source", store))
    except NoBucketError:
        return {}


def uncompared_keys(source: Listing, target: Listing, until: float) -> list[str]:
    """Keys written at the source after `until` for which the target has neither the same content nor a newer object."""
    return sorted(
        key
        for key, item in source.items()
        if item.modified > until
        and (key not in target or not (proves_equal(item, target[key]) or target[key].modified > item.modified))
    )


def newest_compared(history: History, store: str) -> float:
    """When the newest object was written that the comparison has seen, by the source's clock; 0 without a comparison.

    Listings may have a resolution of a second: objects written later within that second are not distinguished.
    """
    record = history.done.get(f"verify/{store}")
    if record is None or "source" not in record.data:
        return 0.0
    newest = record.data["source"].get("newest")
    if newest is not None:
        return float(newest)
    # a journal of an older version: this machine's clock, and one second less for the resolution of listings
    return max(r.at for r in history.records if (r.step, r.kind) == (record.step, "intent")) - 1
