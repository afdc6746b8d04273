"""Ingestion with model servers that are slow, wrong or gone, and with documents that are made to do harm: what is wrong
is said, nothing is complete before it is, and the next run goes on."""

from __future__ import annotations

import errno
import json
import threading
import time
import tracemalloc
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from meshrag import documents, ingest, ingestion, settings
from meshrag.chunks import Chunk, Piece
from meshrag.errors import SlotError
from meshrag.ingest import Ingestion
from meshrag.model_servers import Embedder
from tests.unit.meshrag.test_ingestion import MemoryStore, run, split

pytest.importorskip("httpx2", reason="the extra rag is not installed; `nox -s rag` has it")
SLOW, GONE = object(), object()


class Embeddings(BaseHTTPRequestHandler):
    """Right for as many requests as the test says, and then as it says: `SLOW` does not answer, `GONE` hangs up."""

    def do_POST(self) -> None:
        server: Any = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server.asked += 1
        answer = vectors(body["input"], 1) if server.asked <= server.right_until else server.then(body["input"])
        if answer is SLOW:
            server.ended.wait(30)
        if answer in (SLOW, GONE):
            self.close_connection = True
            return
        status, data = answer
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Silent."""


def vectors(texts: Sequence[str], length: int) -> tuple[int, bytes]:
    rows = [{"index": index, "embedding": [1.0] * length} for index in range(len(texts))]
    return 200, json.dumps({"data": rows}).encode()


@pytest.fixture
def embeddings() -> Iterator[Any]:
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Embeddings)
    server.asked, server.right_until, server.ended = 0, 10**9, threading.Event()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.ended.set()
    server.shutdown()
    server.server_close()
    thread.join(timeout=30)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    for number in range(100):
        (tmp_path / f"{number:03}.txt").write_text(f"secret {number}")
    return tmp_path


def ingestion_by(server: Any, corpus: Path, store: MemoryStore, **variables: str) -> Ingestion:
    config = settings.read(
        {
            "RAG_EMBED_URL": f"http://127.0.0.1:{server.server_address[1]}/v1",
            "RAG_STORE": "milvus://store:19530",
            "RAG_CORPUS": str(corpus),
            "RAG_WAIT_S": "0.001",
            "RAG_EMBED_REQUESTS": "1",
            **variables,
        }
    )
    return Ingestion(config, store, Embedder(config.embed), split)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest, "_FIRST_PAUSE_S", 0.002)


@pytest.mark.parametrize(
    ("then", "problem"),
    [
        (lambda _: (200, b"<html>sign in</html>"), "answered no JSON: <html>sign in</html>"),
        (lambda texts: vectors(texts[1:], 1), " vectors for "),
        (lambda texts: (422, json.dumps(texts).encode()), "answered 422: "),
        (lambda _: (500, b"out of memory"), "answered 500: out of memory"),
        (lambda _: SLOW, "no answer within 0.3 s from "),
        (lambda _: GONE, " does not answer: "),
    ],
    ids=["HTML", "too few", "repeats", "error", "slow", "gone"],
)
@pytest.mark.parametrize("right_until", [0, 2])
def test_a_model_server_that_is_wrong_is_named_and_the_next_run_goes_on(
    embeddings: Any, corpus: Path, capsys: pytest.CaptureFixture[str], then: Any, problem: str, right_until: int
) -> None:
    """At once, or in the middle of a run."""
    embeddings.right_until, embeddings.then = right_until, then
    store = MemoryStore()
    running = ingestion_by(embeddings, corpus, store, RAG_EMBED_TIMEOUT_S="0.3")
    with pytest.raises(SlotError) as caught:
        running.run_once()
    printed = capsys.readouterr().out
    assert caught.value.slot == "embed"
    assert running.problem == str(caught.value)
    assert problem in f"{printed}{caught.value}"
    assert "secret 4" not in f"{printed}{caught.value}"
    assert store.completion() is None
    stored = len(store.chunks)
    assert stored == (32 if right_until else 0)
    embeddings.right_until = 10**9
    assert (running.run_once().added, running.problem) == (100 - stored, "")
    assert store.completion() is not None


def test_a_model_server_that_gets_another_model_is_to_blame(
    embeddings: Any, corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the middle of a run, and in the next one, which asks for the length first."""
    embeddings.right_until, embeddings.then = 2, lambda texts: vectors(texts, 3)
    store = MemoryStore()
    with pytest.raises(SlotError) as caught:
        ingestion_by(embeddings, corpus, store).run_once()
    assert "embed: vectors of 3 numbers, and of 1 before" in capsys.readouterr().out
    assert str(caught.value) == "embed: a vector of 3 numbers, and the index has vectors of 1: is it the model?"
    assert (len(store.chunks), store.completion()) == (32, None)


