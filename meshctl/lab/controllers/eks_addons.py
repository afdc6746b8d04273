"""EKS add-ons -> their Deployments in `kube-system`, as EKS would install them. EDGE.

The lab's AWS API writes the add-ons that it was asked for to `eks.json`. This controller makes the Deployments of those
that have some, whose pods Kubernetes schedules like any others, and writes how many replicas are ready to
`addons.json`, {"addons": {"CLUSTER/ADDON": {"ready", "wanted"}}}, from which the API tells an add-on's health.
DaemonSets of add-ons want as many pods as there are nodes, and are not played.

Sources of replicas, requests and tolerations: the manifests that the add-ons install (kubernetes/coredns; the Helm
charts of aws-ebs-csi-driver, aws-efs-csi-driver, aws-fsx-csi-driver, metrics-server). None of them tolerates the taint
of GPU nodes (aws/containers-roadmap issue 1389).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import yaml

from meshctl.lab.controllers.changes import following
from meshctl.lab.pods import api
from meshctl.lab.state import Lab, read_json, write_atomically
from meshwire.kubernetes import requests
from meshwire.kubernetes.async_client import AsyncClient

DEPLOYMENTS: Final = "/apis/apps/v1/namespaces/kube-system/deployments"
ADDON_LABEL: Final = "lab.meshctl.dev/addon"
APPLIED_ANNOTATION: Final = "lab.meshctl.dev/applied"
FILE: Final = "addons.json"
_CRITICAL: Final = ({"key": "CriticalAddonsOnly", "operator": "Exists"},)
_CONTROL_PLANE: Final = ({"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"},)
_LEAVING: Final = ({"effect": "NoExecute", "operator": "Exists", "tolerationSeconds": 300},)


@dataclass(frozen=True)
class Controller:
    """The Deployment of an add-on. `settings`: where the add-on's configuration has its replicas and tolerations."""

    name: str
    cpu: str
    memory: str
    replicas: int = 2
    tolerations: tuple[Mapping[str, Any], ...] = _CRITICAL
    settings: tuple[str, ...] = ()


CONTROLLERS: Final = {
    "coredns": Controller("coredns", "100m", "70Mi", tolerations=(*_CRITICAL, *_CONTROL_PLANE)),
    "aws-ebs-csi-driver": Controller(
        "ebs-csi-controller", "60m", "240Mi", tolerations=(*_CRITICAL, *_LEAVING), settings=("controller",)
    ),
    "aws-efs-csi-driver": Controller("efs-csi-controller", "30m", "120Mi", settings=("controller",)),
    "aws-fsx-csi-driver": Controller("fsx-csi-controller", "40m", "160Mi", settings=("controller",)),
    "metrics-server": Controller("metrics-server", "100m", "200Mi"),
    "snapshot-controller": Controller("snapshot-controller", "10m", "20Mi"),
    "kube-state-metrics": Controller("kube-state-metrics", "10m", "64Mi", replicas=1, tolerations=()),
}


async def play(lab: Lab, cluster: api.Cluster, client: AsyncClient) -> None:
    """Follow `eks.json` for ever."""
    reported: dict[str, dict[str, int]] = {}
    _report(lab, reported, reported)
    try:
        async with following(client, [DEPLOYMENTS], [lab.root / "eks.json"], labelSelector=ADDON_LABEL) as changes:
            while True:
                name, addons = _addons_on(cluster.name, read_json(lab.root / "eks.json"))
                replicas = await _keep(client, addons, cluster.region)
                counts = {f"{name}/{addon}": count for addon, count in replicas.items()}
                if counts != reported:
                    _report(lab, reported, counts)
                    reported = counts
                await changes.wait()
    finally:
        _report(lab, reported, {})


def _addons_on(plane: str, document: dict[str, Any]) -> tuple[str, dict[str, dict[str, str]]]:
    clusters: dict[str, dict[str, Any]] = document.get("clusters") or {}
    on_plane = ((name, each["addons"]) for name, each in clusters.items() if each["control_plane"] == plane)
    return next(on_plane, ("", {}))


async def _keep(client: AsyncClient, addons: dict[str, dict[str, str]], region: str) -> dict[str, dict[str, int]]:
    """Make, renew and remove Deployments. Returns for each add-on how many replicas are ready and how many it wants."""
    live = {each["metadata"]["name"]: each for each in await api.items(client, DEPLOYMENTS, labelSelector=ADDON_LABEL)}
    manifests = {name: manifest(name, each, region) for name, each in addons.items() if name in CONTROLLERS}
    for name in set(live) - {each["metadata"]["name"] for each in manifests.values()}:
        await api.delete(client, f"{DEPLOYMENTS}/{name}")
    for body in manifests.values():
        present = live.get(body["metadata"]["name"])
        if present is None:
            await api.ensure(client, DEPLOYMENTS, body)
        elif _applied(present) != _applied(body):
            await api.patch(client, f"{DEPLOYMENTS}/{body['metadata']['name']}", body, requests.MERGE_PATCH)
    return {name: _replicas(manifests.get(name), live) for name in addons}


def _replicas(body: dict[str, Any] | None, live: dict[str, dict[str, Any]]) -> dict[str, int]:
    """How many replicas the add-on wants; 0 of one that has no Deployment."""
    if body is None:
        return {"ready": 0, "wanted": 0}
    status = live.get(body["metadata"]["name"], {}).get("status", {})
    return {"ready": int(status.get("readyReplicas", 0)), "wanted": int(body["spec"]["replicas"])}


def _applied(body: dict[str, Any]) -> str:
    return str(body["metadata"].get("annotations", {}).get(APPLIED_ANNOTATION, ""))


def manifest(addon: str, described: Mapping[str, str], region: str) -> dict[str, Any]:
    """The Deployment of an add-on of `eks.json`."""
    controller = CONTROLLERS[addon]
    settings: Any = yaml.safe_load(described["configuration"] or "{}")
    for key in controller.settings:
        settings = settings.get(key) or {}
    labels = {"app.kubernetes.io/name": controller.name, ADDON_LABEL: addon}
    container = {
        "name": controller.name,
        "image": f"602401143452.dkr.ecr.{region}.amazonaws.com/eks/{addon}:{described['version']}",
        "resources": {"requests": {"cpu": controller.cpu, "memory": controller.memory}},
    }
    pod = {
        "priorityClassName": "system-cluster-critical",
        "tolerations": settings.get("tolerations", [dict(each) for each in controller.tolerations]),
        "containers": [container],
    }
    spec = {
        "replicas": int(settings.get("replicaCount", controller.replicas)),
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }
    annotations = {APPLIED_ANNOTATION: json.dumps(spec, sort_keys=True)}
    metadata = {"name": controller.name, "namespace": "kube-system", "labels": labels, "annotations": annotations}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


def _report(lab: Lab, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Replace what this control plane last said (this process alone writes the file)."""
    reported = read_json(lab.root / FILE).get("addons", {})
    of_other_clusters = {key: count for key, count in reported.items() if key not in before}
    write_atomically(lab.root / FILE, json.dumps({"addons": of_other_clusters | dict(now)}))
