"""Small servers on loopback, for tests of what asks for health: HTTP, HTTPS, gRPC, TCP. Each ends with its `with`."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
import trustme


class Handler(BaseHTTPRequestHandler):
    """`/health` and `/` answer with the server's own statuses. Notes the hosts that it was asked for."""

    def do_GET(self) -> None:
        server: Any = self.server
        server.hosts.append(self.headers["Host"])
        self.send_response(server.statuses.get(self.path, 404))
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Silent."""


@contextmanager
def http_server(certificate: trustme.LeafCert | None = None, **statuses: int) -> Iterator[Any]:
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.hosts, server.statuses = [], {"/" if name == "root" else f"/{name}": s for name, s in statuses.items()}
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=30)


@contextmanager
def grpc_server(status: bytes | None) -> Iterator[int]:
    """Answers its health check with these bytes; None: it has no health service."""

    def check(request: bytes, _context: Any) -> bytes | None:
        return status if request == b"" else None

    server = grpc.server(ThreadPoolExecutor(max_workers=2))
    if status is not None:
        handlers = {"Check": grpc.unary_unary_rpc_method_handler(check)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("grpc.health.v1.Health", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(0).wait(5)


@contextmanager
def tcp_server(serve: Callable[[socket.socket], object]) -> Iterator[int]:
    """Hands each connection to `serve`, and closes it after that."""
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(ConnectionError):
                serve(connection)

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(timeout=30)


def speaks_first(connection: socket.socket) -> None:
    connection.sendall(b"SSH-2.0-OpenSSH_9.9\r\n")
    connection.recv(1024)


def waits_for_the_client(connection: socket.socket) -> None:
    connection.recv(1024)


def closes_at_once(_connection: socket.socket) -> None:
    """Nobody is behind this load balancer."""
