"""What an inference server answers: the OpenAI API, and what vLLM, SGLang, TGI and NIM have beside it. PURE, but that
it waits where a request asks for a long answer.

Called by `openai_server` for each request. Who writes the text is a `TextModel`: a real one (`language_model`), or
`StandIn`, which says which weights it has.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Protocol

from meshctl.lab.images.inference.inference_arguments import Arguments

Object = dict[str, Any]
Emit = Callable[[Object], None]
DEFAULT_TOKENS: Final = 16  # of a completion, where the request sets no limit: vLLM's and OpenAI's default
TGI_TOKENS: Final = 100  # max_new_tokens of TGI


class RefusedError(Exception):
    """A request that gets no answer but a status and a reason."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class TextModel(Protocol):
    """Both raise RefusedError."""

    def answer(self, request: Object, *, chat: bool) -> Object: ...

    def stream(self, request: Object, emit: Emit, *, chat: bool) -> None: ...


@dataclass(frozen=True)
class Weights:
    """What was loaded, and from where."""

    model: str
    sha256: str  # over each file's name and bytes, in order of name
    size_bytes: int
    files: int


@dataclass(frozen=True)
class StandIn:
    """Answers at once, with the hash of its weights."""

    weights: Weights

    def answer(self, request: Object, *, chat: bool) -> Object:  # noqa: ARG002 (of TextModel)
        text = " ".join(self._words())
        choice: Object = {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
        return {
            **self._head("chat.completion" if chat else "text_completion"),
            "choices": [{"index": 0, "finish_reason": "stop"} | choice],
            "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
        }

    def stream(self, request: Object, emit: Emit, *, chat: bool) -> None:  # noqa: ARG002 (of TextModel)
        head = self._head("chat.completion.chunk" if chat else "text_completion")
        for text, reason in [*((word, None) for word in self._parts()), ("", "stop")]:
            part: Object = {"delta": {"content": text} if text else {}} if chat else {"text": text}
            emit({**head, "choices": [{"index": 0, "finish_reason": reason} | part]})

    def _words(self) -> list[str]:
        return ["weights", self.weights.sha256[:12]]

    def _parts(self) -> Iterator[str]:
        for number, word in enumerate(self._words()):
            yield word if number == 0 else f" {word}"

    def _head(self, kind: str) -> Object:
        now = time.time_ns()
        return {"id": f"cmpl-{now}", "object": kind, "created": now // 10**9, "model": self.weights.model}


@dataclass(frozen=True)
class Loaded:
    """A server that has its weights. `where`: the environment and the pod, a part of every answer."""

    arguments: Arguments
    weights: Weights
    model: TextModel
    where: Object


def respond(method: str, path: str, body: bytes, loaded: Loaded, emit: Emit) -> Object | None:
    """The answer to one request, or None after a stream whose parts went to `emit`. Raises: RefusedError."""
    server = loaded.arguments.server.name
    if server == "nim" and path == LIVE:
        return _nim_health("live")
    if path in HEALTH[server]:
        return {"status": "ok"} if server != "nim" else _nim_health("ready")
    if path in {"/v1/models", *INFO.get(server, ())}:
        return (_models(loaded) if path == "/v1/models" else _info(path, loaded)) | loaded.where
    if method == "POST" and path in {"/v1/completions", "/v1/chat/completions"}:
        return _openai(_read(body), loaded, emit, chat="chat" in path)
    if method == "POST" and path in GENERATE.get(server, ()):
        return (_tgi if server == "tgi" else _sglang)(path, _read(body), loaded, emit)
    raise RefusedError(404, f"no {path}")


HEALTH: Final = {
    "vllm": {"/health", "/ping"},
    "sglang": {"/health", "/health_generate"},
    "tgi": {"/health"},
    "nim": {"/v1/health/ready"},
}
LIVE: Final = "/v1/health/live"  # of a NIM: answers while the weights are loaded, too
INFO: Final = {"sglang": {"/get_model_info", "/model_info"}, "tgi": {"/info"}, "nim": {"/v1/metadata"}}
GENERATE: Final = {"sglang": {"/generate"}, "tgi": {"/", "/generate", "/generate_stream"}}


def before_loading(path: str, arguments: Arguments) -> Object:
    """The answer while the weights are read. Raises: RefusedError for all but a question whether it lives."""
    if arguments.server.name == "nim" and path == LIVE:
        return _nim_health("live")
    raise RefusedError(503, "loading weights")


def _nim_health(word: str) -> Object:
    return {"object": "health.response", "message": f"Service is {word}."}


def _read(body: bytes) -> Object:
    try:
        request = json.loads(body or b"{}")
    except ValueError as error:
        raise RefusedError(400, "not JSON") from error
    if not isinstance(request, dict):
        raise RefusedError(400, "not a JSON object")
    return request


def _models(loaded: Loaded) -> Object:
    weights = loaded.weights
    facts = {"sha256": weights.sha256, "bytes": weights.size_bytes, "files": weights.files, **loaded.where}
    models = [{"id": name, "object": "model", "root": weights.model} | facts for name in loaded.arguments.names]
    return {"object": "list", "data": models}


def _info(path: str, loaded: Loaded) -> Object:
    name = loaded.arguments.names[0]
    if path == "/info":
        return {"model_id": name, "model_sha": loaded.weights.sha256, "version": "lab"}
    if path == "/v1/metadata":
        return {"modelInfo": [{"shortName": name, "modelUrl": loaded.weights.model}]}
    return {"model_path": loaded.weights.model, "is_generation": True}


def _openai(request: Object, loaded: Loaded, emit: Emit, *, chat: bool) -> Object | None:
    time.sleep(min(float(request.pop("lab_seconds", 0)), 30))  # a long answer, to try draining
    named: Object = {"model": loaded.arguments.names[0]}
    call = {**request, **({} if chat else {"max_tokens": request.get("max_tokens", DEFAULT_TOKENS)})}
    if request.get("stream"):
        loaded.model.stream(call, lambda part: emit({**part, **named, **loaded.where}), chat=chat)
        return None
    return loaded.model.answer(call, chat=chat) | named | loaded.where


def _tgi(path: str, request: Object, loaded: Loaded, emit: Emit) -> Object | None:
    parameters = request.get("parameters") or {}
    limit = parameters.get("max_new_tokens") or TGI_TOKENS
    call = _sampling(parameters) | {"prompt": str(request.get("inputs", "")), "max_tokens": limit}
    if path == "/generate_stream" or request.get("stream"):
        texts: list[str] = []

        def take(part: Object) -> None:
            choice = part["choices"][0]
            texts.append(choice["text"])
            token = {"id": 0, "text": choice["text"], "logprob": 0.0, "special": bool(choice["finish_reason"])}
            whole = "".join(texts) if choice["finish_reason"] else None
            emit({"index": len(texts), "token": token, "generated_text": whole, "details": None, **loaded.where})

        loaded.model.stream(call, take, chat=False)
        return None
    answer = loaded.model.answer(call, chat=False)
    choice, tokens = answer["choices"][0], answer["usage"]["completion_tokens"]
    reason = "eos_token" if choice["finish_reason"] == "stop" else "length"
    details = {"details": {"finish_reason": reason, "generated_tokens": tokens}} if parameters.get("details") else {}
    return {"generated_text": choice["text"], **details, **loaded.where}


def _sglang(_path: str, request: Object, loaded: Loaded, _emit: Emit) -> Object:
    parameters = request.get("sampling_params") or {}
    limit = parameters.get("max_new_tokens", 128)
    call = _sampling(parameters) | {"prompt": str(request.get("text", "")), "max_tokens": limit}
    answer = loaded.model.answer(call, chat=False)
    return {"text": answer["choices"][0]["text"], "meta_info": answer["usage"], **loaded.where}


def _sampling(parameters: Object) -> Object:
    """What TGI and SGLang call as OpenAI does."""
    return {key: parameters[key] for key in ("temperature", "top_p", "top_k", "seed", "stop") if key in parameters}
