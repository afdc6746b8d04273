"""What the lab runs for an inference image: an OpenAI-style server with real weights on disk or in S3. EDGE.

Started by `meshctl.lab.pods` in place of vLLM, SGLang, TGI and NIM (`--lab-server` says which). It is healthy once the
weights are read; `/v1/models` says which bytes were loaded and where it runs. Weights that are a language model are run
(`language_model`), others are only read. SIGTERM: it goes on answering for DRAIN_SECONDS, finishes what is in flight
and exits with 0.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import ssl
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NoReturn, cast

from meshctl.lab.images.inference import inference_answers, inference_arguments, inference_metrics, language_model
from meshctl.lab.images.inference.inference_answers import Loaded, Object, RefusedError, StandIn, TextModel, Weights
from meshctl.lab.images.inference.inference_arguments import Arguments

SERVER_OPTION = "--lab-server"
DRAIN_S = 3.0
FINISH_S = 20.0


def load(model: str) -> Weights:
    """Read all of the model's files. Raises FileNotFoundError when there are none.

    The lab reaches no hub: for the name of a hub's model its own language model stands, or nothing but the name.
    """
    digest, size_bytes, files = hashlib.sha256(), 0, 0
    for name, data in _files(model):
        digest.update(name.encode() + b"\0" + data)
        size_bytes += len(data)
        files += 1
    if not files:
        raise FileNotFoundError(f"no weights at {model}")
    return Weights(model=model, sha256=digest.hexdigest(), size_bytes=size_bytes, files=files)


def _files(model: str) -> Any:
    if model.startswith("s3://"):
        return _s3_files(model)
    if not language_model.is_hub_name(model):
        return _local_files(Path(model))
    file = language_model.file_of(model)
    return _local_files(file) if file else [(model, b"")]


def _local_files(folder: Path) -> Any:
    if folder.is_file():
        yield folder.name, folder.read_bytes()
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        yield path.relative_to(folder).as_posix(), path.read_bytes()


def _s3_files(url: str) -> Any:
    from meshctl.lab.images import s3  # boto3 takes half a second: only when weights come from S3

    store = s3.open_store(url)
    for name in store.names():
        yield name, store.get(name) or b""


def open_model(weights: Weights) -> TextModel:
    """What writes the text: llama.cpp where the weights are a model that it can run and it is installed."""
    model = weights.model
    with tempfile.TemporaryDirectory() as folder:
        if model.startswith("s3://") and language_model.is_installed():
            model = _downloaded(model, Path(folder))
        file = None if model.startswith("s3://") else language_model.file_of(model)
        return language_model.LanguageModel(file) if file else StandIn(weights)


def _downloaded(url: str, folder: Path) -> str:
    """The language model of a bucket as a file; the bucket again where it has none."""
    from meshctl.lab.images import s3

    store = s3.open_store(url)
    for name in store.names():
        if name.endswith(".gguf"):
            file = folder / Path(name).name
            file.write_bytes(store.get(name) or b"")
            return str(file)
    return url


def _tls(arguments: Arguments) -> ssl.SSLContext | None:
    if not arguments.certificate:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(arguments.certificate, arguments.key)
    return context


class Server(ThreadingHTTPServer):
    """State shared by the requests: `loaded` is None until the weights are. With a certificate (vLLM's `--ssl-certfile`
    and `--ssl-keyfile`) it speaks HTTPS."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, address: tuple[str, int], arguments: Arguments | None = None) -> None:
        super().__init__(address, Handler)
        self.arguments = arguments or inference_arguments.read(inference_arguments.VLLM, [], {})
        self.tls = _tls(self.arguments)
        self.loaded: Loaded | None = None
        self.requests = inference_metrics.Requests(self.arguments.most_running)
        self.draining = threading.Event()
        self.in_flight = 0  # requests, and connections on which none was answered yet
        self.counter = threading.Lock()

    @property
    def weights(self) -> Weights | None:
        return self.loaded.weights if self.loaded else None

    @weights.setter
    def weights(self, weights: Weights | None) -> None:
        """Serve them without a model that could run them."""
        self.loaded = Loaded(self.arguments, weights, StandIn(weights), where()) if weights else None

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
        if "/health" not in self.path:
            sys.stdout.write(f"{format % args}\n")

    def do_GET(self) -> None:
        server = self.state.arguments.server.name
        if self.path in inference_metrics.PATHS[server]:
            self.send_text(self.state.requests.text(server))
        else:
            self._answer(b"")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._count(busy=True)  # while it waits for its turn, too: a server that ends finishes it
        with self.state.requests.turn():
            self._answer(body)

    def _answer(self, body: bytes) -> None:
        self._count(busy=True)
        stream = Stream(self)
        try:
            answer = respond(self.command, self.path.split("?")[0], body, self.state, stream)
            if answer is None:
                stream.end()
            else:
                self.send_json(200, answer)
        except RefusedError as error:
            if stream.is_begun:
                self.close_connection = True  # no end of the stream: whoever reads it sees that it was cut
            else:
                self.send_json(error.status, {"error": {"message": str(error), "type": "invalid_request_error"}})
        except OSError:  # the client went away
            self.close_connection = True
        finally:
            self._count(busy=False)

    def send_json(self, status: int, value: Object) -> None:
        data = json.dumps(value).encode()
        self.send_head(status, "application/json", ("Content-Length", str(len(data))))
        self.wfile.write(data)
        self.wfile.flush()

    def send_text(self, text: str) -> None:
        data = text.encode()
        self.send_head(200, "text/plain; version=0.0.4", ("Content-Length", str(len(data))))
        self.wfile.write(data)
        self.wfile.flush()

    def send_head(self, status: int, content_type: str, framing: tuple[str, str]) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header(*framing)
        if self.state.draining.is_set():
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()


