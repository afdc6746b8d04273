"""What a plan says of workloads that turn from single pods to groups of pods, or back, or from one form of groups to
the other. PURE.

Called by `meshctl.deploy.runs.plans`; `meshctl.deploy.guards.running.pods.changed_groups` ends the old pods.
"""

from __future__ import annotations

from typing import Literal

from meshctl.model.deployment import Deployment, Workload
from meshctl.render.controllers import leader_worker_sets

Form = Literal["single pods", "StatefulSets", "a LeaderWorkerSet"]


def changed(before: Deployment | None, deployment: Deployment) -> tuple[Workload, ...]:
    """The workloads that are up in another form. `before`: what is deployed."""
    old = _forms(before)
    return tuple(
        workload
        for workload in deployment.workloads
        if old.get(workload.name) not in (None, _form(deployment, workload))
    )


def notes(before: Deployment | None, deployment: Deployment) -> tuple[str, ...]:
    old = _forms(before)
    return tuple(
        _note(workload, old[workload.name], _form(deployment, workload)) for workload in changed(before, deployment)
    )


def _forms(deployment: Deployment | None) -> dict[str, Form]:
    workloads = deployment.workloads if deployment else ()
    return {workload.name: _form(deployment, workload) for workload in workloads if deployment}


def _form(deployment: Deployment, workload: Workload) -> Form:
    if not workload.is_grouped:
        return "single pods"
    return "a LeaderWorkerSet" if leader_worker_sets.keeps(deployment, workload) else "StatefulSets"


def _note(workload: Workload, old: Form, now: Form) -> str:
    groups = f"groups of {workload.nodes_per_replica} pods"
    if old == "single pods":
        change = f"its single pods end before its {groups} start, as both may not fit"
    elif now == "single pods":
        change = "its groups end before its single pods start, as both may not fit"
    else:
        change = f"its groups end before they start anew as {now}, as they have the same names"
    return f"workload/{workload.name}: {change}: it is down until these are ready"
