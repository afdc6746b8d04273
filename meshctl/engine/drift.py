"""Computes drift: resources that are gone, and fields that were changed outside meshctl since the last `up`. PURE.

Called by `drift_check`. Drift is represented as engine steps from the last `up` to the present: an "update" with the
fields that differ, or a "delete" for what is gone. So `meshctl.changes` describes it in the same words as a change of
the mesh.

Fields of Kubernetes objects are compared with the object that the API server returned after the last `up`, which is in
the state. A comparison with the declared object would report every default, and every other spelling of a quantity
("5120Mi", "5Gi"), as a change.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from meshctl.changes.steps import PropertyChange, Step
from meshctl.model.stack_state import Resource
from meshctl.platforms import registry
from meshwire.marks import SIGNATURE, UNFINISHED

_MISSING = object()
_KEYS = (
    "name",
    "containerPort",
    "port",
    "mountPath",
    "key",
    "type",
)  # the keys that identify the items of lists in Kubernetes objects

# An init error that marks a resource whose fields were changed outside meshctl. Because of it the engine updates the
# resource although its inputs are unchanged.
CHANGED_OUTSIDE = "it was changed outside meshctl; the next `up` sets it back"


def drift_of_gone(resource: Resource) -> Step:
    return Step(resource.urn, resource.type, "delete", old=resource.inputs)


def drift_of_refresh(results: Iterable[Step]) -> list[Step]:
    """The drift in the results of a refresh by the engine."""
    drift = []
    for step in results:
        properties = tuple(c for c in step.properties if c.path != UNFINISHED and not _stays(step, c.path))
        if step.op == "delete" or (step.op == "update" and properties):
            drift.append(replace(step, properties=properties))
    return drift


def _stays(step: Step, path: str) -> bool:
    """Whether an update keeps the property as others have set it: a number within declared bounds, or what is declared
    for a new resource alone."""
    return any(
        (step.type, path) in platform.nodes.moved_by_others
        or _is_left_alone(step, path, platform.nodes.left_alone or ())
        for platform in registry.platforms()
    )


def _is_left_alone(step: Step, path: str, left_alone: Collection[tuple[str, str]]) -> bool:
    return any(
        step.urn.endswith(ending) and (path == each or path.startswith((f"{each}.", f"{each}[")))
        for ending, each in left_alone
    )


def drift_of_object(
    resource: Resource, declared: Mapping[str, Any], live: Mapping[str, Any], ignored: Collection[str] = ()
) -> Step | None:
    """The declared fields of a Kubernetes object whose value differs from the last `up`; None when there are none.

    `resource` is the one in the state, with its outputs; `ignored` are paths that, with everything below them, are left
    to other programs.
    """
    last_seen = resource.outputs
    live = _aligned(live, last_seen)
    paths = []
    for keys in _leaves({key: value for key, value in declared.items() if key not in ("apiVersion", "kind", "status")}):
        path = ".".join(keys)
        if any(path == each or path.startswith(f"{each}.") for each in ignored):
            continue
        before, now = _value_at(last_seen, keys), _value_at(live, keys)
        if before is not _MISSING and before != now and not _is_encrypted(before):
            paths.append(_property_path(last_seen, keys))
    if not paths:
        return None
    changes = tuple(PropertyChange(path) for path in sorted(paths))
    return Step(resource.urn, resource.type, "update", old=last_seen, new=live, properties=changes)


def steps_without_drift(steps: Iterable[Step], drift: Sequence[Step]) -> list[Step]:
    """The steps of a preview on a refreshed state, without those that only repair the drift."""
    by_urn = {step.urn: step for step in drift}
    remaining = []
    for step in steps:
        drifted = by_urn.get(step.urn)
        if drifted is None:
            remaining.append(step)
        elif drifted.op == "update":
            repaired = {change.path for change in drifted.properties}
            properties = tuple(change for change in step.properties if change.path not in repaired)
            remaining.append(replace(step, properties=properties) if properties else replace(step, op="same"))
        elif step.op != "create":
            remaining.append(step)
    return remaining


def _leaves(value: Any, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The path of keys to each value that is not an object; the key of a list item is its identifying value."""
    inner = value if isinstance(value, Mapping) else _by_key(value)
    if not inner:
        yield above
    for key, item in inner.items():
        yield from _leaves(item, (*above, key))


def _by_key(value: Any) -> dict[str, Any]:
    """The items of a list of objects by their identifying value; empty for every other value."""
    if not isinstance(value, list) or not all(isinstance(item, Mapping) for item in value):
        return {}
    for key in _KEYS:
        if all(key in item for item in value) and len({str(item[key]) for item in value}) == len(value):
            return {str(item[key]): item for item in value}
    return {}


def _value_at(value: Any, keys: Iterable[str]) -> Any:
    for key in keys:
        inner = value if isinstance(value, Mapping) else _by_key(value)
        value = inner.get(key, _MISSING)
        if value is _MISSING:
            return _MISSING
    return value


def _property_path(value: Any, keys: Iterable[str]) -> str:
    """The path as the engine writes it: `spec.ports[0].port`, `metadata.labels["a.b/c"]`."""
    path = ""
    for key in keys:
        if isinstance(value, Mapping):
            path += f'["{key}"]' if "." in key or "/" in key else f".{key}"
            value = value[key]
        else:
            items = _by_key(value)
            path += f"[{list(items).index(key)}]"
            value = items[key]
    return path.removeprefix(".")


def _aligned(live: Any, last_seen: Any) -> Any:
    """The live value with the items of its lists in the order of `last_seen`."""
    if isinstance(live, Mapping) and isinstance(last_seen, Mapping):
        return {key: _aligned(item, last_seen.get(key)) for key, item in live.items()}
    before, now = _by_key(last_seen), _by_key(live)
    if not before or not now:
        return live
    placed = [_aligned(now.get(key), item) for key, item in before.items()]
    return [*placed, *(item for key, item in now.items() if key not in before)]


def _is_encrypted(value: Any) -> bool:
    return isinstance(value, Mapping) and SIGNATURE in value
