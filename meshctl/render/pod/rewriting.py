"""Texts of containers as an older meshctl wrote them down, beside those of this one. PURE.

Called by `work` and by `meshctl.deploy.rewritten`. Older versions wrote every text as the mesh has it, so that
Kubernetes read `$$` and `$(NAME)` in it; and they sorted all variables by name, so that a value could refer to half of
them. See `literal`. That this version writes the same text in another way is no change of the mesh.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from meshctl.model.pods import pod_variables
from meshctl.render.pod import container_fields, literal

MAIN: Final = "main"  # the name of the container that runs the workload's image
Spec = Mapping[str, Any]  # the `spec` of a Job, a Deployment or a StatefulSet
_FIRST_SET_WHERE_NAMED = pod_variables.where_named("training") | pod_variables.where_named("batch")


def main_container(spec: Spec) -> Mapping[str, Any]:
    containers = spec["template"]["spec"]["containers"]
    main: Mapping[str, Any] = next(each for each in containers if each["name"] == MAIN)
    return main


def rewritten(old: Spec, new: Spec) -> Spec:
    """The old spec with those texts of its main container written as the new one has them that are the same texts."""
    before, now = main_container(old), main_container(new)
    container = {**before, **_fields(before, now)}
    env = _env(before, now)
    if env is not None:
        container["env"] = env
    pod = old["template"]["spec"]
    containers = [container if each is before else each for each in pod["containers"]]
    return {**old, "template": {**old["template"], "spec": {**pod, "containers": containers}}}


def _fields(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    keys = [field.key for field in container_fields.FIELDS if field.is_expanded and now.get(field.key)]
    return {key: now[key] for key in keys if _are_same(before.get(key) or (), now[key], _references(now))}


def _are_same(old_texts: Sequence[str], new_texts: Sequence[str], references: Collection[str]) -> bool:
    pairs = zip(old_texts, new_texts, strict=False)
    return len(old_texts) == len(new_texts) and all(_is_same(old, new, references) for old, new in pairs)


def _is_same(old: str, new: str, references: Collection[str]) -> bool:
    return new in (old, literal.escaped(old, references))


def _env(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[Any] | None:
    """The variables of the old container with their new values, in the new order where nothing else differs."""
    old_entries, entries = before.get("env"), now.get("env")
    if old_entries is None or entries is None:
        return None
    references, by_name = _references(now), {entry["name"]: entry for entry in entries}
    rewritten_entries = [_entry(entry, by_name.get(entry["name"]), references) for entry in old_entries]
    added = {name for name in by_name if name not in {entry["name"] for entry in old_entries}}
    is_same = (
        all(by_name.get(entry["name"]) == entry for entry in rewritten_entries) and added <= _FIRST_SET_WHERE_NAMED
    )
    return list(entries) if is_same else rewritten_entries


def _entry(old: Mapping[str, Any], new: Mapping[str, Any] | None, references: Collection[str]) -> Mapping[str, Any]:
    """The new entry, where it differs in nothing but how its text is written."""
    if new is None or "value" not in old or "value" not in new:
        return old
    return new if _is_same(old["value"], new["value"], references) else old


def _references(container: Mapping[str, Any]) -> list[str]:
    names = (entry["name"] for entry in container.get("env") or ())
    return [name for name in names if name.startswith(pod_variables.PREFIX)]
