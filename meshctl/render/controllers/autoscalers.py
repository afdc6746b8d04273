"""What moves the number of a workload's replicas with its load, where the mesh gives a range and a `scale`. PURE.

Called by `platform`. CPU is measured by the cluster, and Kubernetes' own autoscaler does the rest; for what the pods
report there is a program of ours (`scalers`).
"""

from __future__ import annotations

from typing import Any, Final

from meshctl.model.deployment import Deployment, Scale, Workload
from meshctl.model.keys import scaling
from meshctl.render import scalers
from meshctl.render.controllers import leader_worker_sets
from meshctl.render.objects import PlatformObject
from meshctl.render.pod import pods
from meshctl.render.templates import render

AUTOSCALER: Final = "autoscaler"
# without one of these nobody moves the replicas: see `meshctl.deploy.fields.number_ranges`
SCALING: Final = (AUTOSCALER, scalers.BINDING)
_STEP_S: Final = 60  # a quarter of the replicas may go in it
# Source: kubernetes.io/docs/reference/kubernetes-api/workload-resources/horizontal-pod-autoscaler-v2 (1.36)
_KIND: Final = {"HorizontalPodAutoscaler": ("autoscaling/v2", "spec")}


def objects(deployment: Deployment, workload: Workload, running: PlatformObject, needs: str) -> list[PlatformObject]:
    """`running`: what has the replicas; `needs`: the logical name of the namespace."""
    is_one_object = not workload.is_grouped or leader_worker_sets.keeps(deployment, workload)
    if not workload.has_range or workload.scale is None or not is_one_object:
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
        "step_s": min(_STEP_S, scale.cooldown_s),
    }
    (manifest,) = render("platform/autoscaler.yaml.j2", ("HorizontalPodAutoscaler",), values, _KIND)
    return PlatformObject(f"workload/{workload.name}:{AUTOSCALER}", manifest, depends_on=(needs, running.name))