class Stream:
    """Server-sent events: the parts of an answer as they are computed. Nothing is sent before the first of them."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.is_begun = False

    def emit(self, part: Object) -> None:
        self._send(json.dumps(part))

    def end(self) -> None:
        if self.handler.state.arguments.server is not inference_arguments.TGI or "/v1/" in self.handler.path:
            self._send("[DONE]")
        self._write(b"")

    def _send(self, data: str) -> None:
        if not self.is_begun:
            self.is_begun = True
            self.handler.send_head(200, "text/event-stream", ("Transfer-Encoding", "chunked"))
        self._write(f"data: {data}\n\n".encode())

    def _write(self, data: bytes) -> None:
        self.handler.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.handler.wfile.flush()


def respond(method: str, path: str, body: bytes, state: Server, stream: Stream) -> Object | None:
    """The answer to one request, or None after a stream. Raises: RefusedError."""
    if state.loaded is None:
        return inference_answers.before_loading(path, state.arguments)
    return inference_answers.respond(method, path, body, state.loaded, stream.emit)


def drain(server: Server, drain_s: float) -> None:
    """Answer on while load balancers notice, then finish what is in flight."""
    server.draining.set()
    time.sleep(drain_s)
    server.shutdown()
    server.take_waiting()
    deadline = time.monotonic() + FINISH_S
    while server.in_flight and time.monotonic() < deadline:
        time.sleep(0.02)


def where() -> Object:
    """Which pod this is, for whoever wants to know who answered."""
    names = {"environment": "MESH_ENVIRONMENT", "pool": "MESH_POOL", "pod": "HOSTNAME"}
    return {key: os.environ.get(name, "") for key, name in names.items()}


def arguments_of(words: Sequence[str]) -> Arguments:
    """Those of the server that `--lab-server` names, in front of its own words. Raises: ValueError."""
    server, own = inference_arguments.VLLM, list(words)
    if own[:1] == [SERVER_OPTION]:
        server, own = inference_arguments.SERVERS[own[1]], own[2:]
    return inference_arguments.read(server, own, os.environ, os.environ.get("LAB_IMAGE", ""))


def address_of(arguments: Arguments) -> tuple[str, int]:
    """Where it listens. Pods share this machine's localhost: one that wants nothing else gets any free port of it."""
    if arguments.is_local:
        return "127.0.0.1", 0
    return os.environ.get("POD_ADDRESS", "127.0.0.1"), arguments.port


def main(words: Sequence[str]) -> NoReturn:
    arguments = arguments_of(words)
    server = Server(address_of(arguments), arguments)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
    serving.start()
    weights = load(arguments.model)
    model = open_model(weights)
    server.loaded = Loaded(arguments, weights, model, where())
    sys.stdout.write(f"{type(model).__name__} serves {weights}\n")
    sys.stdout.flush()
    stop.wait()
    drain(server, float(os.environ.get("DRAIN_SECONDS", DRAIN_S)))
    sys.stdout.flush()
    os._exit(0)  # not through the destructors of a library that computes in threads of its own


if __name__ == "__main__":
    main(sys.argv[1:])
