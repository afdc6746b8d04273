"""Who has set which field of a live object, and where that differs from what the mesh declares. PURE.

Called by `ownership` with objects as the API server gives them. The API server writes down in `metadata.managedFields`
which program ("manager") has set which field, and refuses a server-side apply that would change a field of another
manager: a conflict. The same rule stands here, so that conflicts are known before anything is applied.

A field's path is a tuple of the keys of `fieldsV1`: `f:NAME` is a field, `k:{…}` the item of a list that has these
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
    """A field of a live object that others have set, and that the mesh declares with another value.

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
    """What an apply of `declared` would be refused for, in the order of the fields' paths."""
    owners: dict[Path, set[Manager]] = {}
    for entry in _entries(live):
        manager = _manager(entry)
        if not manager.is_ours:
            for path in _leaves(entry.get("fieldsV1") or {}):
                owners.setdefault(path, set()).add(manager)
    found = []
    for path, managers in sorted(owners.items()):
        wanted, value = value_at(declared, path), value_at(live, path)
        if wanted is _MISSING or value is _MISSING or wanted == value or _is_late(wanted):
            continue
        name, kind = str(declared["metadata"]["name"]), str(declared["kind"])
        found.append(FieldConflict(resource, kind, name, path, tuple(sorted(managers)), value, wanted))
    return found


def without_fields(live: Mapping[str, Any], paths: Sequence[Path]) -> list[Json]:
    """`managedFields` of a live object in which nobody but ourselves has set `paths`. An entry that is left without
    fields goes."""
    entries = []
    for entry in _entries(live):
        fields = entry.get("fieldsV1") or {}
        if not _manager(entry).is_ours:
            for path in paths:
                fields = _without(fields, path)
        if fields:
            entries.append({**entry, "fieldsV1": fields})
    return entries


def value_at(value: Any, path: Path) -> Any:
    """What stands at a path of an object; a value of its own where there is nothing."""
    for key in path:
        value = _inner(value, key)
    return value


def path_text(path: Path) -> str:
    """For a person: `.spec.template.spec.containers[main].image`."""
    return "".join(_key_text(key) for key in path)


def _entries(live: Mapping[str, Any]) -> list[Json]:
    return list((live.get("metadata") or {}).get("managedFields") or ())


def _manager(entry: Mapping[str, Any]) -> Manager:
    subresource = str(entry.get("subresource") or "")
    return Manager(str(entry.get("manager") or "unknown"), str(entry.get("operation") or ""), subresource)


def _leaves(fields: Mapping[str, Any], above: Path = ()) -> Iterator[Path]:
    """The paths that have a value of their own. "." says that an item exists, which nobody can set otherwise."""
    for key, inner in fields.items():
        if key == "." or key.startswith(("v:", "i:")):
            continue
        if inner:
            yield from _leaves(inner, (*above, key))
        else:
            yield (*above, key)


def _without(fields: Json, path: Path) -> Json:
    """`fields` without the path, and without what is empty then. What only says that an item exists stays."""
    key, rest = path[0], path[1:]
    if key not in fields:
        return fields
    inner = _without(fields[key], rest) if rest else {}
    others = {name: value for name, value in fields.items() if name != key}
    return {**others, key: inner} if inner else others


def _inner(value: Any, key: str) -> Any:
    kind, _, name = key.partition(":")
    if kind == "f":
        return value.get(name, _MISSING) if isinstance(value, Mapping) else _MISSING
    if kind != "k" or not isinstance(value, list):
        return _MISSING
    wanted = json.loads(name)
    items = (item for item in value if isinstance(item, Mapping))
    return next((item for item in items if all(item.get(k) == v for k, v in wanted.items())), _MISSING)


def _is_late(value: Any) -> bool:
    """Whether a part of it is known only while the engine runs: then it can't be compared."""
    if isinstance(value, Mapping):
        return any(_is_late(inner) for inner in value.values())
    if isinstance(value, list):
        return any(_is_late(inner) for inner in value)
    return isinstance(value, LateValue)


def _key_text(key: str) -> str:
    kind, _, name = key.partition(":")
    if kind == "f":
        return f".{name}" if _PLAIN.fullmatch(name) else f"[{name}]"
    return f"[{'/'.join(str(value) for value in json.loads(name).values())}]"
