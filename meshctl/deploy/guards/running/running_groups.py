"""Groups of pods that are up stay held, or not held, as they came up, until they get another image. PURE.

Called by `running_pods`. Versions up to 0.2 held no groups; and whether meshctl can hold one may change with its pool,
or with what the Kubernetes user may do. The gate is a part of the pods, so that a change of it replaces all groups of
the workload: it comes with a change that certainly replaces them, as that of the image does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from meshctl.model.deployment import Deployment, Workload
from meshctl.model.keys import gangs
from meshctl.model.stack_state import StackState
from meshctl.render.controllers import groups

PodSpecs = tuple[Mapping[str, Any], ...]

_TEMPLATES: Final = ("leaderTemplate", "workerTemplate")  # of a LeaderWorkerSet


def as_they_are_up(deployment: Deployment, state: StackState) -> Deployment:
    """The deployment with the groups held as they are up, where their pods keep their image."""
    if not any(workload.is_grouped for workload in deployment.workloads):
        return deployment
    workloads = tuple(_as_it_is_up(deployment, each, state) for each in deployment.workloads)
    return deployment.model_copy(update={"workloads": workloads})


def _as_it_is_up(deployment: Deployment, workload: Workload, state: StackState) -> Workload:
    if not workload.is_grouped:
        return workload
    wanted = {each.name: _pod_specs(each.manifest) for each in groups.group_objects(deployment, workload)}
    up = {
        resource.name: specs
        for resource in state.resources
        if resource.name in wanted and not (resource.is_to_be_deleted or resource.is_deleted_for_replacement)
        if (specs := _pod_specs(resource.inputs))
    }
    if not up or any(_images(specs) != _images(wanted[name]) for name, specs in up.items()):
        return workload
    is_held = any(_is_gated(spec) for specs in up.values() for spec in specs)
    return workload.model_copy(update={"held_together": is_held})


def _pod_specs(manifest: Mapping[str, Any]) -> PodSpecs:
    """Of a StatefulSet, or of both templates of a LeaderWorkerSet; () of an object without any."""
    spec = manifest.get("spec") or {}
    of_groups = spec.get("leaderWorkerTemplate")
    templates = [of_groups.get(name) for name in _TEMPLATES] if of_groups else [spec.get("template")]
    return tuple(template["spec"] for template in templates if template)


def _images(specs: PodSpecs) -> list[str]:
    return [spec["containers"][0]["image"] for spec in specs]


def _is_gated(spec: Mapping[str, Any]) -> bool:
    return any(gate["name"] == gangs.GATE for gate in spec.get("schedulingGates") or ())
