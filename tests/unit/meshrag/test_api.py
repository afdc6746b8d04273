"""The API with model servers that answer, are slow, wrong or gone: who is to blame is said, with the right status."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx2
import pytest

from meshrag import chunks, model_servers, settings
from meshrag.chunks import Piece
from meshrag.errors import SlotError
from meshrag.passages import Passage
from meshrag.settings import Settings
from meshrag.stores import Completion

for library in ("langgraph", "starlette", "uvicorn"):
    pytest.importorskip(library, reason="the extra rag is not installed; `nox -s rag` has it")

QUESTION = {"messages": [{"role": "user", "content": "Where?"}]}
COMPLETION = {"id": "1", "choices": [{"index": 0, "message": {"role": "assistant", "content": "Here."}}]}
SLOW, DRIPPING = object(), object()
LIMITS = {f"RAG_{name}_TIMEOUT_S": "0.3" for name in ("EMBED", "RERANK", "LLM")}


class Store:
    """Two chunks, the worse of which is nearer."""

    def __init__(self) -> None:
        self.mark: Completion | None = Completion(1, 2, "f")
        self.problem: SlotError | None = None

    def completion(self) -> Completion | None:
        if self.problem:
            raise self.problem
        return self.mark

    def search(self, vector: Sequence[float], limit: int) -> list[Passage]:
        pieces = (Piece(0, "somewhere"), Piece(9, "here"))
        return [Passage(each, 0.9 - each.start / 100) for each in chunks.of_document("a.md", pieces)][:limit]


class ModelServers(BaseHTTPRequestHandler):
    """Answers each path with what the test says; `SLOW`: not before the test ends; `DRIPPING`: a space now and then."""

    def do_POST(self) -> None:
        server: Any = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server.requests.append((self.path, body))
        answer = server.answers.get(self.path, (404, {}))
        if answer is SLOW:
            server.ended.wait(30)
            return
        if answer is DRIPPING:
            self._drip(server)
            return
        status, content = answer
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data) + (9 if self.path == server.cut else 0)))
        self.end_headers()
        for byte in data if self.path == server.paused else ():
            time.sleep(server.pause_s)
            self.wfile.write(bytes([byte]))
        self.wfile.write(b"" if self.path == server.paused else data)
        self.close_connection = self.path == server.cut

    def _drip(self, server: Any) -> None:
        self.send_response(200)
        self.end_headers()
        with contextlib.suppress(OSError):  # whoever asked has gone
            while not server.ended.wait(0.02):
                self.wfile.write(b" ")
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Silent."""


def embeddings(number: int) -> dict[str, Any]:
    return {"data": [{"index": index, "embedding": [1.0, 0.0]} for index in range(number)]}


@pytest.fixture
def servers() -> Iterator[Any]:
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), ModelServers)
    server.requests, server.ended, server.cut, server.paused = [], threading.Event(), "", ""
    server.answers = {
        "/v1/embeddings": (200, embeddings(1)),
        "/rerank": (200, [{"index": 1, "score": 0.8}, {"index": 0, "score": 0.1}]),
        "/v1/rerank": (200, {"results": [{"index": 1, "relevance_score": 0.8}, {"index": 0, "relevance_score": 0.1}]}),
        "/v1/chat/completions": (200, COMPLETION),
    }
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.ended.set()
    server.shutdown()
    server.server_close()
    thread.join(timeout=30)


def configuration(servers: Any, **variables: str) -> Settings:
    base = f"http://127.0.0.1:{servers.server_address[1]}"
    return settings.read(
        {
            "RAG_EMBED_URL": f"{base}/v1",
            "RAG_LLM_URL": f"{base}/v1",
            "RAG_LLM_MODEL": "llama",
            "RAG_RERANK_URL": f"{base}/rerank",
            "RAG_STORE": "milvus://store:19530",
            **variables,
        }
    )


def ask(
    config: Settings, path: str, body: Mapping[str, Any] | bytes | None = None, store: Any = None
) -> tuple[int, str]:
    from meshrag import api

    index: Any = store or Store()

    async def asked() -> tuple[int, str]:
        transport = httpx2.ASGITransport(app=api.app(config, index))
        async with httpx2.AsyncClient(transport=transport, base_url="http://api") as client:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            response = await (client.get(path) if body is None else client.post(path, content=data))
            return response.status_code, response.text

    return asyncio.run(asked())


