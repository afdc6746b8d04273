"""How a roll-out replaces the pods of a workload, and whether it leaves it without one. PURE.

Decided by `meshctl.resolve.work.roll_outs`; read by `meshctl.render`, and for plans by
`meshctl.changes.notes.roll_outs`.
"""

from __future__ import annotations

import math

from meshctl.model.deployment import Deployment, Pool, Workload


def older_rule(workload: Workload, pool: Pool) -> bool:
    """What releases did that knew of no other pods: start the new pod first unless a pod takes a whole node."""
    return not pool.is_filled_by(workload.accelerators)


def starts_new_first(workload: Workload, pool: Pool) -> bool:
    """Whether a new pod is started before an old one ends."""
    return workload.roll_out.startswith("new-first") if workload.roll_out else older_rule(workload, pool)


def unavailable_share(workload: Workload) -> str:
    """The share of its pods that a roll-out may end before their successors are ready, where a new pod has room as long
    as load has not brought all replicas: one pod when all are there, and none when they are fewer. Kubernetes rounds
    the share down (DeploymentStrategy, `maxUnavailable`). "" for any other workload."""
    return f"{math.ceil(100 / workload.own_at_most)}%" if workload.roll_out == "new-first-unless-full" else ""


def keeps_volumes(workload: Workload) -> bool:
    """Whether each pod has a lasting volume of its own, which it can't share with its successor."""
    return any(mount.kind == "block" and not (mount.ephemeral or mount.is_adopted) for mount in workload.mounts)


def needs_volume_of_one_node(workload: Workload) -> bool:
    """Whether its pods mount an existing volume that one node has at a time: a new pod may come to another node, and
    then waits for the end of the old one."""
    return any(mount.of_one_node for mount in workload.mounts)


def uses_node_ports(workload: Workload) -> bool:
    """Whether a pod has ports of its node, which its successor on that node can't have before it has ended."""
    containers = [*workload.pod.get("containers", []), *workload.pod.get("initContainers", [])]
    ports = [port for container in containers for port in container.get("ports", [])]
    if workload.pod.get("hostNetwork") is True:
        return bool(workload.ports or ports)
    return any("hostPort" in port for port in ports)


def note(workload: Workload, pool: Pool) -> str:
    """What a user should know of a roll-out that leaves the workload without a pod; "" where there is none."""
    if workload.is_job or workload.replicas != 1:
        return ""
    if workload.is_grouped:
        return (
            f"workload/{workload.name}: each roll-out leaves it without a group until the new one is ready, as a group"
            " goes before its successor comes; `replicas: 2` keeps one up"
        )
    without = f"workload/{workload.name}: each roll-out leaves it without a pod until the new one is ready"
    if keeps_volumes(workload) or needs_volume_of_one_node(workload):
        return f"{without}, as the one volume goes from the old pod to the new one"
    if uses_node_ports(workload):
        return (
            f"{without}, as `pod` in environments.yaml gives it ports of its node, which the old pod has until it ends"
        )
    if starts_new_first(workload, pool):
        return ""
    return (
        f"{without}, as pool {pool.name} may have no room for one more pod;"
        f" to keep one up, raise pools.{pool.name}.nodes, or lower the resources of what runs there"
    )


def notes(deployment: Deployment) -> tuple[str, ...]:
    """The notes of all workloads."""
    texts = (note(workload, deployment.pool(workload.pool)) for workload in deployment.workloads)
    return tuple(text for text in texts if text)
