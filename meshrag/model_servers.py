"""The model servers: language model, embeddings and re-ranker, by HTTP. EDGE.

Called by `meshrag.ingestion` and `meshrag.answering`. What a server does wrong is a `SlotError` that names its slot.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import httpx2

from meshrag.errors import SlotError, SlotTimeoutError
from meshrag.passages import Message
from meshrag.settings import ModelServer

BATCH: Final = 32  # texts of one request: the most that text-embeddings-inference takes unless it is told otherwise
_SHOWN_CHARACTERS: Final = 300
_END: Final = "[DONE]"


class Embedder:
    """Texts -> vectors, by `/v1/embeddings`."""

    def __init__(self, server: ModelServer) -> None:
        self._asked = _Asked("embed", server)

    def vectors(self, texts: Sequence[str]) -> list[list[float]]:
        """As many vectors as texts, all of one length. Raises: SlotError."""
        vectors: list[list[float]] = []
        for first in range(0, len(texts), BATCH):
            vectors += self._batch(texts[first : first + BATCH])
        if len({len(vector) for vector in vectors}) > 1:
            raise SlotError("embed", "vectors of different lengths")
        return vectors

    def _batch(self, texts: Sequence[str]) -> list[list[float]]:
        answer = self._asked.post("/embeddings", {"model": self._asked.server.model, "input": list(texts)})
        try:
            rows = sorted(answer["data"], key=lambda row: row["index"])
            vectors = [[float(number) for number in row["embedding"]] for row in rows]
        except (KeyError, TypeError, ValueError):
            raise SlotError("embed", f"no embeddings in its answer: {_shown(answer)}") from None
        if len(vectors) != len(texts) or not all(vectors):
            raise SlotError("embed", f"{len(vectors)} vectors for {len(texts)} texts")
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
            raise SlotError("rerank", f"no scores in its answer: {_shown(answer)}") from None
        if not scores or not scores.keys() <= set(range(len(texts))):
            raise SlotError("rerank", f"scores of other texts than were sent: {_shown(answer)}")
        return scores


class LanguageModel:
    """Messages -> text, by `/v1/chat/completions`."""

    def __init__(self, server: ModelServer) -> None:
        self._asked = _Asked("llm", server)

    def answer(self, messages: Sequence[Message], options: Mapping[str, Any]) -> dict[str, Any]:
        """The completion as the server gives it, whose first choice has a text. Raises: SlotError."""
        body = {**options, "model": self._asked.server.model, "messages": list(messages), "stream": False}
        answer = self._asked.post("/chat/completions", body)
        try:
            is_text = isinstance(answer["choices"][0]["message"]["content"], str)
        except (KeyError, IndexError, TypeError):
            is_text = False
        if not is_text:
            raise SlotError("llm", f"no text in its answer: {_shown(answer)}")
        return dict(answer)

    def stream(self, messages: Sequence[Message], options: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """The parts of a completion as the server gives them, at least one. Raises: SlotError, also between parts."""
        body = {**options, "model": self._asked.server.model, "messages": list(messages), "stream": True}
        is_empty = True
        for part in self._asked.stream("/chat/completions", body):
            if not isinstance(part, dict) or not isinstance(part.get("choices"), list):
                raise SlotError("llm", f"no part of a completion: {_shown(part)}")
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

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        url = f"{self.server.url}{path}"
        with self._failures(url):
            response = self._client.post(url, json=body)
        self._check(url, response)
        return self._parsed(url, response.text)

    def stream(self, path: str, body: Mapping[str, Any]) -> Iterator[Any]:
        """The data of each event. Source: html.spec.whatwg.org, "Server-sent events"."""
        url = f"{self.server.url}{path}"
        with self._failures(url), self._client.stream("POST", url, json=body) as response:
            if response.status_code != httpx2.codes.OK:
                response.read()
            self._check(url, response)
            for line in response.iter_lines():
                data = line.removeprefix("data:").strip()
                if line.startswith("data:") and data != _END:
                    yield self._parsed(url, data)

    @contextlib.contextmanager
    def _failures(self, url: str) -> Iterator[None]:
        try:
            yield
        except httpx2.TimeoutException:
            raise SlotTimeoutError(self._slot, f"no answer within {self.server.timeout_s:g} s from {url}") from None
        except httpx2.HTTPError as error:
            raise SlotError(self._slot, f"{url} does not answer: {error}") from error

    def _check(self, url: str, response: httpx2.Response) -> None:
        if response.status_code != httpx2.codes.OK:
            raise SlotError(self._slot, f"{url} answered {response.status_code}: {_shown(response.text)}")

    def _parsed(self, url: str, text: str) -> Any:
        try:
            return json.loads(text)
        except ValueError:
            raise SlotError(self._slot, f"{url} answered no JSON: {_shown(text)}") from None


def _shown(answer: object) -> str:
    text = str(answer)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"
