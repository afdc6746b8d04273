"""HTTP behaviour of the `kubernetes` stand-in that a healthy server never shows: overload, refusals, broken lines."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from meshwire.kubernetes import requests
from providers.kubernetes import kubeconfig
from providers.kubernetes.connection import ApiError, Connection, UnreachableError


class Scripted(BaseHTTPRequestHandler):
    """Answers with the next (status, headers, body) of `script`; status 0 breaks the connection."""

    protocol_version = "HTTP/1.1"
    script: list[tuple[int, dict[str, str], dict[str, Any]]]
    seen: list[str]
    url: str

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.seen.append(f"{self.command} {self.headers.get('Authorization', '')}".strip())
        status, headers, body = self.script.pop(0)
        if status == 0:
            self.close_connection = True
            self.connection.close()
            return
        content = json.dumps(body).encode()
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = answer  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[type[Scripted]]:
    handler: type[Scripted] = type("Handler", (Scripted,), {"script": [], "seen": []})
    running = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    handler.url = f"http://127.0.0.1:{running.server_port}"
    yield handler
    running.shutdown()
    running.server_close()


@contextmanager
def connect(server: Any, user: dict[str, Any] | None = None) -> Iterator[Connection]:
    given = {
        "clusters": [{"name": "c", "cluster": {"server": server.url}}],
        "users": [{"name": "u", "user": user or {}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "c",
    }
    connection = Connection(kubeconfig.load(json.dumps(given), context="", cluster=""), threading.Event())
    yield connection
    connection.close()


def test_an_overloaded_server_is_asked_again(server: Any) -> None:
    busy = {"kind": "Status", "reason": "TooManyRequests", "message": "later"}
    server.script += [(429, {"Retry-After": "0"}, busy), (503, {}, {}), (200, {}, {"kind": "Node"})]
    with connect(server) as connection:
        assert connection.send(requests.get("/x")) == {"kind": "Node"}
    assert len(server.seen) == 3


def test_a_broken_line_is_tried_again(server: Any) -> None:
    server.script += [(0, {}, {}), (200, {}, {"ok": True})]
    with connect(server) as connection:
        assert connection.send(requests.create("/x", {})) == {"ok": True}


def test_a_webhook_that_refuses_is_not_asked_again(server: Any) -> None:
    server.script.append((500, {}, {"reason": "InternalError", "message": "admission webhook says no"}))
    with connect(server) as connection, pytest.raises(ApiError, match=r"webhook says no \[code=InternalError\]"):
        connection.send(requests.create("/x", {}))
    assert len(server.seen) == 1


def test_a_token_file_is_read_again_when_the_token_is_refused(server: Any, tmp_path: Any) -> None:
    token = tmp_path / "token"
    token.write_text("old\n")
    server.script += [(200, {}, {}), (401, {}, {}), (200, {}, {"ok": True})]
    with connect(server, {"tokenFile": str(token)}) as connection:
        connection.send(requests.get("/x"))
        token.write_text("new\n")
        assert connection.send(requests.get("/x")) == {"ok": True}
    assert server.seen == ["GET Bearer old", "GET Bearer old", "GET Bearer new"]


@pytest.mark.parametrize(("status", "code"), [(401, "Unauthorized"), (403, "Forbidden")])
def test_a_refusal_keeps_the_servers_words(server: Any, status: int, code: str) -> None:
    server.script.append((status, {}, {"reason": code, "message": "you may not"}))
    with connect(server) as connection, pytest.raises(ApiError, match=rf"you may not \[code={code}\]"):
        connection.send(requests.get("/x"))


def test_no_answer_at_all_is_unreachable(server: Any) -> None:
    server.script += [(0, {}, {})] * 8
    with (
        connect(server) as connection,
        pytest.raises(UnreachableError, match=r"can't be reached.*\[code=Unreachable\]"),
    ):
        connection.send(requests.get("/x"))
