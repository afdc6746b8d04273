"""What the lab runs for an inference image: a small OpenAI-style server with real weights on disk or in S3. EDGE.

Started by `meshctl.lab.pods` in place of `vllm/vllm-openai`. `/health` is 200 once the weights are read; `/v1/models`
says which bytes were loaded and where it runs. With vLLM's `--ssl-certfile` and `--ssl-keyfile` it speaks HTTPS.
SIGTERM: it goes on answering for DRAIN_SECONDS, finishes what is in flight and exits with 0.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import signal
import ssl
import sys
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

DRAIN_S = 3.0
FINISH_S = 20.0


@dataclass(frozen=True)
class Weights:
    model: str
    sha256: str  # over each file's name and bytes, in order of name
    size_bytes: int
    files: int


def load(model: str) -> Weights:
    """Read all of the model's files. Raises FileNotFoundError when there are none."""
    digest, size_bytes, files = hashlib.sha256(), 0, 0
    for name, data in _s3_files(model) if model.startswith("s3://") else _local_files(Path(model)):
        digest.update(name.encode() + b"\0" + data)
        size_bytes += len(data)
        files += 1
    if not files:
        raise FileNotFoundError(f"no weights at {model}")
    return Weights(model=model, sha256=digest.hexdigest(), size_bytes=size_bytes, files=files)


def _local_files(folder: Path) -> Any:
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        yield path.relative_to(folder).as_posix(), path.read_bytes()


def _s3_files(url: str) -> Any:
    from meshctl.lab.images import s3  # boto3 takes half a second: only when weights come from S3

    store = s3.open_store(url)
    for name in store.names():
        yield name, store.get(name) or b""


class Server(ThreadingHTTPServer):
    """State shared by the requests: `weights` is None until loaded. `tls`: None for plain HTTP."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, address: tuple[str, int], tls: ssl.SSLContext | None = None) -> None:
        super().__init__(address, Handler)
        self.tls = tls
        self.weights: Weights | None = None
        self.draining = threading.Event()
        self.in_flight = 0  # requests, and connections on which none was answered yet
        self.counter = threading.Lock()

    def count(self, change: int) -> None:
        with self.counter:
            self.in_flight += change

    def process_request(self, request: Any, client_address: Any) -> None:
        self.count(1)
        super().process_request(request, client_address)

    def finish_request(self, request: Any, client_address: Any) -> None:
        """In the connection's own thread, so that a slow handshake keeps nobody waiting."""
        if self.tls is None:
            super().finish_request(request, client_address)
            return
        request.settimeout(Handler.timeout)
        try:
            encrypted = self.tls.wrap_socket(request, server_side=True)
        except OSError:  # a probe that only connects, or a client that goes
            self.count(-1)
            return
        try:
            super().finish_request(encrypted, client_address)
        finally:
            self.shutdown_request(encrypted)  # the caller's socket is an empty shell now

    def take_waiting(self) -> None:
        """Serve the connections that the kernel has taken for us, then take no more: a client whose connection is
        refused tries elsewhere, one whose connection is cut has lost its request."""
        self.socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                self.process_request(*self.get_request())
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # one segment for head and body
    timeout = 60

    @property
    def state(self) -> Server:
        return cast("Server", self.server)

    def setup(self) -> None:
        super().setup()
        self.counted = True  # by `process_request`

    def finish(self) -> None:
        self._count(busy=False)
        super().finish()

    def _count(self, *, busy: bool) -> None:
        if busy != self.counted:
            self.state.count(1 if busy else -1)
            self.counted = busy

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the base class's name)
        if not self.path.startswith("/health"):
            sys.stdout.write(f"{format % args}\n")

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers.get("Content-Length") or 0)))

    def _answer(self, body: bytes) -> None:
        self._count(busy=True)
        try:
            status, value = respond(self.path.split("?")[0], body, self.state.weights)
            data = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            if self.state.draining.is_set():
                self.send_header("Connection", "close")
                self.close_connection = True
            self.end_headers()
            self.wfile.write(data)
            self.wfile.flush()
        finally:
            self._count(busy=False)


def respond(path: str, body: bytes, weights: Weights | None) -> tuple[int, dict[str, Any]]:
    """Status and JSON for one request."""
    if weights is None:
        return 503, {"error": {"message": "loading weights", "type": "unavailable"}}
    where = {
        "environment": os.environ.get("MESH_ENVIRONMENT", ""),
        "pool": os.environ.get("MESH_POOL", ""),
        "pod": os.environ.get("HOSTNAME", ""),
    }
    if path == "/health":
        return 200, {"status": "ok"}
    if path == "/v1/models":
        model = {
            "id": weights.model,
            "object": "model",
            "sha256": weights.sha256,
            "bytes": weights.size_bytes,
            "files": weights.files,
        }
        return 200, {"object": "list", "data": [model | where]}
    if path in {"/v1/completions", "/v1/chat/completions"}:
        try:
            request = json.loads(body or b"{}")
        except ValueError:
            return 400, {"error": {"message": "not JSON", "type": "invalid_request_error"}}
        time.sleep(min(float(request.get("lab_seconds", 0)), 30))  # a long answer, to try draining
        return 200, _completion(path, weights) | where
    return 404, {"error": {"message": f"no {path}", "type": "not_found"}}


def _completion(path: str, weights: Weights) -> dict[str, Any]:
    text = f"weights {weights.sha256[:12]}"
    chat = path.endswith("/chat/completions")
    choice: dict[str, Any] = {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
    return {
        "id": f"cmpl-{time.time_ns()}",
        "object": "chat.completion" if chat else "text_completion",
        "model": weights.model,
        "choices": [{"index": 0, "finish_reason": "stop"} | choice],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
    }


def drain(server: Server, drain_s: float) -> None:
    """Answer on while load balancers notice, then finish what is in flight."""
    server.draining.set()
    time.sleep(drain_s)
    server.shutdown()
    server.take_waiting()
    deadline = time.monotonic() + FINISH_S
    while server.in_flight and time.monotonic() < deadline:
        time.sleep(0.02)


def main() -> int:
    parser = argparse.ArgumentParser(prog="openai_server", allow_abbrev=False)
    parser.add_argument("--model")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--ssl-certfile")
    parser.add_argument("--ssl-keyfile")
    options, rest = parser.parse_known_args()
    model = options.model or next((each for each in rest if each.startswith(("/", "s3://"))), "/models")
    tls = None
    if options.ssl_certfile:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(options.ssl_certfile, options.ssl_keyfile)
    server = Server((os.environ.get("POD_ADDRESS", "127.0.0.1"), options.port), tls)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
    serving.start()
    server.weights = load(model)
    sys.stdout.write(f"serving {server.weights}\n")
    sys.stdout.flush()
    stop.wait()
    drain(server, float(os.environ.get("DRAIN_SECONDS", DRAIN_S)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
