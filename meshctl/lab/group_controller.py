"""The controller of LeaderWorkerSets, as some clusters have it: the real program, beside a control plane. EDGE.

Run by the lab's controllers for the clusters that `meshctl lab up --group-controller` names. The custom resource
definition and the webhooks are those of the program's own module, which `meshctl setup lws-manager` put beside it. The
API server reaches the webhooks at a loopback address instead of a Service, with the certificate that kwokctl made for
the API server itself.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import yaml

from meshctl import tools
from meshctl.lab import clusters
from meshctl.lab.pods import api, lifetime
from meshctl.lab.state import Lab, write_whole
from meshwire.kubernetes.async_client import AsyncClient

log = logging.getLogger(__name__)
PROGRAM: Final = "lws-manager"
CLUSTERS: Final = tuple(plane.name for plane in clusters.PLANES if plane.provider != "eks")
DEFINITION: Final = "leaderworkerset.x-k8s.io_leaderworkersets.yaml"
_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_ADMISSION = "/apis/admissionregistration.k8s.io/v1"
_PATHS = {"MutatingWebhookConfiguration": "mutating", "ValidatingWebhookConfiguration": "validating"}
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_RESTART_S = 1.0
_ANSWER_S = 60.0
_LOOK_AGAIN_S = 0.1


def port_name(cluster: str) -> str:
    """Of the webhooks, among the ports of lab.json."""
    return f"groups_{cluster}"


async def run(lab: Lab, cluster: api.Cluster, client: AsyncClient, ready: Callable[[], None]) -> None:
    """Keep the controller running, for ever. `ready` is called once its kind is served and its webhooks answer."""
    port: int = lab.read()["ports"][port_name(cluster.name)]
    for document in _documents(DEFINITION):
        await api.ensure(client, _DEFINITIONS, document)
    config = _configure(lab, cluster.name, port)
    command = [str(tools.find(PROGRAM)), "--config", str(config), "--kubeconfig", cluster.kubeconfig]
    while True:
        with (lab.logs / f"{PROGRAM}-{cluster.name}.log").open("ab") as stream:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                cwd=config.parent,
                env=lab.environment(),
                preexec_fn=lifetime.with_parent(os.getpid()),
            )
        try:
            if await _answers(port, process):
                await _declare_webhooks(lab, client, cluster.name, port)
                ready()
            await process.wait()
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            code = await process.wait()  # also when the lab ends
        log.warning("%s of %s ended with %s; starting it again", PROGRAM, cluster.name, code)
        await asyncio.sleep(_RESTART_S)


def _configure(lab: Lab, name: str, port: int) -> Path:
    """The program's configuration, and its certificate where it looks for it."""
    folder = clusters.folder_of(lab, name) / PROGRAM
    folder.mkdir(parents=True, exist_ok=True)
    pki = clusters.home(lab, name) / "pki"
    for source, target in (("admin.crt", "tls.crt"), ("admin.key", "tls.key")):
        write_whole(folder / target, (pki / source).read_text(), 0o600)
    document = {
        "apiVersion": "config.lws.x-k8s.io/v1alpha1",
        "kind": "Configuration",
        "webhook": {"host": "127.0.0.1", "port": port, "certDir": str(folder)},
        "internalCertManagement": {"enable": False},
        "leaderElection": {"leaderElect": False},
        "metrics": {"bindAddress": "0"},
        "health": {"healthProbeBindAddress": "0"},
    }
    write_whole(folder / "config.yaml", yaml.safe_dump(document))
    return folder / "config.yaml"


async def _answers(port: int, process: asyncio.subprocess.Process) -> bool:
    """Whether the webhooks take connections; False once the program has ended, or takes too long."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_ANSWER_S):
            while process.returncode is None:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    return True
                await asyncio.sleep(_LOOK_AGAIN_S)
    return False


async def _declare_webhooks(lab: Lab, client: AsyncClient, name: str, port: int) -> None:
    authority = (clusters.home(lab, name) / "pki" / "ca.crt").read_bytes()
    for document in webhooks(port, authority):
        path = f"{_ADMISSION}/{document['kind'].lower()}s"
        if await api.ensure(client, path, document) is None:
            body = {"webhooks": document["webhooks"]}
            await api.patch(client, f"{path}/{document['metadata']['name']}", body)


def webhooks(port: int, authority: bytes) -> list[dict[str, Any]]:
    """The module's webhook configurations with its own patches (only pods of LeaderWorkerSets are asked for), at this
    port instead of a Service."""
    return [_at(port, authority, _patched(document)) for document in _documents("manifests.yaml")]


def _documents(file: str) -> list[dict[str, Any]]:
    """The objects of a file beside the program. The definition has 16,000 lines: seconds for the parser in Python."""
    text = tools.file_beside(PROGRAM, file).read_text()
    return [document for document in yaml.load_all(text, _Loader) if document]


def _patched(document: dict[str, Any]) -> dict[str, Any]:
    form = _PATHS[document["kind"]]
    hooks = list(document["webhooks"])
    for patch in yaml.safe_load(tools.file_beside(PROGRAM, f"{form}-patch.yaml").read_text()):
        hooks[int(patch["path"].removeprefix("/webhooks/"))] = patch["value"]
    return {**document, "metadata": {"name": f"lws-{document['metadata']['name']}"}, "webhooks": hooks}


def _at(port: int, authority: bytes, document: dict[str, Any]) -> dict[str, Any]:
    bundle = base64.b64encode(authority).decode()
    hooks = [
        {
            **hook,
            "clientConfig": {
                "url": f"https://127.0.0.1:{port}{hook['clientConfig']['service']['path']}",
                "caBundle": bundle,
            },
        }
        for hook in document["webhooks"]
    ]
    return {**document, "webhooks": hooks}
