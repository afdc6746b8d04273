"""The model servers: language model, embeddings and re-ranker, by HTTP. EDGE.

Called by `meshrag.ingestion` and `meshrag.answering`. What a server does wrong is a `SlotError` that names its slot.
A server that sends nothing is waited for as long as its timeout says, no answer is read without an end, and none is
shown that repeats what it was sent: messages reach logs, and what is sent are documents. An answer of a language model
takes as long as its text, so that no timeout is that of all of it.
"""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import httpx2

from meshrag import echoes
from meshrag.errors import SlotError, SlotTimeoutError
from meshrag.passages import Message
from meshrag.settings import ModelServer

BATCH: Final = 32  # texts of one request: the most that text-embeddings-inference takes unless it is told otherwise
_SHOWN_CHARACTERS: Final = 300
_MOST_BYTES: Final = 64 * 2**20  # of an answer: 32 vectors of 4096 numbers are 3 MiB
_MOST_STREAMED: Final = 16 * 2**20  # characters
_LONGEST_STREAM_S: Final = 6 * 3600  # that a model writes; whoever reads slowly may take longer
_END: Final = "[DONE]"


class Embedder:
    """Texts -> vectors, by `/v1/embeddings`."""

    def __init__(self, server: ModelServer) -> None:
        self._asked = _Asked("embed", server)

    def vectors(self, texts: Sequence[str]) -> list[list[float]]:
        """As many vectors as texts, all of one length, with finite numbers. Raises: SlotError."""
        vectors: list[list[float]] = []
        for first in range(0, len(texts), BATCH):
            vectors += self._batch(texts[first : first + BATCH])
        if len({len(vector) for vector in vectors}) > 1:
            raise SlotError("embed", "vectors of different lengths")
        return vectors

    def _batch(self, texts: Sequence[str]) -> list[list[float]]:
        body = {"model": self._asked.server.model, "input": list(texts)}
        answer = self._asked.post("/embeddings", body)
        try:
            rows = sorted(answer["data"], key=lambda row: row["index"])
            vectors = [[float(number) for number in row["embedding"]] for row in rows]
        except (KeyError, TypeError, ValueError):
            raise SlotError("embed", f"no embeddings in its answer: {_shown(answer, body)}") from None
        if len(vectors) != len(texts) or not all(vectors):
            raise SlotError("embed", f"{len(vectors)} vectors for {len(texts)} texts")
        if not all(math.isfinite(number) for vector in vectors for number in vector):
            raise SlotError("embed", "vectors with numbers that are none")
        return vectors


class Reranker:
    """Which texts answer a query: `/v1/rerank` as Jina, Cohere, vLLM and llama.cpp have it, and `/rerank` as
    text-embeddings-inference has it; the URL says which. Source: huggingface.github.io/text-embeddings-inference.

    A server of several models needs the name of one, and a server of one takes no empty name."""

    def __init__(self, server: ModelServer) -> None:
        self._asked = _Asked("rerank", server)

    def scores(self, query: str, texts: Sequence[str]) -> dict[int, float]:
        """Index of the text -> score. Raises: SlotError."""
        scores: dict[int, float] = {}
        for first in range(0, len(texts), BATCH):
            batch = self._batch(query, texts[first : first + BATCH])
            scores |= {first + index: score for index, score in batch.items()}
        return scores

    def _batch(self, query: str, texts: Sequence[str]) -> dict[int, float]:
        server = self._asked.server
        if server.url.endswith("/v1/rerank"):
            named = {"model": server.model} if server.model else {}
            body: dict[str, Any] = {**named, "query": query, "documents": list(texts)}
        else:
            body = {"query": query, "texts": list(texts), "truncate": True}
        answer = self._asked.post("", body)
        rows = answer.get("results") if isinstance(answer, dict) else answer
        try:
            scores = {int(row["index"]): float(row.get("relevance_score", row.get("score"))) for row in rows or ()}
        except (AttributeError, KeyError, TypeError, ValueError):
            raise SlotError("rerank", f"no scores in its answer: {_shown(answer, body)}") from None
        if not scores or not scores.keys() <= set(range(len(texts))):
            raise SlotError("rerank", f"scores of other texts than were sent: {_shown(answer, body)}")
        return scores