def test_an_answer_cites_what_the_model_was_shown(servers: Any) -> None:
    status, text = ask(configuration(servers), "/v1/chat/completions", {**QUESTION, "temperature": 0})
    answer = json.loads(text)
    assert (status, answer["choices"]) == (200, COMPLETION["choices"])
    assert [(each["start"], each["score"]) for each in answer["citations"]] == [(9, 0.8), (0, 0.1)]
    path, body = servers.requests[-1]
    assert (path, body["model"], body["temperature"], body["stream"]) == ("/v1/chat/completions", "llama", 0, False)
    assert body["messages"][0]["content"].index("here") < body["messages"][0]["content"].index("somewhere")


@pytest.mark.parametrize(
    ("rerank", "starts"), [("/rerank", [9, 0]), ("/v1/rerank", [9, 0]), ("", [0, 9])], ids=["tei", "jina", "off"]
)
def test_the_order_of_a_search(servers: Any, rerank: str, starts: list[int]) -> None:
    url = f"http://127.0.0.1:{servers.server_address[1]}{rerank}" if rerank else ""
    status, text = ask(configuration(servers, RAG_RERANK_URL=url), "/v1/search", {"query": "where"})
    assert (status, [each["start"] for each in json.loads(text)["results"]]) == (200, starts)


@pytest.mark.parametrize(
    ("path", "model", "sent"),
    [
        ("/v1/rerank", "jina-reranker-v3", {"model": "jina-reranker-v3"}),
        ("/v1/rerank", "", {}),  # a server of one model takes no empty name
        ("/rerank", "jina-reranker-v3", {}),
    ],
)
def test_the_reranker_is_sent_the_model_that_is_named(
    servers: Any, path: str, model: str, sent: dict[str, str]
) -> None:
    url = f"http://127.0.0.1:{servers.server_address[1]}{path}"
    config = configuration(servers, RAG_RERANK_URL=url, RAG_RERANK_MODEL=model)
    assert ask(config, "/v1/search", {"query": "where"})[0] == 200
    (body,) = [body for each, body in servers.requests if each == path]
    assert {key: value for key, value in body.items() if key == "model"} == sent


PARTS = [{"choices": [{"index": 0, "delta": {"content": text}}]} for text in ("He", "re.")]
STREAM = "".join(f"data: {json.dumps(part)}\n\n" for part in PARTS) + ": a comment\n\ndata: [DONE]\n\n"


def streamed(text: str) -> list[Any]:
    return [json.loads(line.removeprefix("data: ")) for line in text.split("\n\n") if line.startswith("data: {")]


def test_a_reranker_is_sent_no_more_texts_than_it_takes(servers: Any) -> None:
    class Many(Store):
        def search(self, vector: Sequence[float], limit: int) -> list[Passage]:
            pieces = (Piece(number, f"text {number}") for number in range(limit))
            return [Passage(each, 0.5) for each in chunks.of_document("a.md", pieces)]

    servers.answers["/rerank"] = (200, [{"index": 1, "score": 0.8}, {"index": 0, "score": 0.1}])
    status, text = ask(configuration(servers), "/v1/search", {"query": "where", "limit": 10}, Many())
    sent = [body["texts"] for path, body in servers.requests if path == "/rerank"]
    assert [len(texts) for texts in sent] == [32, 18]
    assert [each["start"] for each in json.loads(text)["results"]][:4] == [1, 33, 0, 32]
    assert status == 200


def test_a_stream(servers: Any) -> None:
    servers.answers["/v1/chat/completions"] = (200, STREAM.encode())
    status, text = ask(configuration(servers), "/v1/chat/completions", {**QUESTION, "stream": True})
    first, second = streamed(text)
    assert (status, text.endswith("data: [DONE]\n\n"), servers.requests[-1][1]["stream"]) == (200, True, True)
    assert [each["start"] for each in first.pop("citations")] == [9, 0]
    assert [first, second] == PARTS


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (SLOW, 504),
        (DRIPPING, 504),
        ((500, b"out of memory"), 502),
        ((200, b"{}"), 502),
        ((200, b"data: {\n\n"), 502),
        ((200, b"data: {}\n\n"), 502),
        ((200, b"data: [DONE]\n\n"), 502),
    ],
    ids=["slow", "dripping", "error", "no stream", "no JSON", "other form", "empty"],
)
def test_a_stream_that_does_not_begin_has_a_status(
    servers: Any, monkeypatch: pytest.MonkeyPatch, answer: Any, status: int
) -> None:
    monkeypatch.setattr(model_servers, "_LONGEST_STREAM_S", 0.5)
    servers.answers["/v1/chat/completions"] = answer
    config = configuration(servers, RAG_LLM_TIMEOUT_S="0.3" if answer is SLOW else "60")
    code, text = ask(config, "/v1/chat/completions", {**QUESTION, "stream": True})
    assert (code, json.loads(text)["error"]["slot"]) == (status, "llm")


