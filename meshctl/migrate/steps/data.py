"""Steps that copy and compare object stores, and wait for the end of writes. EDGE: through `Gateway` and `Data`."""

from __future__ import annotations

import math
from typing import Any

from meshctl.errors import ParityError
from meshctl.migrate.steps.context import StepContext
from meshctl.objects.listing import of_others
from meshctl.objects.seeded import ETags
from meshctl.objects.sync import CopyResult
from meshctl.objects.verify import listing_digest

_SETTLE_S = 3.0
_SETTLE_TIMEOUT_S = 600
_MAX_SHOWN = 5


def act_seed(context: StepContext) -> dict[str, Any]:
    """Copy while the source runs; nothing is deleted yet. `target_digest`: the state that warm workloads will read."""
    copied = _copied(context, "source", "target", delete=False, live=True)
    at_target = context.data.listing(context.access("target", context.step.store))
    return {**_counts(copied), "target_digest": listing_digest(at_target), "etags": dict(copied.etags)}


def act_copy(context: StepContext) -> dict[str, Any]:
    """The last copy, with deletions, except in an adopted bucket, which may hold objects of other people.

    Metadata is compared only for objects written since the seed began: the seed has compared the others.
    """
    store = context.step.store
    seeds = (r.at for r in context.history.records if (r.step, r.kind) == (f"seed/{store}", "intent"))
    since_s = min(seeds, default=0.0)
    seed = context.history.done.get(f"seed/{store}")
    seeded_etags = seed.data.get("etags", {}) if seed is not None else {}  # older versions did not record them
    check = f"verify/{store}"
    return _counts(
        _copied(
            context,
            "source",
            "target",
            delete=not _is_target_adopted(context),
            since_s=since_s,
            seeded_etags=seeded_etags,
            check=check,
        )
    )


def _is_target_adopted(context: StepContext) -> bool:
    """Whether the target's bucket is somebody else's: it may hold more than the mesh's objects."""
    return context.plan.target.object_store(context.step.store).is_adopted


def act_copy_back(context: StepContext) -> dict[str, Any]:
    """Copy what was written at the target back to the source. Metadata is not compared: every object at the target is
    newer than the source's, so the time does not show which metadata has changed. What others had in an adopted bucket
    stays there.
    """
    check = f"rollback/verify.{context.step.store}"
    others_until_s = _others_until_s(context)
    copied = _copied(
        context, "target", "source", delete=False, since_s=math.inf, check=check, others_until_s=others_until_s
    )
    return _counts(copied)


def _others_until_s(context: StepContext) -> float:
    """Until when an object in an adopted target is somebody else's if the source has none of its key: until source and
    target were compared, before anything of the mesh could write there. 0 for a bucket of the mesh's own."""
    compared = context.history.done.get(f"verify/{context.step.store}")
    if compared is None or not _is_target_adopted(context):
        return 0.0
    return float(compared.data.get("target", {}).get("newest", 0.0))


def _copied(
    context: StepContext,
    origin: str,
    to: str,
    *,
    delete: bool,
    live: bool = False,
    since_s: float = 0.0,
    seeded_etags: ETags | None = None,
    check: str = "",
    others_until_s: float = 0.0,
) -> CopyResult:
    origin_access, to_access = context.access(origin, context.step.store), context.access(to, context.step.store)
    recopy: tuple[str, ...] = ()
    if check in context.history.failures:
        # an earlier comparison failed: size and time do not show the difference, so the content is compared
        comparison = context.data.compare(
            origin_access, to_access, deep=_deep(context), on_read=context.on_copied, stop=context.stop
        )
        recopy = comparison.differing
    return context.data.copy(
        origin_access,
        to_access,
        delete=delete,
        live=live,
        recopy=recopy,
        since_s=since_s,
        seeded_etags=seeded_etags or {},
        others_until_s=others_until_s,
        on_copied=context.on_copied,
        stop=context.stop,
    )


def _counts(copied: CopyResult) -> dict[str, Any]:
    return {"objects": copied.objects, "bytes": copied.total_bytes, "deleted": copied.deleted}


def act_settle(context: StepContext) -> dict[str, Any]:
    """Wait until two listings are equal, so that writes that were in flight when the pods ended have arrived."""
    side = context.access(context.step.side, context.step.store)
    last = context.data.listing(side)

    def changed() -> str:
        nonlocal last
        context.pause(_SETTLE_S)
        current, previous = context.data.listing(side), last
        last = current
        keys = sorted(key for key in current.keys() | previous.keys() if current.get(key) != previous.get(key))
        return f"still changing: {', '.join(keys[:_MAX_SHOWN])}" if keys else ""

    hint = "stop whatever writes there; it is not a workload of the mesh"
    context.wait_until(f"the end of all writes to {context.step.store}", changed, _SETTLE_TIMEOUT_S, hint)
    return {"objects": len(last)}


def act_compare(context: StepContext) -> dict[str, Any]:
    """Raises: ParityError unless source and target are equal; an adopted bucket may have more objects. Only warm
    workloads start at the target before."""
    source, target = context.access("source", context.step.store), context.access("target", context.step.store)
    comparison = context.data.compare(source, target, deep=_deep(context), on_read=context.on_copied, stop=context.stop)
    extra = () if _is_target_adopted(context) else comparison.extra
    if comparison.missing or extra or comparison.differing:
        raise _different(context, comparison.missing, extra, comparison.differing)
    return comparison.document()


def act_compare_back(context: StepContext) -> dict[str, Any]:
    """Raises: ParityError unless every object of the target is at the source, but for those of others in an adopted
    bucket; the source may have more objects."""
    target, source = context.access("target", context.step.store), context.access("source", context.step.store)
    comparison = context.data.compare(target, source, deep=_deep(context), on_read=context.on_copied, stop=context.stop)
    until_s = _others_until_s(context)
    missing = comparison.missing
    if missing and until_s:
        others = of_others(context.data.listing(target), context.data.listing(source), until_s)
        missing = tuple(key for key in missing if key not in others)
    if missing or comparison.differing:
        raise _different(context, missing, (), comparison.differing)
    return comparison.document()


def _deep(context: StepContext) -> bool:
    return context.plan.options.deep_verify


def _different(
    context: StepContext, missing: tuple[str, ...], extra: tuple[str, ...], other: tuple[str, ...]
) -> ParityError:
    kinds = (("missing", missing), ("only at the target", extra), ("with different content", other))
    why = "; ".join(f"{len(keys)} {what} ({', '.join(keys[:_MAX_SHOWN])})" for what, keys in kinds if keys)
    return ParityError(
        f"{context.step.store}: source and target differ",
        why=why,
        hint="stop whatever writes to one of them, then resume: the differing objects are copied again",
    )
