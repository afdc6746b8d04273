"""A real HTTP server in the style of OpenAI, of the lab's, in this process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from meshctl.bench.load import Server
from meshctl.lab.images import openai_server
from meshctl.lab.images.inference.inference_answers import Loaded, StandIn, Weights

Emit = Callable[[dict[str, Any]], None]
WEIGHTS = Weights(model="tiny", sha256="ab" * 32, size_bytes=3, files=1)


class Writer(StandIn):
    """Writes the tokens that are asked for, and counts them at the end, as vLLM does."""

    def stream(self, request: dict[str, Any], emit: Emit, *, chat: bool) -> None:
        for number in range(request["max_tokens"]):
            emit({"choices": [{"index": 0, "delta": {"content": f"w{number} "}}]})
        emit({"choices": [], "usage": {"completion_tokens": request["max_tokens"]}})


class Cut(StandIn):
    """Breaks off in the middle of each answer."""

    def stream(self, request: dict[str, Any], emit: Emit, *, chat: bool) -> None:
        emit({"choices": [{"index": 0, "delta": {"content": "half"}}]})
        raise OSError("gone")


class Quiet(openai_server.Handler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the base class's name)
        """Not on the stdout of a command that is tested."""


@contextmanager
def serving(model: StandIn | None) -> Iterator[Server]:
    """`model` None: weights are still being loaded, and everything is refused."""
    server = openai_server.Server(("127.0.0.1", 0))
    if model is not None:
        server.loaded = Loaded(server.arguments, WEIGHTS, model, {})
    server.RequestHandlerClass = Quiet
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield Server(f"http://127.0.0.1:{server.server_address[1]}", "chat.example.com:80")
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=30)