def test_a_stream_that_is_cut_says_so_in_its_last_event(servers: Any) -> None:
    servers.answers["/v1/chat/completions"] = (200, f"data: {json.dumps(PARTS[0])}\n\n".encode())
    servers.cut = "/v1/chat/completions"
    status, text = ask(configuration(servers), "/v1/chat/completions", {**QUESTION, "stream": True})
    _, last = streamed(text)
    assert (status, last["error"]["slot"], "[DONE]" in text) == (200, "llm", False)


@pytest.mark.parametrize("is_stream", [True, False])
def test_a_long_answer_takes_longer_than_its_timeout(servers: Any, *, is_stream: bool) -> None:
    """The timeout is that between two parts of it, however many there are."""
    answer = STREAM.encode() if is_stream else json.dumps(COMPLETION).encode()
    servers.answers["/v1/chat/completions"] = (200, answer)
    timeout_s, servers.pause_s, servers.paused = 0.2, 0.02, "/v1/chat/completions"
    assert len(answer) * servers.pause_s > timeout_s, "each byte comes after a pause"
    config = configuration(servers, RAG_LLM_TIMEOUT_S=str(timeout_s))
    status, text = ask(config, "/v1/chat/completions", {**QUESTION, "stream": is_stream})
    assert (status, "error" in text) == (200, False)


