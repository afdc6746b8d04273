"""What moves the number of a workload's replicas with its load, where the mesh gives a range and a `scale`. PURE.

Called by `platform`. CPU is measured by the cluster, and Kubernetes' own autoscaler does the rest; for what the pods
report there is a program of ours (`scalers`).
"""

from __future__ import annotations

from typing import Any, Final

from meshctl.model import scaling
from meshctl.model.deployment import Deployment, Scale, Workload
from meshctl.render import pods, scalers
from meshctl.render.objects import PlatformObject
from meshctl.render.templates import render

AUTOSCALER: Final = "autoscaler"
# without one of these nobody moves the replicas: see `meshctl.deploy.fields.replica_ranges`
SCALING: Final = (AUTOSCALER, scalers.BINDING)
# Source: kubernetes.io/docs/reference/kubernetes-api/workload-resources/horizontal-pod-autoscaler-v2 (1.36)
_KIND: Final = {"HorizontalPodAutoscaler": ("autoscaling/v2", "spec")}


def bounds_annotation(workload: Workload) -> dict[str, str]:
    """The annotation of what runs the pods, for whoever looks at it: between which numbers load moves its replicas."""
    if not workload.has_range:
        return {}
    return {scaling.REPLICAS_ANNOTATION: scaling.words(workload.replicas, workload.at_most)}


def replica_range(workload: Workload) -> tuple[int, int] | None:
    """The bounds between which the live number of replicas stays; None where the mesh decides it, or has paused it."""
    return (workload.at_least, workload.at_most) if workload.has_range and not workload.paused else None


def declared_replicas(workload: Workload) -> int:
    """How many replicas a new object has, or one that starts after a pause."""
    return 0 if workload.paused else workload.at_least


def objects(deployment: Deployment, workload: Workload, running: PlatformObject, needs: str) -> list[PlatformObject]:
    """`running`: what has the replicas; `needs`: the logical name of the namespace."""
    if not workload.has_range or workload.scale is None:
        return []
    if scaling.is_read_from_pods(workload.scale.metric):
        return scalers.objects(deployment, workload, workload.scale, running, needs)
    return [_autoscaler(deployment, workload, workload.scale, running, needs)]


def _autoscaler(
    deployment: Deployment, workload: Workload, scale: Scale, running: PlatformObject, needs: str
) -> PlatformObject:
    values: dict[str, Any] = {
        "name": workload.name,
        "namespace": deployment.namespace,
        "labels": pods.labels(deployment, workload),
        "target": {
            "apiVersion": running.manifest["apiVersion"],
            "kind": running.kind,
            "name": running.manifest["metadata"]["name"],
        },
        "least": workload.at_least,
        "most": workload.at_most,
        "percent": round(scale.target),
        "cooldown_s": scale.cooldown_s,
    }
    (manifest,) = render("platform/autoscaler.yaml.j2", ("HorizontalPodAutoscaler",), values, _KIND)
    return PlatformObject(f"workload/{workload.name}:{AUTOSCALER}", manifest, depends_on=(needs, running.name))
