"""Who owned the labels of a node before a shift, and how they get them back. PURE. Used by `node_changes`.

A patch that changes a field makes its manager the field's only owner (Kubernetes documentation, "Server-Side Apply",
"Field management"). Left so, `meshctl destroy` would not remove the labels that `up` has set: it gives up what its own
manager owns.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from meshctl.shift.gateway import FIELD_MANAGER

_LABELS: Final = "f:labels"
_METADATA: Final = "f:metadata"

Entry = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Owner:
    """A manager that owns the label, as an entry of `managedFields` names it."""

    label: str
    manager: str
    operation: str
    api_version: str
    subresource: str = ""

    def is_of(self, entry: Entry) -> bool:
        key = (entry.get("manager"), entry.get("operation"), entry.get("subresource") or "")
        return key == (self.manager, self.operation, self.subresource)


def owners(node: Mapping[str, Any], labels: Iterable[str]) -> tuple[Owner, ...]:
    """The owners of these labels, without the manager of shifts."""
    wanted = sorted(labels)
    return tuple(
        Owner(label, entry["manager"], entry["operation"], entry.get("apiVersion", "v1"), entry.get("subresource", ""))
        for entry in _entries(node)
        for label in wanted
        if f"f:{label}" in _labels(entry) and entry.get("manager") != FIELD_MANAGER
    )


def restored(node: Mapping[str, Any], before: Iterable[Owner]) -> list[dict[str, Any]] | None:
    """The node's `managedFields` without the shift's own, and with the labels at their owners from before; None where
    nothing is to be changed. Fields that a shift has taken from a manager and that are no labels belong to nobody."""
    entries = [dict(entry) for entry in _entries(node) if entry.get("manager") != FIELD_MANAGER]
    for owner in before:
        index = next((i for i, entry in enumerate(entries) if owner.is_of(entry)), None)
        if index is None:
            entries.append(_new(owner))
            index = len(entries) - 1
        entries[index] = _with_label(entries[index], owner.label)
    return entries if entries != list(_entries(node)) else None


def _entries(node: Mapping[str, Any]) -> list[Entry]:
    return list(node["metadata"].get("managedFields") or ())


def _labels(entry: Entry) -> Mapping[str, Any]:
    fields = entry.get("fieldsV1") or {}
    labels: Mapping[str, Any] = (fields.get(_METADATA) or {}).get(_LABELS) or {}
    return labels


def _new(owner: Owner) -> dict[str, Any]:
    entry = {"manager": owner.manager, "operation": owner.operation, "apiVersion": owner.api_version}
    subresource = {"subresource": owner.subresource} if owner.subresource else {}
    return {**entry, **subresource, "fieldsType": "FieldsV1", "fieldsV1": {}}


def _with_label(entry: dict[str, Any], label: str) -> dict[str, Any]:
    fields = entry.get("fieldsV1") or {}
    metadata = fields.get(_METADATA) or {}
    labels = {**(metadata.get(_LABELS) or {}), f"f:{label}": {}}
    return {**entry, "fieldsV1": {**fields, _METADATA: {**metadata, _LABELS: labels}}}
