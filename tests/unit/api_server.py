"""A server on loopback that plays an API server: answers as a test has them, and remembers what it was asked."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any
    connection: tuple[str, int]


@dataclass(frozen=True)
class Answer:
    """`status` 0 breaks the connection. `lines` are sent one by one, as those of a watch."""

    status: int = 200
    body: Any = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    content: bytes | None = None
    lines: tuple[Any, ...] | None = None


Respond = Callable[[Asked], Answer]


@dataclass
class ApiServer:
    url: str
    asked: list[Asked] = field(default_factory=list)


@contextmanager
def api_server(respond: Respond, tls: ssl.SSLContext | None = None) -> Iterator[ApiServer]:
    """Answers with what `respond` makes of each request, until the block ends."""
    asked: list[Asked] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            url = urlsplit(self.path)
            body = json.loads(sent) if sent else None
            request = Asked(
                self.command, url.path, dict(parse_qsl(url.query)), dict(self.headers), body, self.client_address
            )
            asked.append(request)
            _answer(self, respond(request))

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815

        def do_CONNECT(self) -> None:
            asked.append(Asked("CONNECT", self.path, {}, dict(self.headers), None, self.client_address))
            _answer(self, Answer(502, content=b"no such host"))

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:  # a client that refuses the certificate
            pass

    server = Server(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield ApiServer(f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}", asked)
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=30)


def _answer(handler: BaseHTTPRequestHandler, answer: Answer) -> None:
    if answer.status == 0:
        handler.close_connection = True
        return
    content = answer.content if answer.content is not None else json.dumps(answer.body).encode()
    handler.send_response(answer.status)
    headers = {"Content-Type": "application/json", **answer.headers}
    if answer.lines is None:
        headers["Content-Length"] = str(len(content))
    else:
        headers["Connection"] = "close"
        content = b"".join(json.dumps(line).encode() + b"\n" for line in answer.lines)
    for key, value in headers.items():
        handler.send_header(key, value)
    handler.end_headers()
    handler.wfile.write(content)
    handler.close_connection = answer.lines is not None
