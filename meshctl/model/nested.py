"""Merges nested values, as Kubernetes merges a patch into an object. PURE. Called by `resolve` and `render`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def merged(base: Any, overrides: Any) -> Any:
    """Mappings are merged key by key, and lists whose entries have names by name; anything else is replaced."""
    if isinstance(base, Mapping) and isinstance(overrides, Mapping):
        return {key: merged(base[key], overrides[key]) if key in overrides else base[key] for key in base} | {
            key: value for key, value in overrides.items() if key not in base
        }
    old, new = _by_name(base), _by_name(overrides)
    if old is None or new is None:
        return overrides
    return [merged(entry, new.get(name, {})) for name, entry in old.items()] + [
        entry for name, entry in new.items() if name not in old
    ]


def _by_name(entries: Any) -> dict[str, Any] | None:
    """The entries of a list by their names; None for what is no list of named entries."""
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) and "name" in entry for entry in entries):
        return None
    return {str(entry["name"]): entry for entry in entries}
