"""Steps that copy, settle and compare object stores. EDGE: through `World.object_access` and `Data`."""

from __future__ import annotations

import math
from typing import Any

from meshctl.errors import ParityError
from meshctl.migrate.steps.work import Work
from meshctl.objects.seeded import ETags
from meshctl.objects.sync import Copied
from meshctl.objects.verify import listing_digest

_SETTLE_S = 3.0
_SETTLE_TIMEOUT_S = 600
_SHOWN = 5


def act_seed(work: Work) -> dict[str, Any]:
    """Copy what is there while the source runs; nothing is deleted yet. `target_digest`: what warm workloads read."""
    copied = _copied(work, "source", "target", delete=False, live=True)
    at_target = work.data.listing(work.access("target", work.step.store))
    return {**_counts(copied), "target_digest": listing_digest(at_target), "etags": dict(copied.etags)}


def act_copy(work: Work) -> dict[str, Any]:
    """Everything that was described anew before the seed began was found by the seed, which has more time."""
    store = work.step.store
    seeds = (r.at for r in work.history.records if (r.step, r.kind) == (f"seed/{store}", "intent"))
    since = min(seeds, default=0.0)
    seed = work.history.done.get(f"seed/{store}")
    known = seed.data.get("etags", {}) if seed is not None else {}  # none in a journal begun by an older meshctl
    check = f"verify/{store}"
    return _counts(_copied(work, "source", "target", delete=True, since=since, known=known, check=check))


def act_copy_back(work: Work) -> dict[str, Any]:
    """All of the source's objects are older than their copies: which were described anew there can't be told."""
    check = f"rollback/verify.{work.step.store}"
    return _counts(_copied(work, "target", "source", delete=False, since=math.inf, check=check))


def _copied(
    work: Work,
    origin: str,
    to: str,
    *,
    delete: bool,
    live: bool = False,
    since: float = 0.0,
    known: ETags | None = None,
    check: str = "",
) -> Copied:
    here, there = work.access(origin, work.step.store), work.access(to, work.step.store)
    again: tuple[str, ...] = ()
    if check in work.history.failures:
        # an earlier comparison failed: size and time did not show the difference, so find it by content
        found = work.data.compare(here, there, deep=_deep(work), on_read=work.on_copied, stop=work.stop)
        again = found.differing
    return work.data.copy(
        here,
        there,
        delete=delete,
        live=live,
        again=again,
        since=since,
        known=known or {},
        on_copied=work.on_copied,
        stop=work.stop,
    )


def _counts(copied: Copied) -> dict[str, Any]:
    return {"objects": copied.objects, "bytes": copied.total_bytes, "deleted": copied.deleted}


def act_settle(work: Work) -> dict[str, Any]:
    """Wait until two listings agree: what was in flight when the pods ended has arrived."""
    side = work.access(work.step.side, work.step.store)
    last = work.data.listing(side)

    def changed() -> str:
        nonlocal last
        work.pause(_SETTLE_S)
        now, before = work.data.listing(side), last
        last = now
        keys = sorted(key for key in now.keys() | before.keys() if now.get(key) != before.get(key))
        return f"still changing: {', '.join(keys[:_SHOWN])}" if keys else ""

    hint = "something outside the mesh writes there; stop it"
    work.until(f"{work.step.store} written to the end", changed, _SETTLE_TIMEOUT_S, hint)
    return {"objects": len(last)}


def act_compare(work: Work) -> dict[str, Any]:
    """The gate: raises ParityError unless both sides are the same."""
    here, there = work.access("source", work.step.store), work.access("target", work.step.store)
    found = work.data.compare(here, there, deep=_deep(work), on_read=work.on_copied, stop=work.stop)
    if not found.equal:
        raise _different(work, found.missing, found.extra, found.differing)
    return found.document()


def act_compare_back(work: Work) -> dict[str, Any]:
    """Everything at the target must be at the source; the source may hold more."""
    here, there = work.access("target", work.step.store), work.access("source", work.step.store)
    found = work.data.compare(here, there, deep=_deep(work), on_read=work.on_copied, stop=work.stop)
    if found.missing or found.differing:
        raise _different(work, found.missing, (), found.differing)
    return found.document()


def _deep(work: Work) -> bool:
    return work.plan.options.deep_verify


def _different(work: Work, missing: tuple[str, ...], extra: tuple[str, ...], other: tuple[str, ...]) -> ParityError:
    kinds = (("missing", missing), ("only at the target", extra), ("with other content", other))
    why = "; ".join(f"{len(keys)} {what} ({', '.join(keys[:_SHOWN])})" for what, keys in kinds if keys)
    return ParityError(
        f"{work.step.store}: source and target differ",
        why=why,
        hint="something writes to one of them: stop it; resuming copies the differing objects again",
    )
