"""Groups of pods that are up stay held, or not held, as they came up, until they get another image. PURE.

Called by `running_pods`. Versions up to 0.2 held no groups; and whether meshctl can hold one may change with its pool,
or with what the Kubernetes user may do. The gate is a part of the pods, so that a change of it replaces all groups of
the workload: it comes with a change that certainly replaces them, as that of the image does. It goes where it would do
harm: a pool that an autoscaler makes larger would not grow for groups that are held. A Kubernetes user who may not make
the program, or what it needs, does none: what is up of it goes on with its own rights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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


def notes(wanted: Deployment, running: Deployment, state: StackState) -> tuple[str, ...]:
    """Where groups are held otherwise than they would be if they came up now, and where their pods are replaced because
    they are held no longer. `wanted`, `running`: before and after `as_they_are_up`."""
    return tuple(_notes(wanted, running, state))


def _notes(wanted: Deployment, running: Deployment, state: StackState) -> Iterator[str]:
    wish = {workload.name: workload.held_together for workload in wanted.workloads}
    for workload in (each for each in running.workloads if each.is_grouped):
        of_groups = f"workload/{workload.name}: the pods of"
        if workload.held_together and not wish[workload.name]:
            yield f"{of_groups} each group start together, as they came up, until they get another image"
        elif wish[workload.name] and not workload.held_together:
            yield (
                f"{of_groups} each group start one by one, as they came up; they start together once they get another"
                " image"
            )
        elif not workload.held_together and _is_held_now(running, workload, state):
            yield (
                f"{of_groups} its groups are replaced, as they are held no longer: pool {workload.pool} grows for pods"
                " that wait for a node, and held pods don't count as waiting"
            )


def _as_it_is_up(deployment: Deployment, workload: Workload, state: StackState) -> Workload:
    is_held = _is_held_now(deployment, workload, state)
    if is_held is None or is_held == workload.held_together:
        return workload
    if is_held and gangs.grows_for_waiting_pods(deployment.pool(workload.pool)):
        return workload
    return workload.model_copy(update={"held_together": is_held})


def _is_held_now(deployment: Deployment, workload: Workload, state: StackState) -> bool | None:
    """Whether the groups that are up are held; None without any, and where they get another image."""
    if not workload.is_grouped:
        return None
    wanted = {each.name: _pod_specs(each.manifest) for each in groups.group_objects(deployment, workload)}
    up = {
        resource.name: specs
        for resource in state.resources
        if resource.name in wanted and not (resource.is_to_be_deleted or resource.is_deleted_for_replacement)
        if (specs := _pod_specs(resource.inputs))
    }
    if not up or any(_images(specs) != _images(wanted[name]) for name, specs in up.items()):
        return None
    return any(_is_gated(spec) for specs in up.values() for spec in specs)


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
