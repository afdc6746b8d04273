"""Serves the REST API of one WEKA system, at an address of its own, by TLS with a certificate of the lab. EDGE.

Started by `controllers.weka`. The certificate names no address, as WEKA's own, which it signs itself, does not: a
client that checks it refuses it.
"""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from meshctl.lab.controllers import authority
from meshctl.lab.state import write_atomically
from meshctl.lab.weka.api import file_system_calls, organization_calls, rest_api, snapshot_calls
from meshctl.lab.weka.api.rest_api import Call, RefusedError, Sessions
from meshctl.lab.weka.api.system import Bucket, System
from meshctl.lab.weka.api.uploads import S3, Store

PREFIX = "/api/v2/"
ROUTES = (*rest_api.ROUTES, *organization_calls.ROUTES, *file_system_calls.ROUTES, *snapshot_calls.ROUTES)
_POLL_S = 0.05  # how soon it notices that it is to end
Systems = Callable[[], Sequence[System]]


class Api:
    """Answers calls for one system. `systems`: all of the lab."""

    def __init__(self, system: System, systems: Systems, open_bucket: Callable[[Bucket], Store] = S3) -> None:
        self.system = system
        self.systems = systems
        self.open_bucket = open_bucket
        self.sessions = Sessions()

    def answer(self, method: str, target: str, body: dict[str, Any], token: str = "") -> tuple[int, dict[str, Any]]:
        """(status of HTTP, document). `target`: path and query."""
        parts = urlsplit(target)
        try:
            data = self._answer(method, parts.path.removeprefix(PREFIX), dict(parse_qsl(parts.query)), body, token)
        except RefusedError as error:
            if error.status == 401:
                return 401, {"data": "Unauthorized"}
            return error.status, {"message": str(error), "data": {"error": str(error)}}
        return 200, {"data": data}

    def _answer(self, method: str, path: str, query: dict[str, str], body: dict[str, Any], token: str) -> Any:
        with self.system.lock:
            if (method, path) == ("POST", "login"):
                return self.sessions.log_in(self.system, body)
            if (method, path) == ("POST", "login/refresh"):
                return self.sessions.renew(body)
            account = self.sessions.account_of(token)
            for route in ROUTES:
                parts = route.match(method, path)
                if parts is None:
                    continue
                if account.role not in route.roles:
                    raise RefusedError(403, f"the role {account.role} may not {method} {path}")
                others = tuple(each for each in self.systems() if each is not self.system)
                return route.answer(Call(self.system, account, body, parts, query, self.open_bucket, others))
            raise RefusedError(404, f"{method} {path} is not played by the lab")


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, api: Api, address: str, port: int) -> None:
        super().__init__((address, port), _Handler)
        self.api = api


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._handle("GET")

    def do_POST(self) -> None:
        self._handle("POST")

    def do_PUT(self) -> None:
        self._handle("PUT")

    def do_DELETE(self) -> None:
        self._handle("DELETE")

    def _handle(self, method: str) -> None:
        text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        token = self.headers.get("Authorization", "").removeprefix("Bearer ").strip()
        try:
            body = json.loads(text) if text else {}
        except ValueError:
            body = None
        if isinstance(body, dict):
            status, document = self.server.api.answer(method, self.path, body, token)
        else:
            status, document = 400, {"message": "the body is no JSON object"}
        data = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


def serve(api: Api, folder: Path, address: str, port: int) -> ThreadingHTTPServer:
    """Serve from a thread until `shutdown`. `folder`: of the lab's certificates. Raises: OSError."""
    server = _Server(api, address, port)
    server.socket = _context(api.system.folder, folder).wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(_POLL_S,), daemon=True).start()
    return server


def _context(own: Path, certificates: Path) -> ssl.SSLContext:
    issued = authority.issue(certificates, ["weka"])
    write_atomically(own / "tls.pem", (issued.chain + issued.key).decode(), 0o600)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own / "tls.pem")
    return context
