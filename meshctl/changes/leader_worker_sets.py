"""A LeaderWorkerSet as a plan reads it: its two pod templates as those of other workloads. PURE.

Called by `fields`. Leader and workers are made of one entry of the mesh, so most of what changes in one of the
templates changes in the other one as well, and is said once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from meshctl.changes.steps import PropertyChange, Step

LEADER_WORKER_SET: Final = "kubernetes:leaderworkerset.x-k8s.io/v1:LeaderWorkerSet"
GROUPS: Final = "spec.leaderWorkerTemplate"
SIZE: Final = f"{GROUPS}.size"
_TEMPLATES: Final = ("leaderTemplate", "workerTemplate")


def views(step: Step) -> list[Step]:
    """The step itself. Of a LeaderWorkerSet one with what is in neither template, and one for each of them."""
    if step.type != LEADER_WORKER_SET:
        return [step]
    in_templates = tuple(f"{GROUPS}.{name}" for name in _TEMPLATES)
    others = tuple(change for change in step.properties if not change.path.startswith(in_templates))
    return [replace(step, properties=others), *(_view(step, name) for name in _TEMPLATES)]


def _view(step: Step, name: str) -> Step:
    path = f"{GROUPS}.{name}"
    changes = tuple(
        PropertyChange(f"spec.template{change.path.removeprefix(path)}", change.forces_replace)
        for change in step.properties
        if change.path.startswith(path)
    )
    old, new = (_with_template(inputs, name) for inputs in (step.old, step.new))
    return replace(step, properties=changes, old=old, new=new)


def _with_template(inputs: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    spec = inputs.get("spec") or {}
    template = (spec.get("leaderWorkerTemplate") or {}).get(name) or {}
    return {**inputs, "spec": {**spec, "template": template}}
