"""The size of groups of pods, in the words of a mesh. PURE. Called by `fields`."""

from __future__ import annotations

from typing import Any

Size = tuple[str, int, int]  # the term, and both numbers


def size(path: str, old: Any, new: Any) -> Size | None:
    """Of a changed StatefulSet with the pods of a group after the first, whose number leaves out that one; None of
    anything else. `old`, `new`: its declared `spec`."""
    is_of_workers = path == "spec.replicas" and bool(((new or {}).get("ordinals") or {}).get("start"))
    if not is_of_workers:
        return None
    before, after = (int((spec or {}).get("replicas") or 0) for spec in (old, new))
    if not (before and after):  # a migration stops or starts it
        return "replicas", before, after
    return "nodes", before + 1, after + 1
