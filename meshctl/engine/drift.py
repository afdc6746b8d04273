"""What is no longer as the last `up` left it: resources that are gone, fields that others changed. PURE.

Called by `look`. Drift is told as engine steps, from what the last `up` left to what there is now: an "update" with the
fields that differ, a "delete" for what is gone. So `meshctl.changes` gives it the same words as a change of the mesh.

Fields of Kubernetes objects are compared with the object as the API server gave it after the last `up`, which the state
has. A comparison with what was declared would take each default, and each other spelling of a quantity ("5120Mi",
"5Gi"), for a change.
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
_KEYS = ("name", "containerPort", "port", "mountPath", "key", "type")  # what tells the items of Kubernetes' lists apart

# The mark on a resource whose fields others changed: an init error, for which the engine updates the resource though
# its inputs are the same.
CHANGED_OUTSIDE = "it was changed outside meshctl; the next `up` sets it back"


def drift_of_gone(resource: Resource) -> Step:
    return Step(resource.urn, resource.type, "delete", old=resource.inputs)


def drift_of_refresh(results: Iterable[Step]) -> list[Step]:
    """The drift in what a refresh of the engine came to."""
    found = []
    for step in results:
        properties = tuple(c for c in step.properties if c.path != UNFINISHED and not _is_moved(step, c.path))
        if step.op == "delete" or (step.op == "update" and properties):
            found.append(replace(step, properties=properties))
    return found


def _is_moved(step: Step, path: str) -> bool:
    """Whether it is a number that others move within bounds of ours, and that an update keeps."""
    return any((step.type, path) in platform.nodes.moved_by_others for platform in registry.platforms())


def drift_of_object(
    resource: Resource, declared: Mapping[str, Any], live: Mapping[str, Any], ignored: Collection[str] = ()
) -> Step | None:
    """The declared fields of a Kubernetes object whose value is another one than after the last `up`; None without any.

    `resource` is the state's, with its outputs; `ignored` are paths that are left to others, with all below them.
    """
    last_seen = resource.outputs
    live = _aligned(live, last_seen)
    paths = []
    for keys in _leaves({key: value for key, value in declared.items() if key not in ("apiVersion", "kind", "status")}):
        path = ".".join(keys)
        if any(path == given or path.startswith(f"{given}.") for given in ignored):
            continue
        was, now = _inside(last_seen, keys), _inside(live, keys)
        if was is not _MISSING and was != now and not _is_encrypted(was):
            paths.append(_property_path(last_seen, keys))
    if not paths:
        return None
    changes = tuple(PropertyChange(path) for path in sorted(paths))
    return Step(resource.urn, resource.type, "update", old=last_seen, new=live, properties=changes)


def steps_without_drift(steps: Iterable[Step], drift: Sequence[Step]) -> list[Step]:
    """The steps of a preview over a refreshed state, without those that only mend the drift."""
    by_urn = {step.urn: step for step in drift}
    found = []
    for step in steps:
        outside = by_urn.get(step.urn)
        if outside is None:
            found.append(step)
        elif outside.op == "update":
            mended = {change.path for change in outside.properties}
            properties = tuple(change for change in step.properties if change.path not in mended)
            found.append(replace(step, properties=properties) if properties else replace(step, op="same"))
        elif step.op != "create":
            found.append(step)
    return found


def _leaves(value: Any, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The keys that lead to each value that is no object; an item of a list has what tells it apart for a key."""
    inner = value if isinstance(value, Mapping) else _by_key(value)
    if not inner:
        yield above
    for key, item in inner.items():
        yield from _leaves(item, (*above, key))


def _by_key(value: Any) -> dict[str, Any]:
    """The items of a list of objects, by what tells them apart; empty for all else."""
    if not isinstance(value, list) or not all(isinstance(item, Mapping) for item in value):
        return {}
    for key in _KEYS:
        if all(key in item for item in value) and len({str(item[key]) for item in value}) == len(value):
            return {str(item[key]): item for item in value}
    return {}


def _inside(value: Any, keys: Iterable[str]) -> Any:
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
    """The live value with the items of its lists at the places that they had."""
    if isinstance(live, Mapping) and isinstance(last_seen, Mapping):
        return {key: _aligned(item, last_seen.get(key)) for key, item in live.items()}
    before, now = _by_key(last_seen), _by_key(live)
    if not before or not now:
        return live
    placed = [_aligned(now.get(key), item) for key, item in before.items()]
    return [*placed, *(item for key, item in now.items() if key not in before)]


def _is_encrypted(value: Any) -> bool:
    return isinstance(value, Mapping) and SIGNATURE in value
