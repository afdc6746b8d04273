"""Steps that copy, settle and compare object stores. EDGE: through `Gateway.object_access` and `Data`."""

from __future__ import annotations

import math
from typing import Any

from meshctl.errors import ParityError
from meshctl.migrate.steps.context import StepContext
from meshctl.objects.seeded import ETags
from meshctl.objects.sync import CopyResult
from meshctl.objects.verify import listing_digest

_SETTLE_S = 3.0
_SETTLE_TIMEOUT_S = 600
_SHOWN = 5


def act_seed(context: StepContext) -> dict[str, Any]:
    """Copy what is there while the source runs; nothing is deleted yet. `target_digest`: what warm workloads read."""
    copied = _copied(context, "source", "target", delete=False, live=True)
    at_target = context.data.listing(context.access("target", context.step.store))
    return {**_counts(copied), "target_digest": listing_digest(at_target), "etags": dict(copied.etags)}


def act_copy(context: StepContext) -> dict[str, Any]:
    """Everything that was described anew before the seed began was found by the seed, which has more time."""
    store = context.step.store
    seeds = (r.at for r in context.history.records if (r.step, r.kind) == (f"seed/{store}", "intent"))
    since_s = min(seeds, default=0.0)
    seed = context.history.done.get(f"seed/{store}")
    seeded_etags = seed.data.get("etags", {}) if seed is not None else {}  # none in a journal begun by an older meshctl
    check = f"verify/{store}"
    return _counts(
        _copied(context, "source", "target", delete=True, since_s=since_s, seeded_etags=seeded_etags, check=check)
    )


def act_copy_back(context: StepContext) -> dict[str, Any]:
    """All of the source's objects are older than their copies: which were described anew there can't be told."""
    check = f"rollback/verify.{context.step.store}"
    return _counts(_copied(context, "target", "source", delete=False, since_s=math.inf, check=check))


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
) -> CopyResult:
    here, there = context.access(origin, context.step.store), context.access(to, context.step.store)
    recopy: tuple[str, ...] = ()
    if check in context.history.failures:
        # an earlier comparison failed: size and time did not show the difference, so find it by content
        found = context.data.compare(here, there, deep=_deep(context), on_read=context.on_copied, stop=context.stop)
        recopy = found.differing
    return context.data.copy(
        here,
        there,
        delete=delete,
        live=live,
        recopy=recopy,
        since_s=since_s,
        seeded_etags=seeded_etags or {},
        on_copied=context.on_copied,
        stop=context.stop,
    )


def _counts(copied: CopyResult) -> dict[str, Any]:
    return {"objects": copied.objects, "bytes": copied.total_bytes, "deleted": copied.deleted}


def act_settle(context: StepContext) -> dict[str, Any]:
    """Wait until two listings agree: what was in flight when the pods ended has arrived."""
    side = context.access(context.step.side, context.step.store)
    last = context.data.listing(side)

    def changed() -> str:
        nonlocal last
        context.pause(_SETTLE_S)
        now, before = context.data.listing(side), last
        last = now
        keys = sorted(key for key in now.keys() | before.keys() if now.get(key) != before.get(key))
        return f"still changing: {', '.join(keys[:_SHOWN])}" if keys else ""

    hint = "something outside the mesh writes there; stop it"
    context.wait_until(f"{context.step.store} written to the end", changed, _SETTLE_TIMEOUT_S, hint)
    return {"objects": len(last)}


def act_compare(context: StepContext) -> dict[str, Any]:
    """The gate: raises ParityError unless both sides are the same."""
    here, there = context.access("source", context.step.store), context.access("target", context.step.store)
    found = context.data.compare(here, there, deep=_deep(context), on_read=context.on_copied, stop=context.stop)
    if not found.equal:
        raise _different(context, found.missing, found.extra, found.differing)
    return found.document()


def act_compare_back(context: StepContext) -> dict[str, Any]:
    """Everything at the target must be at the source; the source may hold more."""
    here, there = context.access("target", context.step.store), context.access("source", context.step.store)
    found = context.data.compare(here, there, deep=_deep(context), on_read=context.on_copied, stop=context.stop)
    if found.missing or found.differing:
        raise _different(context, found.missing, (), found.differing)
    return found.document()


def _deep(context: StepContext) -> bool:
    return context.plan.options.deep_verify


def _different(
    context: StepContext, missing: tuple[str, ...], extra: tuple[str, ...], other: tuple[str, ...]
) -> ParityError:
    kinds = (("missing", missing), ("only at the target", extra), ("with other content", other))
    why = "; ".join(f"{len(keys)} {what} ({', '.join(keys[:_SHOWN])})" for what, keys in kinds if keys)
    return ParityError(
        f"{context.step.store}: source and target differ",
        why=why,
        hint="something writes to one of them: stop it; resuming copies the differing objects again",
    )
