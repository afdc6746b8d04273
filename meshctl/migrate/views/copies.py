"""Up to when the target of an expansion has what is in the source's stores. PURE. Used by `views`."""

from __future__ import annotations

import re
from typing import Final

from meshctl.migrate.journal.history import History
from meshctl.migrate.planning.plan import read_stores, written_stores
from meshctl.migrate.views.summary import utc

_COPY: Final = re.compile(r"(?:seed/|sync/|round\d+/seed\.)(?P<store>.+)")


def copied_at(history: History) -> dict[str, float]:
    """When the last complete copy of each store began: what was written later is not at the target yet. By store;
    without those that were not copied yet."""
    began: dict[str, float] = {}
    copied: dict[str, float] = {}
    for record in history.records:
        match = _COPY.fullmatch(record.step)
        if match is None:
            continue
        if record.kind == "intent":
            began[record.step] = record.at
        elif record.kind == "done" and record.step in began:
            copied[match["store"]] = began[record.step]
    return copied


def copied_text(history: History) -> str:
    """`weights as of 2026-11-29T12:00:00Z, may be newer in aws-east`; "" of a migration, and before the first copy."""
    if history.share is None:
        return ""
    plan = history.plan
    read = {store for workload in plan.target.workloads for store in read_stores(workload)}
    written = {store for workload in plan.source.workloads for store in written_stores(workload)} & read
    since = f", may be newer in {plan.source.environment}"
    return "; ".join(
        f"{store} as of {utc(at)}{since if store in written else ''}"
        for store, at in sorted(copied_at(history).items())
    )
