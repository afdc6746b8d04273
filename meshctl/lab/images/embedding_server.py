"""What the lab runs for text-embeddings-inference: MiniLM behind its paths. EDGE.

Started by `meshctl.lab.pods` in place of `ghcr.io/huggingface/text-embeddings-inference`, where the extra `lab-rag` is
installed. As there, a model that ranks (`rerank` in its name) answers `/rerank` alone, and one that embeds `/embed` and
`/v1/embeddings`; more than 32 texts at a time are refused. Source:
huggingface.github.io/text-embeddings-inference, and its README, "Run".
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Protocol, cast

from meshctl.lab.images import minilm

MOST_TEXTS: Final = 32
_PORT: Final = "80"  # of the image


class Model(Protocol):
    def vectors(self, texts: Sequence[str]) -> list[list[float]]: ...

    def likenesses(self, query: str, texts: Sequence[str]) -> list[float]: ...

    def tokens(self, text: str) -> int: ...


@dataclass(frozen=True)
class Options:
    """`truncates`: what is too long is cut, and not refused."""

    model: str
    port: int
    truncates: bool = False

    @property
    def ranks(self) -> bool:
        return "rerank" in self.model.lower()


class RefusedError(Exception):
    def __init__(self, status: int, message: str, kind: str) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": message, "error_type": kind}


def options(words: Sequence[str], variables: Mapping[str, str]) -> Options:
    """As the image's entry point reads them: each option has a variable, and others are of no account here."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--model-id", default=variables.get("MODEL_ID", "BAAI/bge-large-en-v1.5"))
    parser.add_argument("-p", "--port", type=int, default=int(variables.get("PORT", _PORT)))
    is_set = variables.get("AUTO_TRUNCATE", "").lower() == "true"
    parser.add_argument("--auto-truncate", action="store_true", default=is_set)
    read, _others = parser.parse_known_args(words)
    return Options(read.model_id, read.port, read.auto_truncate)


def answer(server: Options, model: Model, path: str, body: Any) -> Any:
    """What a POST is answered. Raises: RefusedError."""
    if not isinstance(body, dict):
        raise RefusedError(422, "expected a JSON object", "Validation")
    if path in {"/rerank", "/v1/rerank"}:
        return _ranked(server, model, body)
    if path in {"/v1/embeddings", "/embeddings"}:
        vectors = _embedded(server, model, body.get("input"), {})
        data = [{"object": "embedding", "index": index, "embedding": each} for index, each in enumerate(vectors)]
        return {"object": "list", "data": data, "model": server.model, "usage": {"prompt_tokens": 0, "total_tokens": 0}}
    if path == "/embed":
        return _embedded(server, model, body.get("inputs"), body)
    raise RefusedError(404, f"no path {path}", "Validation")


def _ranked(server: Options, model: Model, body: dict[str, Any]) -> list[dict[str, Any]]:
    if not server.ranks:
        raise RefusedError(424, "model is not a re-ranker model", "Backend")
    query, texts = _text(body.get("query")), _texts(body.get("texts"))
    _check_length(server, model, [query, *texts], body)
    scores = model.likenesses(query, texts)
    ranked = sorted(enumerate(scores), key=lambda each: -each[1])
    return [{"index": index, "score": score} for index, score in ranked]


def _embedded(server: Options, model: Model, value: object, body: dict[str, Any]) -> list[list[float]]:
    if server.ranks:
        raise RefusedError(424, "model is not an embedding model", "Backend")
    texts = [_text(value)] if isinstance(value, str) else _texts(value)
    _check_length(server, model, texts, body)
    return model.vectors(texts)


def _check_length(server: Options, model: Model, texts: Sequence[str], body: dict[str, Any]) -> None:
    longest = max(map(model.tokens, texts))
    if longest > minilm.MOST_TOKENS and not body.get("truncate", server.truncates):
        message = f"`inputs` must have less than {minilm.MOST_TOKENS} tokens. Given: {longest}"
        raise RefusedError(413, message, "Validation")


def _texts(value: object) -> list[str]:
    if not isinstance(value, list) or not value:
        raise RefusedError(422, "`inputs` cannot be empty", "Empty")
    if len(value) > MOST_TEXTS:
        message = f"batch size {len(value)} > maximum allowed batch size {MOST_TEXTS}"
        raise RefusedError(422, message, "Validation")
    return [_text(each) for each in value]


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise RefusedError(422, "`inputs` must be texts that are not empty", "Validation")
    return value


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], server: Options) -> None:
        super().__init__(address, Handler)
        self.options = server
        self.model: Model | None = None
        self.one_at_a_time = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    timeout = 60

    @property
    def state(self) -> Server:
        return cast("Server", self.server)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the base class's name)
        if self.path != "/health":
            sys.stdout.write(f"{format % args}\n")
            sys.stdout.flush()

    def do_GET(self) -> None:
        if self.path == "/health":
            self._send(200 if self.state.model else 503, {})
        elif self.path == "/info":
            self._send(200, {"model_id": self.state.options.model, "max_client_batch_size": MOST_TEXTS})
        else:
            self._send(404, {"error": f"no path {self.path}"})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        model = self.state.model
        try:
            if model is None:
                raise RefusedError(503, "the model is being loaded", "Unhealthy")
            with self.state.one_at_a_time:
                self._send(200, answer(self.state.options, model, self.path, json.loads(body)))
        except ValueError:
            self._send(400, {"error": "no JSON", "error_type": "Validation"})
        except RefusedError as error:
            self._send(error.status, error.body)

    def _send(self, status: int, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def main(words: Sequence[str]) -> int:
    read = options(words, os.environ)
    server = Server((os.environ.get("POD_ADDRESS", "127.0.0.1"), read.port), read)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    threading.Thread(target=_load, args=(server,), daemon=True).start()
    server.serve_forever(0.1)
    return 0


def _load(server: Server) -> None:
    server.model = minilm.MiniLm()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
