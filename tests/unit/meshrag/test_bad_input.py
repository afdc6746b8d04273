"""Ingestion with model servers that are slow, wrong or gone, and with documents that are made to do harm: what is wrong
is said, nothing is complete before it is, and the next run goes on."""

from __future__ import annotations

import errno
import json
import sys
import threading
import time
import tracemalloc
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from meshrag import documents, ingest, ingestion, settings
from meshrag import pdf_files as pdf_files_
from meshrag.chunks import Chunk, Piece
from meshrag.errors import SlotError
from meshrag.ingest import Ingestion
from meshrag.model_servers import Embedder
from tests.unit.meshrag.test_ingestion import MemoryStore, ingestion_of, run, split

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


READER = """
import time
import pypdf
from meshrag import pdf_pages

class Reader:
    def __init__(self, stream):
        self.pages = [self, self, self]
        self._words = stream.read().decode()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def extract_text(self):
        exec(self._words)
        return "x" * 2**19

pypdf.PdfReader = Reader
pdf_pages.MOST_SECONDS, pdf_pages.MOST_CHARACTERS, pdf_pages.MOST_MEMORY = 1, {characters}, 2**28
pdf_pages.main()
"""


@pytest.fixture
def pdf_files(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Reads PDF files by what a function says, which tells the most characters of one; each page does what is in the
    file, and has half a million of them."""
    pytest.importorskip("pypdf", reason="the extra rag is not installed; `nox -s rag` has it")
    reader = pdf_files_.PdfFiles()
    monkeypatch.setattr(documents, "_pdf_files", reader)

    def reading(characters: int) -> None:
        reader.close()
        words = READER.replace("{characters}", str(characters))
        monkeypatch.setattr(pdf_files_, "COMMAND", (sys.executable, "-c", words))

    reading(2**24)
    yield reading
    reader.close()


@pytest.mark.parametrize(
    ("page", "outcome"),
    [
        ("while True: pass", "skipped: its pages take longer than 0.0166667 min of a processor"),
        ("bytearray(2**30)", "skipped: its pages take more than 256 MiB of memory"),
        ("import os; os.kill(os.getpid(), 9)", "skipped: its reader has ended with -9"),
        ("raise ValueError('secret')", "unreadable: ValueError"),
        (
            "import os; os.kill(os.getppid(), 9); os.kill(os.getpid(), 9)",
            "skipped: the reader of PDF files has ended",
        ),
    ],
    ids=["no end", "memory", "killed", "damaged", "all of the reader"],
)
def test_a_page_that_does_harm_ends_the_reading_of_its_file_alone(
    tmp_path: Path, pdf_files: Any, page: str, outcome: str
) -> None:
    (tmp_path / "a.pdf").write_text(page)
    (tmp_path / "b.pdf").write_text("pass")
    assert run(tmp_path, MemoryStore())[1] == {"a.pdf": outcome, "b.pdf": "ok"}


def test_what_is_too_much_now_keeps_the_chunks_that_the_store_has(
    tmp_path: Path, pdf_files: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An index that was made by what read more has them, and who asked it gets the same citations."""
    (tmp_path / "text.txt").write_text("one two three four")
    (tmp_path / "pages.pdf").write_text("pass")
    (tmp_path / "bytes.pdf").write_text("pass")
    store = MemoryStore()
    running = ingestion_of(tmp_path, store)
    before, chunks = running.run_once(), dict(store.chunks)
    pdf_files(2**20)
    monkeypatch.setattr(documents, "MOST_TEXT", 4)
    monkeypatch.setattr(documents, "MOST_BYTES", 5)
    (tmp_path / "bytes.pdf").write_text("pass  ")
    after = running.run_once()
    assert (after.removed, after.chunks, after.fingerprint) == (0, before.chunks, before.fingerprint)
    assert (store.chunks, after.without_text, after.unread) == (chunks, 3, ())
    assert not running.has_work()  # another time they are as large
    (tmp_path / "text.txt").unlink()
    assert running.run_once().removed == 2


def test_a_file_whose_pages_take_too_long_keeps_its_chunks_and_is_tried_again(
    tmp_path: Path, pdf_files: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not with each scan: it takes ten minutes, in which nothing else is read."""
    (tmp_path / "a.pdf").write_text("pass")
    store = MemoryStore()
    running = ingestion_of(tmp_path, store)
    before = running.run_once()
    (tmp_path / "a.pdf").write_text("while True: pass")
    after = running.run_once()
    assert (after.removed, after.fingerprint, after.unread) == (0, before.fingerprint, ("a.pdf",))
    times = iter([1000.0, 1600.0, 6999.0, 7001.0, 7002.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(times))
    monkeypatch.setattr(documents, "is_readable", lambda *_: False)
    assert [running.has_work() for _ in range(3)] == [False, False, False]
    with pytest.raises(StopIteration):
        next(times)


def test_a_reader_that_does_not_start_is_an_error(
    tmp_path: Path, pdf_files: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no index without PDF files."""
    (tmp_path / "a.pdf").write_text("pass")
    for command in ((sys.executable, "-c", "raise SystemExit(1)"), (str(tmp_path / "none"),)):
        monkeypatch.setattr(pdf_files_, "COMMAND", command)
        with pytest.raises(RuntimeError, match="the reader of PDF files does not start"):
            run(tmp_path, MemoryStore())


def test_a_pdf_file_with_text_without_an_end(tmp_path: Path, pdf_files: Any) -> None:
    pdf_files(2**20)
    (tmp_path / "a.pdf").write_text("pass")
    assert documents.read(tmp_path, "a.pdf").outcome == "skipped: more than 1 million characters"


@documents.reading()
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
