"""What a plan says of workloads that turn from single pods to groups of pods, or back. PURE.

Called by `meshctl.deploy.plans`; `meshctl.deploy.guards.changed_groups` ends the old pods.
"""

from __future__ import annotations

from meshctl.model.deployment import Deployment, Workload


def changed(before: Deployment | None, deployment: Deployment) -> tuple[Workload, ...]:
    """The workloads that are up in the other form. `before`: what is deployed."""
    old = {workload.name: workload for workload in (before.workloads if before else ())}
    return tuple(
        workload
        for workload in deployment.workloads
        if workload.name in old and old[workload.name].is_grouped != workload.is_grouped
    )


def notes(before: Deployment | None, deployment: Deployment) -> tuple[str, ...]:
    return tuple(_note(workload) for workload in changed(before, deployment))


def _note(workload: Workload) -> str:
    now, old = "single pods", "groups"
    if workload.is_grouped:
        now, old = f"groups of {workload.nodes_per_replica} pods", "single pods"
    return (
        f"workload/{workload.name}: its {old} end before its {now} start, as both may not fit: it is down until these"
        " are ready"
    )
