"""NVIDIA's DCGM exporter on GPU nodes: utilization, memory, temperature and errors, for Prometheus. PURE.

Called by `platform` for platforms where meshctl installs the device plugins (`Nodes.has_device_plugins`); on clusters
that are given, it is there or not as its operator wants. Its pods carry the annotations by which collectors find them,
as those of workloads with `metrics` do.
"""

from __future__ import annotations

from meshctl.model.deployment import Deployment
from meshctl.model.pods import object_names, own_images
from meshctl.render.objects import PlatformObject
from meshctl.render.pod import overrides, pods
from meshctl.render.templates import render


def gpu_metrics_objects(deployment: Deployment) -> tuple[PlatformObject, ...]:
    """One DaemonSet for all pools with NVIDIA GPUs; none without such pools. `up` does not wait for it, as no workload
    needs it."""
    pools = own_images.measured_pools(deployment)
    if not pools:
        return ()
    name = f"{deployment.mesh}-dcgm-exporter"
    values = {
        "name": name,
        "labels": pods.common_labels(deployment),
        "selector": {"app.kubernetes.io/name": name},
        "image": overrides.image_here(deployment, own_images.DCGM_EXPORTER),
        "pools": sorted(pools),
    }
    (manifest,) = render("platform/dcgm-exporter.yaml.j2", ("DaemonSet",), values)
    return (PlatformObject(object_names.GPU_METRICS, manifest),)
