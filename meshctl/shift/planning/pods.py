"""What a shift reads of pods and nodes. PURE. Used by `plan` and `steps`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from meshctl.model.deployment import MESH_LABEL
from meshctl.model.keys import gangs
from meshctl.shift.gateway import Node, Pod
from meshwire import weka

_MIRROR: Final = "kubernetes.io/config.mirror"  # of static pods, which the kubelet alone ends


def name(item: Node | Pod) -> str:
    return str(item["metadata"]["name"])


def uid(item: Node | Pod) -> str:
    return str(item["metadata"].get("uid") or "")


def labels(item: Node | Pod) -> dict[str, str]:
    return dict(item["metadata"].get("labels") or {})


def namespace(pod: Pod) -> str:
    return str(pod["metadata"].get("namespace") or "")


def node_of(pod: Pod) -> str:
    return str(pod.get("spec", {}).get("nodeName") or "")


def workload(pod: Pod) -> str:
    return labels(pod).get("app.kubernetes.io/name", "")


def grace_s(pod: Pod) -> int:
    """The pod's grace period; Kubernetes' default where the pod names none."""
    value = pod.get("spec", {}).get("terminationGracePeriodSeconds")
    return 30 if value is None else int(value)


def has_ended(pod: Pod) -> bool:
    return pod.get("status", {}).get("phase") in ("Succeeded", "Failed")


def is_stopping(pod: Pod) -> bool:
    return bool(pod["metadata"].get("deletionTimestamp"))


def is_held(pod: Pod) -> bool:
    """Whether it waits for room for all pods of its gang."""
    return any(gate["name"] == gangs.GATE for gate in pod.get("spec", {}).get("schedulingGates") or ())


def is_of_mesh(pod: Pod, mesh_namespace: str) -> bool:
    """Whether it is of a workload. Pods of WEKA have the labels of the mesh, too."""
    if weka.is_of_container(pod["metadata"]):
        return False
    return namespace(pod) == mesh_namespace and labels(pod).get("app.kubernetes.io/managed-by") == "meshctl"


def stays_with_its_node(pod: Pod) -> bool:
    """A pod of a DaemonSet would be recreated at once, as one of WEKA that runs on a node because of its labels; and a
    static pod belongs to the kubelet."""
    metadata = pod["metadata"]
    is_of_daemon_set = any(owner.get("kind") == "DaemonSet" for owner in metadata.get("ownerReferences") or ())
    return is_of_daemon_set or weka.is_of_container(metadata) or _MIRROR in (metadata.get("annotations") or {})


def to_move(pods: Iterable[Pod], mesh_namespace: str) -> list[Pod]:
    """The mesh's own pods that hold their nodes. Pods of others stay where they are: no pool label binds them to their
    node, and nothing may recreate them once they are evicted."""
    return [
        pod
        for pod in pods
        if is_of_mesh(pod, mesh_namespace) and not has_ended(pod) and not stays_with_its_node(pod) and node_of(pod)
    ]


def is_ready(item: Node | Pod) -> bool:
    conditions: list[dict[str, Any]] = item.get("status", {}).get("conditions") or []
    return any(each.get("type") == "Ready" and each.get("status") == "True" for each in conditions)


def why_unscheduled(pod: Pod) -> str:
    """Why it has no node, in the scheduler's words; "" where it says nothing."""
    conditions: list[dict[str, Any]] = pod.get("status", {}).get("conditions") or []
    return next(
        (str(c.get("message", "")) for c in conditions if (c["type"], c["status"]) == ("PodScheduled", "False")), ""
    )


def other_mesh(node: Node, mesh: str) -> str:
    """The mesh that has the node now, where that is not `mesh`; else "". It came again without labels, so that the `up`
    of another mesh took it."""
    now = labels(node).get(MESH_LABEL, "")
    return now if now != mesh else ""


def is_cordoned(node: Node) -> bool:
    return bool(node.get("spec", {}).get("unschedulable"))
