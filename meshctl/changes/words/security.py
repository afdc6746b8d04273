"""Kubernetes security contexts in the words of `user`. PURE. Called by `fields`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def user(context: Any) -> str | None:
    """Of a pod's `securityContext`: whom its containers run as."""
    if not isinstance(context, Mapping):
        return None
    uid = context.get("runAsUser")
    if uid is None:
        return "image"
    return "root" if uid == 0 else str(uid)


def capabilities(context: Any) -> str | None:
    """Of a container's `securityContext`: what it may do beyond what its user may."""
    if context is not None and not isinstance(context, Mapping):
        return None
    named = (context or {}).get("capabilities") or {}
    base = "none" if "ALL" in (named.get("drop") or ()) else "the runtime's own"
    added = ", ".join(named.get("add") or ())
    if not added:
        return base
    return added if base == "none" else f"{base} and {added}"
