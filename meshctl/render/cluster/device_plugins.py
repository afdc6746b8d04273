"""The device plugins that nodes need before pods can ask for GPUs and EFA devices. PURE.

Called by `platform` where the platform's nodes have none (`Nodes.has_device_plugins`), as on EKS. The
accelerated AL2023 images hold drivers but no plugins (EKS user guide, "Manage NVIDIA GPU devices"; chart
aws-efa-k8s-device-plugin of aws/eks-charts).
"""

from __future__ import annotations

from typing import Any

from meshctl.model.deployment import Deployment
from meshctl.model.pods import own_images
from meshctl.render.objects import PlatformObject
from meshctl.render.pod import overrides, pods
from meshctl.render.templates import render

_KUBELET_SOCKETS = "/var/lib/kubelet/device-plugins"


def device_plugin_objects(deployment: Deployment) -> tuple[PlatformObject, ...]:
    """One DaemonSet for each kind of device that a pool has; none if no pool has GPUs."""
    gpu = [pool.name for pool in deployment.pools if pool.gpus_per_node]
    efa = [pool.name for pool in deployment.pools if pool.fabric is not None and pool.fabric.kind == "efa"]
    plugins = []
    if gpu:
        # the plugin keeps running on a node whose GPU is broken, instead of failing again and again
        env = [{"name": "FAIL_ON_INIT_ERROR", "value": "false"}]
        plugins.append(_plugin(deployment, "gpu", own_images.GPU_PLUGIN, gpu, [_KUBELET_SOCKETS], env))
    if efa:
        host_paths = [_KUBELET_SOCKETS, "/dev/infiniband"]
        image = own_images.efa_plugin(deployment.region, deployment.images)
        plugins.append(_plugin(deployment, "efa", image, efa, host_paths, []))
    return tuple(plugins)


def _plugin(
    deployment: Deployment, device: str, image: str, pools: list[str], host_paths: list[str], env: list[dict[str, Any]]
) -> PlatformObject:
    name = f"{deployment.mesh}-{device}-device-plugin"
    values = {
        "name": name,
        "labels": pods.common_labels(deployment),
        "selector": {"app.kubernetes.io/name": name},
        "image": overrides.image_here(deployment, image),
        "pools": sorted(pools),
        "host_paths": host_paths,
        "host_network": device == "efa",
        "env": env,
    }
    (manifest,) = render("platform/device-plugin.yaml.j2", ("DaemonSet",), values)
    return PlatformObject(f"platform:{device}-device-plugin", manifest, wait=True)
