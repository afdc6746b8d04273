"""The changes of a shift to one node, each as one merge patch: hold, hand over, release, and the way back. PURE.

Every patch carries the resourceVersion of the node that it was made from, so that a change by somebody else in between
is a conflict and is not overwritten. Taints are a list, which a patch replaces as a whole: each patch starts from the
taints of now, so that those of others stay (a cordoned node has one of the node controller's).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from meshctl.model.deployment import Taint
from meshctl.shift.planning import field_owners
from meshctl.shift.planning.field_owners import Owner

Patch = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Original:
    """What a node had before the shift, as far as the shift changes it. A label that it did not have is None.
    `order`: key and effect of all taints of the node, also of others', in the order that the way back restores.
    `owners`: who owned the labels, by the node's managedFields."""

    labels: Mapping[str, str | None]
    taints: tuple[Taint, ...]
    order: tuple[tuple[str, str], ...]
    unschedulable: bool
    owners: tuple[Owner, ...] = ()


def original(node: Mapping[str, Any], labels: Iterable[str], taints: Iterable[Taint]) -> Original:
    """`labels`: the keys that the shift writes; `taints`: all of both pools. To be recorded before the first change."""
    labels = sorted(labels)
    existing = node["metadata"].get("labels") or {}
    own = {(taint.key, taint.effect) for taint in taints}
    return Original(
        {key: existing.get(key) for key in labels},
        tuple(taint for taint in _taints(node) if (taint.key, taint.effect) in own),
        tuple((taint.key, taint.effect) for taint in _taints(node)),
        bool(node.get("spec", {}).get("unschedulable")),
        field_owners.owners(node, labels),
    )


def hold(node: Mapping[str, Any]) -> Patch:
    """Nothing new is scheduled on the node."""
    return _patch(node, {}, {"unschedulable": True})


def hand_over(
    node: Mapping[str, Any], labels: Mapping[str, str], giving: Sequence[Taint], taking: Sequence[Taint]
) -> Patch:
    """The labels and taints of the taking pool instead of those of the giving one, in one patch. Labels that the node
    has already, as that of the mesh, stay with their owners."""
    existing = node["metadata"].get("labels") or {}
    changed = {key: value for key, value in labels.items() if existing.get(key) != value}
    return _patch(node, changed, {"taints": _exchanged(node, giving, taking)})


def release(node: Mapping[str, Any], before: Original) -> Patch:
    """Pods may be scheduled again, unless the node was cordoned before the shift."""
    return _patch(node, {}, {"unschedulable": before.unschedulable or None})


def put_back(node: Mapping[str, Any], before: Original, taking: Sequence[Taint]) -> Patch:
    """Labels and taints as they were; the node stays cordoned until `release`."""
    taints = _exchanged(node, (*taking, *before.taints), before.taints) or []
    places = {taint: place for place, taint in enumerate(before.order)}
    taints.sort(key=lambda taint: places.get((taint["key"], taint["effect"]), len(places)))  # stable: new ones last
    return _patch(node, dict(before.labels), {"taints": taints or None})


def give_back_fields(node: Mapping[str, Any], before: Original) -> Patch | None:
    """Gives the labels back to their previous owners, and leaves the shift none; None where nothing is to be changed.
    To be done last, since each patch makes the shift an owner again."""
    entries = field_owners.restored(node, before.owners)
    if entries is None:
        return None
    return {"metadata": {"resourceVersion": node["metadata"]["resourceVersion"], "managedFields": entries}}


def _patch(node: Mapping[str, Any], labels: dict[str, Any], spec: dict[str, Any]) -> Patch:
    metadata: dict[str, Any] = {"resourceVersion": node["metadata"]["resourceVersion"]}
    if labels:
        metadata["labels"] = labels
    return {"metadata": metadata, "spec": spec}


def _exchanged(node: Mapping[str, Any], out: Sequence[Taint], into: Sequence[Taint]) -> list[dict[str, Any]] | None:
    """The node's taints without `out` and with `into`; None, which removes the field, where none are left."""
    replaced = {(taint.key, taint.effect) for taint in (*out, *into)}
    of_others = [
        taint for taint in node.get("spec", {}).get("taints") or () if (taint["key"], taint["effect"]) not in replaced
    ]
    return [*map(_as_object, into), *of_others] or None


def _taints(node: Mapping[str, Any]) -> tuple[Taint, ...]:
    listed = node.get("spec", {}).get("taints") or ()
    return tuple(Taint(key=each["key"], value=each.get("value", ""), effect=each["effect"]) for each in listed)


def _as_object(taint: Taint) -> dict[str, Any]:
    return {"key": taint.key, "effect": taint.effect} | ({"value": taint.value} if taint.value else {})