class LanguageModel:
    """Messages -> text, by `/v1/chat/completions`."""

    def __init__(self, server: ModelServer) -> None:
        self._asked = _Asked("llm", server)

    def answer(self, messages: Sequence[Message], options: Mapping[str, Any]) -> dict[str, Any]:
        """The completion as the server gives it, whose first choice has a text. Raises: SlotError."""
        body = {**options, "model": self._asked.server.model, "messages": list(messages), "stream": False}
        answer = self._asked.post("/chat/completions", body, is_slow_text=True)
        try:
            is_text = isinstance(answer["choices"][0]["message"]["content"], str)
        except (KeyError, IndexError, TypeError):
            is_text = False
        if not is_text:
            raise SlotError("llm", f"no text in its answer: {_shown(answer, body)}")
        return dict(answer)

    def stream(self, messages: Sequence[Message], options: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """The parts of a completion as the server gives them, at least one. Raises: SlotError, also between parts."""
        body = {**options, "model": self._asked.server.model, "messages": list(messages), "stream": True}
        is_empty = True
        for part in self._asked.stream("/chat/completions", body):
            if not isinstance(part, dict) or not isinstance(part.get("choices"), list):
                raise SlotError("llm", f"no part of a completion: {_shown(part, body)}")
            is_empty = False
            yield part
        if is_empty:
            raise SlotError("llm", "no text in its answer")


class _Asked:
    """One server, over connections that stay open."""

    def __init__(self, slot: str, server: ModelServer) -> None:
        headers = {"Authorization": f"Bearer {server.api_key}"} if server.api_key else {}
        self.server = server
        self._slot = slot
        self._client = httpx2.Client(timeout=server.timeout_s, headers=headers)

    def post(self, path: str, body: Mapping[str, Any], *, is_slow_text: bool = False) -> Any:
        """`is_slow_text`: an answer that is on its way may take more time than the timeout."""
        url = f"{self.server.url}{path}"
        with self._answer(url, body) as response:
            text = self._whole(url, response, math.inf if is_slow_text else self.server.timeout_s)
        return self._parsed(url, text, body)

    def stream(self, path: str, body: Mapping[str, Any]) -> Iterator[Any]:
        """The data of each event. Source: html.spec.whatwg.org, "Server-sent events"."""
        url = f"{self.server.url}{path}"
        with self._answer(url, body) as response:
            for line in self._lines(url, response):
                data = line.removeprefix("data:").strip()
                if line.startswith("data:") and data != _END:
                    yield self._parsed(url, data, body)

    @contextlib.contextmanager
    def _answer(self, url: str, body: Mapping[str, Any]) -> Iterator[httpx2.Response]:
        """An answer with the status 200, of which nothing is read yet. The client's own timeout is that between two
        parts of an answer."""
        try:
            with self._client.stream("POST", url, json=body) as response:
                if response.status_code != httpx2.codes.OK:
                    shown = _shown(self._whole(url, response, self.server.timeout_s), body)
                    raise SlotError(self._slot, f"{url} answered {response.status_code}: {shown}")
                yield response
        except httpx2.TimeoutException:
            raise self._too_late(url, self.server.timeout_s) from None
        except httpx2.HTTPError as error:
            raise SlotError(self._slot, f"{url} does not answer: {error}") from error

    def _whole(self, url: str, response: httpx2.Response, limit_s: float) -> str:
        """All of an answer. `limit_s`: a server that sends a byte now and then is slow as well."""
        deadline = time.monotonic() + limit_s
        data = bytearray()
        for part in response.iter_bytes():
            data += part
            if len(data) > _MOST_BYTES:
                raise SlotError(self._slot, f"{url} answered more than {_MOST_BYTES // 2**20} MiB")
            if time.monotonic() > deadline:
                raise self._too_late(url, limit_s)
        return data.decode("utf-8", "replace")

    def _lines(self, url: str, response: httpx2.Response) -> Iterator[str]:
        """What has been read waits here until the client takes it, which is none of the model's time."""
        size, reading_s, rest = 0, 0.0, ""
        begun = time.monotonic()
        for part in response.iter_text():
            size += len(part)
            reading_s += time.monotonic() - begun
            if size > _MOST_STREAMED:
                raise SlotError(self._slot, f"{url} answered more than {_MOST_STREAMED // 2**20} million characters")
            if reading_s > _LONGEST_STREAM_S:
                raise self._too_late(url, _LONGEST_STREAM_S)
            *lines, rest = f"{rest}{part}".split("\n")
            yield from lines
            begun = time.monotonic()
        yield rest

    def _too_late(self, url: str, limit_s: float) -> SlotError:
        return SlotTimeoutError(self._slot, f"no answer within {limit_s:g} s from {url}")

    def _parsed(self, url: str, text: str, body: Mapping[str, Any]) -> Any:
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            raise SlotError(self._slot, f"{url} answered no JSON: {_shown(text, body)}") from None


def _shown(answer: object, body: Mapping[str, Any]) -> str:
    """The beginning of an answer, for a message."""
    text = answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
    shown = text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"
    return echoes.HIDDEN if echoes.repeats(shown, body) else shown
