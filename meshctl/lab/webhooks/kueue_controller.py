"""Kueue, as some clusters have it: the real program, beside a control plane. EDGE.

Run by the lab's controllers for the clusters that `meshctl lab up --kueue` names; see `real_controllers`. It looks
after Jobs, single pods and the pods of Deployments, as Kueue does as it is installed; kinds that the lab's clusters do
not serve are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from meshctl.lab.pods import api
from meshctl.lab.state import Lab
from meshctl.lab.webhooks import kueue_certificates, real_controllers
from meshctl.lab.webhooks.real_controllers import Controller
from meshctl.tools.table import TOOLS
from meshwire.kubernetes.async_client import AsyncClient

PROGRAM: Final = "kueue-manager"
CLUSTERS: Final = real_controllers.CLUSTERS
_WEBHOOKS: Final = "manifests.yaml"
_CONFIGURATION: Final = {
    "apiVersion": "config.kueue.x-k8s.io/v1beta2",
    "kind": "Configuration",
    "internalCertManagement": {"enable": True},
    "leaderElection": {"leaderElect": False},
    "metrics": {"bindAddress": "0"},
    "health": {"healthProbeBindAddress": "0"},
    "integrations": {"frameworks": ["batch/job", "pod", "deployment"]},
}
# the webhooks of other kinds would never be asked, and those of kinds that are off would have no answer
_KINDS: Final = ("clusterqueue", "cohort", "localqueue", "resourceflavor", "workload", "job", "pod", "deployment")
# Source: config/components/crd/kustomization.yaml
_CONVERTED: Final = ("clusterqueues", "cohorts", "localqueues", "multikueueclusters", "workloads")
# As Kueue's kustomization and chart have it: its own pods, and those of the cluster, start without it
_OF_PODS: Final = ("job", "pod", "deployment")
_NAMESPACES: Final = {
    "matchExpressions": [
        {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["kube-system", "kueue-system"]}
    ]
}


def port_name(cluster: str) -> str:
    """Of the webhooks, among the ports of lab.json."""
    return CONTROLLER.port_name(cluster)


async def run(lab: Lab, cluster: api.Cluster, client: AsyncClient, ready: Callable[[], None]) -> None:
    """Keep Kueue running, for ever. `ready` is called once its kinds are served and its webhooks answer."""
    await real_controllers.run(CONTROLLER, lab, cluster, client, ready)


async def _certificates(lab: Lab, name: str, client: AsyncClient, folder: Path) -> bytes:
    del lab, name
    files = kueue_certificates.in_folder(folder)
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": kueue_certificates.NAMESPACE}}
    await api.ensure(client, "/api/v1/namespaces", namespace)
    secrets = f"/api/v1/namespaces/{kueue_certificates.NAMESPACE}/secrets"
    await api.ensure(client, secrets, kueue_certificates.secret(files))
    return files["ca.crt"]


def _webhooks() -> list[dict[str, Any]]:
    return [
        {
            **document,
            "metadata": {"name": f"kueue-{document['metadata']['name']}"},
            "webhooks": [_narrowed(hook) for hook in document["webhooks"] if _kind(hook) in _KINDS],
        }
        for document in real_controllers.documents(PROGRAM, _WEBHOOKS)
    ]


def _kind(hook: dict[str, Any]) -> str:
    """`job` of `mjob.kb.io`."""
    return str(hook["name"]).partition(".")[0][1:]


def _narrowed(hook: dict[str, Any]) -> dict[str, Any]:
    return {**hook, "namespaceSelector": _NAMESPACES} if _kind(hook) in _OF_PODS else hook


def _definitions() -> tuple[str, ...]:
    names = (name.rpartition("/")[2] for name in TOOLS[PROGRAM].module_files)
    return tuple(name for name in names if name != _WEBHOOKS)


CONTROLLER: Final = Controller(
    PROGRAM,
    "kueue",
    _definitions(),
    _CONFIGURATION,
    _webhooks,
    ("--feature-gates=VisibilityOnDemand=false",),  # which would need an API service of its own
    tuple(f"{kind}.kueue.x-k8s.io" for kind in _CONVERTED),
    _certificates,
)