def test_a_client_that_reads_slowly_takes_nothing_of_a_stream_s_time(
    servers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    servers.answers["/v1/chat/completions"] = (200, STREAM.encode())
    servers.pause_s, servers.paused = 0.001, "/v1/chat/completions"
    llm = configuration(servers).llm
    assert llm is not None
    parts = []
    for part in model_servers.LanguageModel(llm).stream([], {}):
        parts.append(part)
        now[0] += 24 * 3600
    assert parts == PARTS


@pytest.mark.parametrize(
    ("path", "slot"), [("/v1/embeddings", "embed"), ("/rerank", "rerank"), ("/v1/chat/completions", "llm")]
)
@pytest.mark.parametrize(
    ("answer", "status", "words"),
    [
        (SLOW, 504, "no answer within 0.3 s"),
        ((500, b"out of memory"), 502, "answered 500: out of memory"),
        ((200, b"<html>"), 502, "answered no JSON"),
        ((200, {"choices": [], "data": [], "results": []}), 502, ""),
        ((200, {"choices": [{"message": None}], "data": [{}], "results": [{"index": 7}]}), 502, ""),
        ((200, None), 502, ""),
    ],
    ids=["slow", "error", "no JSON", "empty", "other form", "null"],
)
def test_a_model_server_that_fails_is_named(
    servers: Any, path: str, slot: str, answer: Any, status: int, words: str
) -> None:
    servers.answers[path] = answer
    limits = LIMITS if answer is SLOW else {}
    code, text = ask(configuration(servers, **limits), "/v1/chat/completions", QUESTION)
    error = json.loads(text)["error"]
    assert (code, error["slot"], error["type"]) == (status, slot, "server_error")
    assert error["message"].startswith(f"{slot}: ")
    assert words in error["message"]


@pytest.mark.parametrize(("path", "slot"), [("/v1/embeddings", "embed"), ("/rerank", "rerank")])
def test_an_answer_that_drips_is_late(servers: Any, path: str, slot: str) -> None:
    """Other than a text that is being written, all of which takes its time."""
    servers.answers[path] = DRIPPING
    code, text = ask(configuration(servers, **LIMITS), "/v1/chat/completions", QUESTION)
    assert (code, json.loads(text)["error"]["slot"]) == (504, slot)
    assert "no answer within 0.3 s" in text


@pytest.mark.parametrize("is_stream", [True, False])
def test_an_answer_without_an_end_is_not_read_to_it(
    servers: Any, monkeypatch: pytest.MonkeyPatch, *, is_stream: bool
) -> None:
    monkeypatch.setattr(model_servers, "_MOST_STREAMED" if is_stream else "_MOST_BYTES", 20)
    monkeypatch.setattr(model_servers.Embedder, "vectors", lambda *_: [[1.0]])
    monkeypatch.setattr(model_servers.Reranker, "scores", lambda *_: {0: 1.0})
    servers.answers["/v1/chat/completions"] = DRIPPING
    code, text = ask(configuration(servers), "/v1/chat/completions", {**QUESTION, "stream": is_stream})
    assert (code, json.loads(text)["error"]["slot"]) == (502, "llm")
    assert "answered more than" in text


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_numbers_that_are_none_are_no_vector(servers: Any, number: str) -> None:
    servers.answers["/v1/embeddings"] = (200, f'{{"data": [{{"index": 0, "embedding": [{number}, 1]}}]}}'.encode())
    code, text = ask(configuration(servers), "/v1/search", {"query": "where"})
    assert (code, json.loads(text)["error"]["slot"]) == (502, "embed")


@pytest.mark.parametrize(("indexed", "slot"), [(384, "embed"), (2, "store"), (None, "store")])
def test_who_is_to_blame_for_vectors_of_another_length(servers: Any, indexed: int | None, slot: str) -> None:
    class Refusing(Store):
        def search(self, vector: Sequence[float], limit: int) -> list[Passage]:
            raise SlotError("store", "different vector dimensions")

        def dimensions(self) -> int | None:
            return indexed

    code, text = ask(configuration(servers), "/v1/search", {"query": "where"}, Refusing())
    assert (code, json.loads(text)["error"]["slot"]) == (502, slot)
    assert ("a vector of 2 numbers, and the index has vectors of 384" in text) == (slot == "embed")


def test_a_server_that_repeats_a_document_is_not_shown(servers: Any) -> None:
    """The messages reach logs and clients. vLLM puts the input into its errors."""
    question = "What does the very confidential paragraph on salaries say?"
    servers.answers["/v1/embeddings"] = (422, {"detail": [{"msg": "too long", "input": question}]})
    code, text = ask(configuration(servers), "/v1/search", {"query": question})
    assert (code, "answered 422: (it repeats what it was sent" in text, "salaries" in text) == (502, True, False)


def test_a_request_without_an_end_is_refused(servers: Any) -> None:
    code, text = ask(configuration(servers), "/v1/search", b" " * (2**20 + 1))
    assert (code, json.loads(text)["error"]["type"]) == (413, "invalid_request_error")


def test_a_model_server_that_is_gone(servers: Any) -> None:
    config = configuration(servers, RAG_LLM_URL="http://127.0.0.1:9/v1")
    code, text = ask(config, "/v1/chat/completions", QUESTION)
    assert (code, json.loads(text)["error"]["slot"]) == (502, "llm")
    assert ask(config, "/v1/search", {"query": "a"})[0] == 200


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[]", b"[" * 100_000, b'{"messages": []}'])
def test_a_request_that_is_none(servers: Any, body: bytes) -> None:
    code, text = ask(configuration(servers), "/v1/chat/completions", body)
    assert (code, json.loads(text)["error"]["type"]) == (400, "invalid_request_error")


def test_nothing_is_answered_before_the_index_is_complete(servers: Any) -> None:
    store, config = Store(), configuration(servers)
    assert ask(config, "/health", store=store) == (200, '{"status":"ok"}')
    store.mark = None
    for path, body in (("/health", None), ("/v1/search", {"query": "a"}), ("/v1/chat/completions", QUESTION)):
        code, text = ask(config, path, body, store)
        assert code == 503
        assert "its index is not complete yet" in text
    assert ask(config, "/live", store=store)[0] == 200
    store.problem = SlotError("store", "Milvus: gone")
    assert ask(config, "/health", store=store) == (503, '{"status":"unavailable","reason":"store: Milvus: gone"}')


def test_without_a_language_model_passages_are_found(servers: Any) -> None:
    config = configuration(servers, RAG_LLM_URL="")
    assert ask(config, "/v1/search", {"query": "where"})[0] == 200
    code, text = ask(config, "/v1/chat/completions", QUESTION)
    assert (code, "POST /v1/search finds passages" in text) == (404, True)
    assert json.loads(ask(config, "/v1/models")[1])["data"] == []


def test_there_is_a_model_to_choose(servers: Any) -> None:
    assert json.loads(ask(configuration(servers), "/v1/models")[1])["data"][0]["id"] == "llama"
    assert ask(configuration(servers), "/v1/nothing")[0] == 404
