"""What Kueue decides about a live Job in one of its queues, whatever the mesh says of a queue by now. PURE.

Called by `ownership`. Kueue lets no job that has started change its queue, so a Job keeps its label until it is made
anew, and as long as it has one, Kueue starts it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from meshctl.model.keys import job_order
from meshctl.render import PlatformObject
from meshctl.render.controllers.jobs import OF_FLAVORS, SUSPEND


def as_in_its_queue(item: PlatformObject, live: Mapping[str, Any]) -> PlatformObject:
    """The declared Job with what is Kueue's in the live one; every other object as it is. A Job that is declared
    suspended is held, which `left` says already, or a migration pauses it, about which Kueue has no say."""
    labels = (live.get("metadata") or {}).get("labels") or {}
    if item.kind != "Job" or job_order.QUEUE_LABEL not in labels:
        return item
    is_to_run = item.manifest["spec"].get("suspend") is False
    left = {*item.left, SUSPEND} if is_to_run else {*item.left}
    return replace(item, left=tuple(sorted(left)), added_to=tuple(sorted({*item.added_to, *OF_FLAVORS})))
