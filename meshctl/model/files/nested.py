"""Merges nested values, as Kubernetes merges a patch into a pod. PURE. Called by `resolve` and `render`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

# Lists whose entries are identified by another key than their name: a volume may be mounted at several paths.
_IDENTITIES: Final = {"volumeMounts": "mountPath"}
# Lists that are appended to each other: each of their entries allows something more.
_APPENDED: Final = ("tolerations",)


def merged(base: Any, overrides: Any, field: str = "") -> Any:
    """Mappings are merged key by key, and lists whose entries have names by name; tolerations are added; anything else
    is replaced. `field`: the key that both are the value of."""
    if isinstance(base, Mapping) and isinstance(overrides, Mapping):
        return {key: merged(base[key], overrides[key], key) if key in overrides else base[key] for key in base} | {
            key: value for key, value in overrides.items() if key not in base
        }
    if isinstance(base, list) and isinstance(overrides, list):
        return _merged_lists(base, overrides, field)
    return overrides


def _merged_lists(base: list[Any], overrides: list[Any], field: str) -> list[Any]:
    identity = _IDENTITIES.get(field, "name")
    is_named = all(isinstance(entry, Mapping) and identity in entry for entry in (*base, *overrides))
    if field in _APPENDED or (is_named and not (_is_unique(base, identity) and _is_unique(overrides, identity))):
        return [*base, *(entry for entry in overrides if entry not in base)]
    if not is_named:
        return overrides
    overrides_by_name = {entry[identity]: entry for entry in overrides}
    base_names = {entry[identity] for entry in base}
    return [merged(entry, overrides_by_name.get(entry[identity], {})) for entry in base] + [
        entry for name, entry in overrides_by_name.items() if name not in base_names
    ]


def _is_unique(entries: list[Any], identity: str) -> bool:
    """Whether no two of the entries have the same name."""
    return len({str(entry[identity]) for entry in entries}) == len(entries)