def test_a_run_that_comes_further_may_wait_anew(
    corpus: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Hours of work may lie between two failures, and are no waiting."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))

    class Failing:
        """Fails each third time, an hour after it began."""

        def __init__(self) -> None:
            self.asked = 0

        def vectors(self, texts: Sequence[str]) -> list[list[float]]:
            self.asked += 1
            if self.asked % 3 == 0:
                now[0] += 3600
                raise SlotError("embed", "gone for a moment")
            return [[1.0] for _ in texts]

    config = settings.read(
        {"RAG_EMBED_URL": "http://e/v1", "RAG_STORE": "milvus://s:1", "RAG_CORPUS": str(corpus), "RAG_WAIT_S": "60"}
        | {"RAG_EMBED_REQUESTS": "1"}
    )
    store = MemoryStore()
    assert Ingestion(config, store, Failing(), split).run_once().documents == 100
    assert capsys.readouterr().out.count("waiting: embed: gone for a moment") == 3


class CountingStore(MemoryStore):
    """Keeps no text, so that what is measured is the memory of ingestion."""

    def __init__(self) -> None:
        super().__init__()
        self.keys: dict[str, set[str]] = {}

    def dimensions(self) -> int | None:
        return 1

    def ids_by_key(self) -> dict[str, set[str]]:
        return self.keys

    def add(self, chunks: Sequence[Chunk], vectors: Sequence[Sequence[float]]) -> None:
        if self.added + len(chunks) > self.most_added:
            raise SlotError("store", "gone")
        self.added += len(chunks)
        for chunk in chunks:
            self.keys.setdefault(chunk.key, set()).add(chunk.id)


def test_ten_thousand_documents_that_are_interrupted_take_bounded_memory(tmp_path: Path) -> None:
    for number in range(10_000):
        (tmp_path / f"{number:05}.txt").write_text(f"{number:05}" * 800)  # 40 MB in all
    store = CountingStore()
    store.most_added = 2_000

    class Vectors:
        def vectors(self, texts: Sequence[str]) -> list[list[float]]:
            return [[1.0] for _ in texts]

    def whole(text: str) -> list[Any]:
        return [Piece(0, text)]

    with pytest.raises(SlotError):
        ingestion.run(tmp_path, store, Vectors(), whole, lambda _: None)
    before, store.most_added = store.added, 10**9
    tracemalloc.start()
    try:
        summary = ingestion.run(tmp_path, store, Vectors(), whole, lambda _: None)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (summary.documents, summary.added, before) == (10_000, 10_000 - before, 1_984)
    assert peak < 20 * 2**20


def test_a_text_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    """Such a one would end the pod, and so keep all other documents from the index."""
    for name in ("large.txt", "large.pdf"):
        with (tmp_path / name).open("wb") as file:
            file.truncate(documents.MOST_TEXT + 1 if name.endswith("txt") else documents.MOST_BYTES + 1)
    assert run(tmp_path, MemoryStore())[1] == {
        "large.txt": "skipped: larger than 16 MiB",
        "large.pdf": "skipped: larger than 256 MiB",
    }


class Page:
    def __init__(self, text: str) -> None:
        self._text = text

    def extract_text(self) -> str:
        return self._text


def pdf_of(monkeypatch: pytest.MonkeyPatch, folder: Path, *pages: str) -> None:
    """A file that pypdf reads these pages from."""
    pypdf = pytest.importorskip("pypdf", reason="the extra rag is not installed; `nox -s rag` has it")

    class Reader:
        pages: list[Page]

        def __init__(self, _stream: Any) -> None:
            self.pages = [Page(text) for text in pages]

        def __enter__(self) -> Reader:
            return self

        def __exit__(self, *_: object) -> None:
            """Nothing is open."""

    monkeypatch.setattr(pypdf, "PdfReader", Reader)
    (folder / "a.pdf").write_bytes(b"%PDF-1.7")


def test_a_pdf_file_with_text_without_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "MOST_TEXT", 2**20)
    pdf_of(monkeypatch, tmp_path, *("x" * 2**19,) * 3)
    assert documents.read(tmp_path, "a.pdf").outcome == "skipped: more than 1 million characters"


def test_a_pdf_file_whose_pages_take_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 300.0, 601.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(times))
    pdf_of(monkeypatch, tmp_path, "one", "two", "three")
    assert documents.read(tmp_path, "a.pdf").outcome == "skipped: its pages take longer than 10 min"


def test_a_pdf_file_with_a_password(tmp_path: Path) -> None:
    pypdf = pytest.importorskip("pypdf", reason="the extra rag is not installed; `nox -s rag` has it")
    writer = pypdf.PdfWriter()
    writer.add_blank_page(72, 72)
    writer.encrypt("secret", algorithm="RC4-128")
    writer.write(tmp_path / "closed.pdf")
    assert documents.read(tmp_path, "closed.pdf").outcome == "unreadable: FileNotDecryptedError"


def test_nothing_outside_of_the_folder_is_read(tmp_path: Path) -> None:
    """Not by a link to a file or to a folder, and not by one that took a document's place since it was listed."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.txt").write_text("secret")
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    (corpus / "file.txt").symlink_to(outside / "secret.txt")
    (corpus / "folder").symlink_to(outside)
    (corpus / "own.txt").write_text("own")
    store = MemoryStore()
    assert run(corpus, store)[1] == {"own.txt": "ok"}
    reading = documents.read(corpus, "file.txt")
    assert (reading.outcome, reading.text) == (f"unreadable: {type(OSError(errno.ELOOP, '')).__name__}", "")
