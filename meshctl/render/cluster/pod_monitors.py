"""PodMonitors of the Prometheus operator, for workloads with `metrics`. PURE.

Called by `platform` where `resolve` found that the cluster knows them.
"""

from __future__ import annotations

from typing import Final

from meshctl.model.deployment import Deployment, Workload
from meshctl.render.objects import PlatformObject
from meshctl.render.pod import pods
from meshctl.render.templates import render

# Source: github.com/prometheus-operator/prometheus-operator, Documentation/api-reference (PodMonitor)
_KIND: Final = {"PodMonitor": ("monitoring.coreos.com/v1", "spec")}


def pod_monitors(deployment: Deployment, workload: Workload, needs: str) -> list[PlatformObject]:
    """The PodMonitor of a workload, if it has `metrics` and the cluster has the operator. `needs`: the logical name of
    the namespace."""
    metrics = workload.metrics
    if metrics is None or not metrics.pod_monitor:
        return []
    values = {
        "name": workload.name,
        "namespace": deployment.namespace,
        # those of environments.yaml as well, as a Prometheus operator may select monitors by them
        "labels": {**workload.labels, **pods.labels(deployment, workload)},
        "selector": pods.selector(deployment, workload),
        "port": pods.port_name(metrics.port),
        "path": metrics.path,
        "https": pods.speaks_https(workload, metrics.port),
    }
    (manifest,) = render("platform/pod-monitor.yaml.j2", ("PodMonitor",), values, _KIND)
    return [PlatformObject(f"workload/{workload.name}:pod-monitor", manifest, depends_on=(needs,))]
