"""What the nodes of the lab answer their API server: the logs of the pods that the lab plays (`kubectl logs`). EDGE.

Run by `runner` for each cluster, at the port that `meshctl.lab.clusters` has the nodes name as that of their kubelet.
It knows `tailLines` alone, and refuses to follow a log. As a kubelet it shows what the present container has written,
and not those before it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import ssl
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, NamedTuple, Self
from urllib.parse import parse_qs, urlsplit

from meshctl.lab.state import write_atomically

log = logging.getLogger(__name__)
FILE: Final = "kubelet.json"  # beside the kubeconfig of the cluster
_LOGS: Final = "containerLogs"
_NOT_PLAYED: Final = ("follow", "limitBytes", "previous", "sinceSeconds", "sinceTime", "timestamps")
_OFF: Final = frozenset({"", "false"})


@dataclass(frozen=True)
class Kubelet:
    """Where the API server of a cluster asks for logs. `certificate`, `key`: files in PEM."""

    port: int
    certificate: str
    key: str

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Of the cluster whose kubeconfig is in the folder. Raises: OSError, ValueError, TypeError."""
        return cls(**json.loads((folder / FILE).read_text()))

    def write(self, folder: Path) -> None:
        write_atomically(folder / FILE, json.dumps(asdict(self)))


class Written(NamedTuple):
    """The log of a container's lives, and the byte with which the present one begins."""

    path: Path
    begins_at: int


class Answer(NamedTuple):
    status: int
    body: str


LogOf = Callable[[str, str, str], Written | None]  # (namespace, pod, container)


async def serve(kubelet: Kubelet, log_of: LogOf) -> None:
    """Until it is cancelled. Raises: OSError where the port is taken or the certificate can't be read."""

    async def answer_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            head = await reader.readuntil(b"\r\n\r\n")
            answered = answer(head.decode("latin-1").split(" ")[1], log_of)
            body = answered.body.encode()
            lines = (f"HTTP/1.1 {answered.status} -", "Content-Type: text/plain", f"Content-Length: {len(body)}")
            writer.write("\r\n".join((*lines, "Connection: close", "", "")).encode() + body)
            await writer.drain()
        writer.close()

    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(kubelet.certificate, kubelet.key)
    server = await asyncio.start_server(answer_one, "127.0.0.1", kubelet.port, ssl=tls)
    async with server:
        await server.serve_forever()


def answer(target: str, log_of: LogOf) -> Answer:
    """To a GET of this path and query."""
    url = urlsplit(target)
    query = {name: values[-1] for name, values in parse_qs(url.query).items()}
    options = [name for name in _NOT_PLAYED if query.get(name, "") not in _OFF]
    _, kind, *parts = url.path.split("/")
    if kind != _LOGS or len(parts) != 3:
        return Answer(404, f"{url.path} is not played by the lab\n")
    if options:
        return Answer(501, f"the lab plays no logs with {', '.join(options)}\n")
    namespace, pod, container = parts
    written = log_of(namespace, pod, container)
    if written is None or not written.path.exists():
        return Answer(404, f'no logs of container "{container}" in pod "{pod}"\n')
    return Answer(200, _end(written, int(query.get("tailLines", -1))))


def _end(written: Written, lines: int) -> str:
    """The last lines, or all for -1."""
    with written.path.open("rb") as file:
        file.seek(written.begins_at)
        text = file.read().decode(errors="replace")
    all_lines = text.splitlines(keepends=True)
    return text if lines < 0 else "".join(all_lines[max(0, len(all_lines) - lines) :])
