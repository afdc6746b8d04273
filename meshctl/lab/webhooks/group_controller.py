"""The controller of LeaderWorkerSets, as some clusters have it: the real program, beside a control plane. EDGE.

Run by the lab's controllers for the clusters that `meshctl lab up --group-controller` names; see `real_controllers`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import yaml

from meshctl import tools
from meshctl.lab.pods import api
from meshctl.lab.state import Lab
from meshctl.lab.webhooks import real_controllers
from meshctl.lab.webhooks.real_controllers import Controller
from meshwire.kubernetes.async_client import AsyncClient

PROGRAM: Final = "lws-manager"
CLUSTERS: Final = real_controllers.CLUSTERS
DEFINITION: Final = "leaderworkerset.x-k8s.io_leaderworkersets.yaml"
_PATHS = {"MutatingWebhookConfiguration": "mutating", "ValidatingWebhookConfiguration": "validating"}
_CONFIGURATION: Final = {
    "apiVersion": "config.lws.x-k8s.io/v1alpha1",
    "kind": "Configuration",
    "internalCertManagement": {"enable": False},
    "leaderElection": {"leaderElect": False},
    "metrics": {"bindAddress": "0"},
    "health": {"healthProbeBindAddress": "0"},
}


def port_name(cluster: str) -> str:
    """Of the webhooks, among the ports of lab.json."""
    return CONTROLLER.port_name(cluster)


async def run(lab: Lab, cluster: api.Cluster, client: AsyncClient, ready: Callable[[], None]) -> None:
    """Keep the controller running, for ever. `ready` is called once its kind is served and its webhooks answer."""
    await real_controllers.run(CONTROLLER, lab, cluster, client, ready)


def webhooks(port: int, authority: bytes) -> list[dict[str, Any]]:
    """The module's webhook configurations with its own patches (only pods of LeaderWorkerSets are asked for), at this
    port instead of a Service."""
    return real_controllers.at_loopback(CONTROLLER, port, authority)


def _webhooks() -> list[dict[str, Any]]:
    return [_patched(document) for document in real_controllers.documents(PROGRAM, "manifests.yaml")]


def _patched(document: dict[str, Any]) -> dict[str, Any]:
    form = _PATHS[document["kind"]]
    hooks = list(document["webhooks"])
    for patch in yaml.safe_load(tools.file_beside(PROGRAM, f"{form}-patch.yaml").read_text()):
        hooks[int(patch["path"].removeprefix("/webhooks/"))] = patch["value"]
    return {**document, "metadata": {"name": f"lws-{document['metadata']['name']}"}, "webhooks": hooks}


CONTROLLER: Final = Controller(PROGRAM, "groups", (DEFINITION,), _CONFIGURATION, _webhooks)
