"""Controllers with webhooks, as some clusters have them: the real programs, beside a control plane. EDGE.

Used by `group_controller` and `kueue_controller`, which say what is special to theirs. The custom resource definitions
and the webhooks are those of the program's own module, which `meshctl setup` put beside it. The API server reaches the
webhooks at a loopback address instead of a Service; without others, with the certificate that kwokctl made for the API
server itself.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from meshctl import tools
from meshctl.lab import clusters
from meshctl.lab.pods import api, lifetime
from meshctl.lab.state import Lab, write_atomically
from meshwire.kubernetes.async_client import AsyncClient

log = logging.getLogger(__name__)
CLUSTERS: Final = tuple(plane.name for plane in clusters.PLANES)
"""The control planes that are there from the start of the lab. The first EKS cluster gets one of them, and finds there
what somebody would install in it."""

_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_ADMISSION = "/apis/admissionregistration.k8s.io/v1"
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_RESTART_S = 1.0
_ANSWER_S = 60.0
_LOOK_AGAIN_S = 0.1


@dataclass(frozen=True)
class Controller:
    """`definitions`: files of custom resource definitions beside the program. `configuration`: its document, without
    where the webhooks listen. `webhooks`: their configurations, which name a Service. `port`: begins the name of its
    port in lab.json. `converted`: definitions whose objects it converts between versions. `certificates`: puts those of
    the webhooks into a folder, as tls.crt and tls.key, and returns their authority."""

    program: str
    port: str
    definitions: tuple[str, ...]
    configuration: dict[str, Any]
    webhooks: Callable[[], list[dict[str, Any]]]
    arguments: tuple[str, ...] = ()
    converted: tuple[str, ...] = ()
    certificates: Callable[[Lab, str, AsyncClient, Path], Awaitable[bytes]] | None = None

    def port_name(self, cluster: str) -> str:
        """Of the webhooks, among the ports of lab.json."""
        return f"{self.port}_{cluster}"


async def run(
    controller: Controller, lab: Lab, cluster: api.Cluster, client: AsyncClient, ready: Callable[[], None]
) -> None:
    """Keep the controller running, for ever. `ready` is called once its kinds are served and its webhooks answer."""
    port: int = lab.read()["ports"][controller.port_name(cluster.name)]
    folder = clusters.folder_of(lab, cluster.name) / controller.program
    folder.mkdir(parents=True, exist_ok=True)
    authority = await (controller.certificates or _of_the_api_server)(lab, cluster.name, client, folder)
    for file in controller.definitions:
        for document in documents(controller.program, file):
            await api.ensure(client, _DEFINITIONS, _convertible(controller, document, port, authority))
    config = _configure(controller, folder, port)
    command = [str(tools.find(controller.program)), "--config", str(config), "--kubeconfig", cluster.kubeconfig]
    while True:
        with (lab.logs / f"{controller.program}-{cluster.name}.log").open("ab") as stream:
            process = await asyncio.create_subprocess_exec(
                *command,
                *controller.arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                cwd=config.parent,
                env=lab.environment(),
                preexec_fn=lifetime.with_parent(os.getpid()),
            )
        try:
            if await _answers(port, process):
                await _declare_webhooks(controller, client, port, authority)
                ready()
            await process.wait()
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            code = await process.wait()  # also when the lab ends
        log.warning("%s of %s ended with %s; starting it again", controller.program, cluster.name, code)
        await asyncio.sleep(_RESTART_S)


def documents(program: str, file: str) -> list[dict[str, Any]]:
    """The objects of a file beside the program. Definitions have 16,000 lines: seconds for the parser in Python."""
    text = tools.file_beside(program, file).read_text()
    return [document for document in yaml.load_all(text, _Loader) if document]


def at_loopback(controller: Controller, port: int, authority: bytes) -> list[dict[str, Any]]:
    """The webhook configurations at this port instead of a Service."""
    return [_at(port, authority, document) for document in controller.webhooks()]


async def _of_the_api_server(lab: Lab, name: str, client: AsyncClient, folder: Path) -> bytes:
    del client
    pki = clusters.home(lab, name) / "pki"
    for source, target in (("admin.crt", "tls.crt"), ("admin.key", "tls.key")):
        write_atomically(folder / target, (pki / source).read_text(), 0o600)
    return (pki / "ca.crt").read_bytes()


def _convertible(controller: Controller, document: dict[str, Any], port: int, authority: bytes) -> dict[str, Any]:
    if document["metadata"]["name"] not in controller.converted:
        return document
    webhook = {"clientConfig": _client(port, authority, "/convert"), "conversionReviewVersions": ["v1"]}
    return {**document, "spec": {**document["spec"], "conversion": {"strategy": "Webhook", "webhook": webhook}}}


def _configure(controller: Controller, folder: Path, port: int) -> Path:
    webhook = {"host": "127.0.0.1", "port": port, "certDir": str(folder)}
    write_atomically(folder / "config.yaml", yaml.safe_dump({**controller.configuration, "webhook": webhook}))
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


async def _declare_webhooks(controller: Controller, client: AsyncClient, port: int, authority: bytes) -> None:
    for document in at_loopback(controller, port, authority):
        path = f"{_ADMISSION}/{document['kind'].lower()}s"
        if await api.ensure(client, path, document) is None:
            body = {"webhooks": document["webhooks"]}
            await api.patch(client, f"{path}/{document['metadata']['name']}", body)


def _at(port: int, authority: bytes, document: dict[str, Any]) -> dict[str, Any]:
    hooks = [
        {**hook, "clientConfig": _client(port, authority, hook["clientConfig"]["service"]["path"])}
        for hook in document["webhooks"]
    ]
    return {**document, "webhooks": hooks}


def _client(port: int, authority: bytes, path: str) -> dict[str, str]:
    return {"url": f"https://127.0.0.1:{port}{path}", "caBundle": base64.b64encode(authority).decode()}
