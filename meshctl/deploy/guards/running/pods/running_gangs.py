"""Gangs that are up stay held, or not held, as they came up, until something else makes their pods anew. PURE.

Called by `running_pods`. Versions up to 0.2 held no gangs; and whether meshctl can hold one may change with its pool,
or with what the Kubernetes user may see. A Job's pods can't be changed, so a gate on them would start the training
anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meshctl.deploy import jobs_in_state
from meshctl.model.deployment import Deployment, Workload
from meshctl.model.keys import gangs
from meshctl.model.stack_state import StackState
from meshctl.render.controllers import jobs, work

Spec = Mapping[str, Any]


def as_they_are_up(deployment: Deployment, state: StackState) -> Deployment:
    """The deployment with the gangs held as they are up, where their Jobs would then stay as they are."""
    has_gangs = deployment.jobs_with_fewer_nodes or any(map(gangs.is_gang, deployment.workloads))
    specs = jobs_in_state.specs(state) if has_gangs else {}
    workloads = tuple(_as_it_is_up(deployment, each, specs.get(each.name)) for each in deployment.workloads)
    return deployment.model_copy(update={"workloads": workloads})


def _as_it_is_up(deployment: Deployment, workload: Workload, before: Spec | None) -> Workload:
    is_small = workload.name in deployment.jobs_with_fewer_nodes
    if before is None or not (is_small or gangs.is_gang(workload)) or workload.held_together == is_gated(before):
        return workload
    other = workload.model_copy(update={"held_together": not workload.held_together})
    if is_small:
        return other  # its Job is left as it is, whatever has changed: see `finished_jobs`
    return other if work.stays(before, jobs.job(deployment, other).manifest["spec"]) else workload


def is_gated(spec: Spec) -> bool:
    """Whether the pods of a Job with this `spec` have the gate of a gang."""
    gates = spec["template"]["spec"].get("schedulingGates") or ()
    return any(gate["name"] == gangs.GATE for gate in gates)
