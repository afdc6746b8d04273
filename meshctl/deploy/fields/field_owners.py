"""Which program has set which field of a live object, and where that conflicts with the mesh. PURE.

Called by `ownership` with objects as the API server returns them. The API server records in `metadata.managedFields`
which program ("manager") has set which field, and refuses a server-side apply that would change a field of another
manager: a conflict. This module applies the same rule, so that conflicts are known before anything is applied.

A field's path is a tuple of the keys of `fieldsV1`: `f:NAME` is a field, `k:{…}` is the item of a list that has these
values. Source: Kubernetes documentation, "Server-Side Apply"; structured-merge-diff, value/fields.go.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from meshctl.render.objects import LateValue
from meshwire.marks import FIELD_MANAGER

Json = dict[str, Any]
Path = tuple[str, ...]

_MISSING = object()
_PLAIN = re.compile(r"[A-Za-z_]\w*")


@dataclass(frozen=True, order=True)
class Manager:
    """A program that has set fields: `subresource` is "scale" for `kubectl scale` and for autoscalers."""

    name: str
    operation: str
    subresource: str = ""

    @property
    def is_ours(self) -> bool:
        return self.name.startswith(FIELD_MANAGER)


@dataclass(frozen=True)
class FieldConflict:
    """A field of a live object that another manager has set, and that the mesh declares with another value.

    `resource` is the logical name (`workload/api:deployment`).
    """

    resource: str
    kind: str
    object_name: str
    path: Path
    managers: tuple[Manager, ...]
    live: Any
    wanted: Any

    @property
    def subject(self) -> str:
        return self.resource.partition(":")[0]


def field_conflicts(resource: str, declared: Mapping[str, Any], live: Mapping[str, Any]) -> list[FieldConflict]:
    """The conflicts for which an apply of `declared` would be refused, sorted by path."""
    owners: dict[Path, set[Manager]] = {}
    for entry in _entries(live):
        manager = _manager(entry)
        if not manager.is_ours:
            for path in _leaves(entry.get("fieldsV1") or {}):
                owners.setdefault(path, set()).add(manager)
    conflicts = []
    for path, managers in sorted(owners.items()):
        wanted, value = value_at(declared, path), value_at(live, path)
        if wanted is _MISSING or value is _MISSING or wanted == value or _has_deferred(wanted):
            continue
        name, kind = str(declared["metadata"]["name"]), str(declared["kind"])
        conflicts.append(FieldConflict(resource, kind, name, path, tuple(sorted(managers)), value, wanted))
    return conflicts


def is_owned_by_others(live: Mapping[str, Any], path: Path) -> bool:
    """Whether another program has set the field."""
    entries = (entry for entry in _entries(live) if not _manager(entry).is_ours)
    return any(path in _leaves(entry.get("fieldsV1") or {}) for entry in entries)


def is_owned_by_us(live: Mapping[str, Any], path: Path) -> bool:
    """Whether an `up` has set the field, and nobody has changed it since."""
    entries = (entry for entry in _entries(live) if _manager(entry).is_ours)
    return any(path in _leaves(entry.get("fieldsV1") or {}) for entry in entries)


def without_fields(live: Mapping[str, Any], paths: Sequence[Path]) -> list[Json]:
    """The `managedFields` of a live object in which no other manager owns `paths`. Entries without fields go."""
    entries = []
    for entry in _entries(live):
        fields = entry.get("fieldsV1") or {}
        if not _manager(entry).is_ours:
            for path in paths:
                fields = _without_path(fields, path)
        if fields:
            entries.append({**entry, "fieldsV1": fields})
    return entries


def value_at(value: Any, path: Path) -> Any:
    """The value at a path of an object; `_MISSING` when there is none."""
    for key in path:
        value = _inner(value, key)
    return value


def path_text(path: Path) -> str:
    """The path for a person: `.spec.template.spec.containers[main].image`."""
    return "".join(_key_text(key) for key in path)


def _entries(live: Mapping[str, Any]) -> list[Json]:
    return list((live.get("metadata") or {}).get("managedFields") or ())


def _manager(entry: Mapping[str, Any]) -> Manager:
    subresource = str(entry.get("subresource") or "")
    return Manager(str(entry.get("manager") or "unknown"), str(entry.get("operation") or ""), subresource)


def _leaves(fields: Mapping[str, Any], above: Path = ()) -> Iterator[Path]:
    """The paths of fields with values. The key "." only says that an item exists, so it can't conflict."""
    for key, inner in fields.items():
        if key == "." or key.startswith(("v:", "i:")):
            continue
        if inner:
            yield from _leaves(inner, (*above, key))
        else:
            yield (*above, key)


def _without_path(fields: Json, path: Path) -> Json:
    """`fields` without the path, and without parents that become empty. Keys that say that an item exists stay."""
    key, rest = path[0], path[1:]
    if key not in fields:
        return fields
    inner = _without_path(fields[key], rest) if rest else {}
    remaining = {name: value for name, value in fields.items() if name != key}
    return {**remaining, key: inner} if inner else remaining


def _inner(value: Any, key: str) -> Any:
    kind, _, name = key.partition(":")
    if kind == "f":
        return value.get(name, _MISSING) if isinstance(value, Mapping) else _MISSING
    if kind != "k" or not isinstance(value, list):
        return _MISSING
    wanted = json.loads(name)
    items = (item for item in value if isinstance(item, Mapping))
    return next((item for item in items if all(item.get(k) == v for k, v in wanted.items())), _MISSING)


def _has_deferred(value: Any) -> bool:
    """Whether a part of the value is known only while the engine runs, so that it can't be compared."""
    if isinstance(value, Mapping):
        return any(_has_deferred(inner) for inner in value.values())
    if isinstance(value, list):
        return any(_has_deferred(inner) for inner in value)
    return isinstance(value, LateValue)


def _key_text(key: str) -> str:
    kind, _, name = key.partition(":")
    if kind == "f":
        return f".{name}" if _PLAIN.fullmatch(name) else f"[{name}]"
    return f"[{'/'.join(str(value) for value in json.loads(name).values())}]"
