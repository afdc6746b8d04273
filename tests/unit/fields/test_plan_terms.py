"""A plan names a changed field of a workload as mesh.yaml does, not by its path in a Kubernetes object."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from meshctl import render
from meshctl.changes import PropertyChange, Step
from meshctl.changes.fields import fields
from meshctl.model.deployment import Deployment
from meshctl.model.mesh import Workload
from meshctl.render import LateValue
from providers.kubernetes.diffing import changes as property_changes
from providers.plugin.values import path_text
from stacks.platform import token
from tests.unit.fields import sample, walk

FIELDS = list(walk.fields(Workload, ("workloads", "*")))
# What a plan calls a field that has no word of its path there: what the field leads to.
CALLED = {
    "workloads.*.kind": "priorityClassName",
    "workloads.*.pool": "nodeSelector",
    "workloads.*.checkpoint.signal": "stop command",
    "workloads.*.checkpoint.grace": "grace in seconds",
    "workloads.*.nodes": "pods that get requests",
    "workloads.*.before.*.image": "init container before-1",
    "workloads.*.before.*.command": "init container before-1",
    "workloads.*.before.*.args": "init container before-1",
    "workloads.*.before.*.env": "init container before-1",
}


@pytest.mark.parametrize("field", FIELDS, ids=str)
def test_a_changed_field_is_called_as_in_the_mesh(field: walk.Field, folder: Path) -> None:
    called = set(terms(field, folder))
    words = {re.split(r"[ .\[]", term)[0] for term in called}
    expected = CALLED.get(str(field), "")
    # `mount cache` for `mounts.*.path`: of a list, a plan names one entry
    is_named = any(part.startswith(word) for part in field.path for word in words)
    leads_there = bool(expected) and any(term.startswith(expected) for term in called)
    assert is_named or leads_there or not called, (
        f"a plan calls {field} {sorted(called)}: give it its key in meshctl/changes/fields.py, or add to CALLED here"
        " what it leads to"
    )


def terms(field: walk.Field, folder: Path) -> Iterator[str]:
    """What the plan says of all objects that another value of the field changes."""
    before = sample.unchanged(folder).deployment("cw")
    for _, files in sample.changes("mesh", field):
        changed = sample.read(files, folder, [])
        after = changed.deployment("cw") if changed else None
        if before is not None and after is not None:
            for step in _steps(before, after):
                yield from (change.path for change in fields(step))


def _steps(before: Deployment, after: Deployment) -> Iterator[Step]:
    """The updates of objects that both deployments have, with the paths that the Kubernetes provider gives."""
    old_objects = {item.name: item for item in render.platform_objects(before)}
    for item in render.platform_objects(after):
        if item.name not in old_objects:
            continue
        old, new = _plain(old_objects[item.name].manifest), _plain(item.manifest)
        paths = [path_text(path) for path, _ in property_changes(old, new)]
        urn = f"urn:pulumi:cw::every::{token(item)}::{item.name}"
        yield Step(urn, token(item), "update", old, new, tuple(map(PropertyChange, paths)))


def _plain(value: Any) -> Any:
    """The value without deferred values, as a plan shows what is not known yet."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, LateValue):
        return value.name
    return [_plain(inner) for inner in value] if isinstance(value, list) else value
