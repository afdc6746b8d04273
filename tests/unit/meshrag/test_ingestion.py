"""Ingestion with a store and a model in memory: nothing twice, nothing stale, and it goes on where it was stopped."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import pytest

from meshrag import documents, ingestion, settings
from meshrag.chunks import Chunk, Piece
from meshrag.errors import SlotError
from meshrag.ingest import Ingestion
from meshrag.outcomes import Outcome, Summary
from meshrag.passages import Passage
from meshrag.stores import Completion

EXAMPLE = Path(__file__).parents[3] / "examples" / "rag" / "documents" / "runbooks"


class MemoryStore:
    def __init__(self) -> None:
        self.chunks: dict[str, Chunk] = {}
        self.mark: Completion | None = None
        self.added = 0
        self.most_added = 10**9

    def prepare(self, dimensions: int) -> None:
        assert dimensions == 1

    def dimensions(self) -> int | None:
        return 1 if self.chunks else None

    def ids_by_key(self) -> dict[str, set[str]]:
        ids: dict[str, set[str]] = {}
        for chunk in self.chunks.values():
            ids.setdefault(chunk.key, set()).add(chunk.id)
        return ids

    def add(self, chunks: Sequence[Chunk], vectors: Sequence[Sequence[float]]) -> None:
        assert len(chunks) == len(vectors)
        if self.added + len(chunks) > self.most_added:
            raise SlotError("store", "gone")
        self.added += len(chunks)
        self.chunks.update({chunk.id: chunk for chunk in chunks})

    def remove(self, ids: Collection[str]) -> None:
        for chunk_id in ids:
            del self.chunks[chunk_id]

    def search(self, vector: Sequence[float], limit: int) -> list[Passage]:
        return [Passage(chunk, 1.0) for chunk in list(self.chunks.values())[:limit]]

    def completion(self) -> Completion | None:
        return self.mark

    def complete(self, completion: Completion) -> None:
        self.mark = completion


class Embedder:
    def vectors(self, texts: Sequence[str]) -> list[list[float]]:
        return [[1.0] for _ in texts]


def split(text: str) -> list[Piece]:
    return [Piece(start, text[start : start + 10]) for start in range(0, len(text), 10)]


def run(corpus: Path, store: MemoryStore) -> tuple[Summary, dict[str, str]]:
    reported: list[Outcome] = []
    summary = ingestion.run(corpus, store, Embedder(), split, reported.append)
    return summary, {each.key: each.outcome for each in reported}


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "one.md").write_text("0123456789abcdefghij")
    (tmp_path / "two.txt").write_text("two")
    return tmp_path


def test_a_second_run_adds_nothing(corpus: Path) -> None:
    store = MemoryStore()
    first, _ = run(corpus, store)
    second, _ = run(corpus, store)
    assert (first.documents, first.chunks, first.added) == (2, 3, 3)
    assert (second.added, second.removed, second.fingerprint) == (0, 0, first.fingerprint)
    assert store.added == 3


def test_documents_that_changed_or_went_leave_nothing(corpus: Path) -> None:
    store = MemoryStore()
    run(corpus, store)
    (corpus / "a" / "one.md").write_text("0123456789ABCDEFGHIJ")
    (corpus / "two.txt").unlink()
    summary, _ = run(corpus, store)
    assert (summary.added, summary.removed) == (1, 2)
    assert sorted(chunk.text for chunk in store.chunks.values()) == ["0123456789", "ABCDEFGHIJ"]


def test_a_run_that_was_stopped_goes_on(tmp_path: Path) -> None:
    for number in range(100):
        (tmp_path / f"{number:03}.txt").write_text(f"document {number}")
    store = MemoryStore()
    store.most_added = 70
    with pytest.raises(SlotError):
        run(tmp_path, store)
    assert store.completion() is None
    assert 0 < len(store.chunks) <= 70
    before, store.most_added = len(store.chunks), 10**9
    summary, _ = run(tmp_path, store)
    assert summary.added == summary.chunks - before
    assert store.completion() == Completion(100, summary.chunks, summary.fingerprint)


def test_each_document_has_an_outcome(corpus: Path) -> None:
    (corpus / "empty.md").write_bytes(b"")
    (corpus / "blank.md").write_text(" \n\t\n")
    (corpus / "latin.txt").write_bytes("Größe".encode("latin-1"))
    (corpus / "picture.png").write_bytes(b"\x89PNG")
    (corpus / "outside.txt").symlink_to("/etc/hostname")
    (corpus / "noted.TXT").write_text("\ufeffnoted")
    store = MemoryStore()
    assert run(corpus, store)[1] == {
        "a/one.md": "ok",
        "blank.md": "no text",
        "empty.md": "empty",
        "latin.txt": "unreadable: UnicodeDecodeError",
        "noted.TXT": "ok",
        "picture.png": "skipped: neither text, Markdown nor PDF",
        "two.txt": "ok",
    }
    assert "noted" in [chunk.text for chunk in store.chunks.values()]


def test_what_stores_can_not_have_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "nul.txt").write_bytes(b"one\0two")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/n\xff.txt")).write_text("name")
    store = MemoryStore()
    _, reported = run(tmp_path, store)
    assert reported == {"n\ufffd.txt": "skipped: its name is not UTF-8", "nul.txt": "ok"}
    assert [chunk.text for chunk in store.chunks.values()] == ["onetwo"]
    assert store.mark is not None


def test_several_requests_for_vectors_are_under_way_at_once(tmp_path: Path) -> None:
    """An embedding server with replicas has work for each of them; the chunks are those of a run by one request."""
    for number in range(300):
        (tmp_path / f"{number:03}.txt").write_text(f"document {number}")
    together = threading.Barrier(3, timeout=10)

    class Waiting:
        """Answers three requests once all of them are there."""

        def vectors(self, texts: Sequence[str]) -> list[list[float]]:
            if len(texts) == ingestion.TOGETHER:
                together.wait(30)
            return [[1.0] for _ in texts]

    store, alone = MemoryStore(), MemoryStore()
    summary = ingestion.run(tmp_path, store, Waiting(), split, lambda _: None, requests=3)
    assert summary == run(tmp_path, alone)[0]
    assert list(store.chunks) == list(alone.chunks)


def ingestion_of(corpus: Path, store: MemoryStore, **variables: str) -> Ingestion:
    variables = {
        "RAG_EMBED_URL": "http://embed/v1",
        "RAG_STORE": "milvus://store:19530",
        "RAG_CORPUS": str(corpus),
        **variables,
    }
    return Ingestion(settings.read(variables), store, Embedder(), split)


def test_it_runs_again_for_what_is_new_and_for_an_index_that_is_lost(corpus: Path) -> None:
    store = MemoryStore()
    running = ingestion_of(corpus, store)
    assert (running.has_work(), bool(running.problem)) == (True, True)
    running.run_once()
    assert (running.has_work(), running.problem) == (False, "")
    (corpus / "three.txt").write_text("three")
    assert (running.has_work(), running.problem) == (True, "")  # the index answers meanwhile
    assert running.run_once().added == 1
    store.chunks, store.mark = {}, None
    assert running.has_work()
    assert running.problem == "the store has lost the index, and the documents are read again"
    assert running.run_once().added == 4
    assert (running.has_work(), running.problem) == (False, "")


def test_it_waits_for_a_store_for_as_long_as_it_may(corpus: Path) -> None:
    store = MemoryStore()
    store.most_added = 0
    running = ingestion_of(corpus, store, RAG_WAIT_S="0.01")
    with pytest.raises(SlotError):
        running.run_once()
    assert running.problem == "store: gone"


def failing(monkeypatch: pytest.MonkeyPatch, name: str, number: int) -> None:
    """Files of this name are there, and reading them fails, as on a file system that has lost its server."""
    opened = os.open

    def opening(path: str, flags: int) -> int:
        if Path(path).name == name:
            raise OSError(number, os.strerror(number))
        return opened(path, flags)

    monkeypatch.setattr(documents, "_not_by_a_link", opening)


def closed(monkeypatch: pytest.MonkeyPatch, name: str, number: int) -> None:
    """Folders of this name can't be listed."""
    scandir = os.scandir

    def listed(path: str) -> Any:
        if Path(path).name == name:
            raise OSError(number, os.strerror(number), path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", listed)


@pytest.mark.parametrize("name", ["one.md", "one.pdf"])
@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EACCES])
def test_a_file_that_can_not_be_read_now_keeps_its_chunks_and_is_tried_again(
    corpus: Path, monkeypatch: pytest.MonkeyPatch, number: int, name: str
) -> None:
    if name.endswith("pdf"):
        pytest.importorskip("pypdf", reason="the extra rag is not installed; `nox -s rag` has it")
        (corpus / name).write_bytes((EXAMPLE / "coolant.pdf").read_bytes())
    store = MemoryStore()
    running = ingestion_of(corpus, store)
    running.run_once()
    before, mark = dict(store.chunks), store.mark
    with monkeypatch.context() as patch:
        failing(patch, name, number)
        (corpus / "three.txt").write_text("three")
        summary, reported = run(corpus, store)
        assert running.run_once().removed == summary.removed == 0
        assert not running.has_work()  # it is the same as it was
        assert reported[f"a/{name}" if name == "one.md" else name].startswith("unreadable: ")
    assert before.items() <= store.chunks.items()
    assert store.mark != mark
    assert running.has_work()
    assert running.run_once().removed == 0
    assert not running.has_work()


def test_a_document_that_was_damaged_leaves_nothing(corpus: Path) -> None:
    """Other than one that can't be read now: what it says is known."""
    store = MemoryStore()
    run(corpus, store)
    (corpus / "two.txt").write_bytes(b"\xff")
    assert run(corpus, store)[0].removed == 1


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO])
def test_a_folder_that_can_not_be_listed_keeps_its_chunks(
    corpus: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    store = MemoryStore()
    (corpus / "a" / "deeper").mkdir()
    (corpus / "a" / "deeper" / "three.txt").write_text("three")
    (corpus / "ab.txt").write_text("four")
    running = ingestion_of(corpus, store)
    running.run_once()
    before = dict(store.chunks)
    with monkeypatch.context() as patch:
        closed(patch, "a", number)
        (corpus / "ab.txt").unlink()
        assert running.has_work()
        assert running.run_once().removed == 1
        assert run(corpus, store)[1] == {"a": f"unreadable: {type(OSError(number, '')).__name__}", "two.txt": "ok"}
        assert not running.has_work()
    assert [chunk.text for chunk in before.values() if chunk.id not in store.chunks] == ["four"]
    assert running.has_work()
    assert running.run_once().added == 0
    assert not running.has_work()


def test_a_folder_that_failed_during_a_run_alone_is_tried_again(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    running = ingestion_of(corpus, MemoryStore())
    before = ingestion.listing(corpus)
    with monkeypatch.context() as patch:
        closed(patch, "a", errno.ESTALE)
        patch.setattr(ingestion, "listing", lambda _: before)
        running.run_once()
    assert running.has_work()
    assert running.run_once().added == 2


def test_the_folder_of_all_documents_has_to_be_listed(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    run(corpus, store)
    closed(monkeypatch, corpus.name, errno.EIO)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        run(corpus, store)
    assert len(store.chunks) == 3


def test_a_file_that_goes_while_it_is_listed_is_left_out(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lstat = Path.lstat

    def gone(path: Path) -> os.stat_result:
        if path.name == "two.txt":
            raise FileNotFoundError(errno.ENOENT, "gone", str(path))
        return lstat(path)

    monkeypatch.setattr(Path, "lstat", gone)
    assert [entry[0] for entry in ingestion.listing(corpus)] == ["a/one.md"]
    assert run(corpus, MemoryStore())[1] == {"a/one.md": "ok"}


def test_a_name_whose_kind_is_not_known_keeps_its_chunks(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    run(corpus, store)
    lstat = Path.lstat

    def stale(path: Path) -> os.stat_result:
        if path.name == "two.txt":
            raise OSError(errno.ESTALE, "stale", str(path))
        return lstat(path)

    monkeypatch.setattr(Path, "lstat", stale)
    summary, reported = run(corpus, store)
    assert (summary.removed, reported["two.txt"]) == (0, "unreadable: OSError")


class EndedError(BaseException):
    """In place of the end of the process."""


@pytest.mark.parametrize("error", [RuntimeError("of a library"), SlotError("store", "gone"), OSError("no folder")])
def test_whatever_ends_the_runs_ends_the_process(
    corpus: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    """A thread that ends alone would leave `/health` at its last answer, and no document would be noticed again."""
    running = ingestion_of(corpus, MemoryStore())

    def fails() -> Summary:
        raise error

    def ended(status: int) -> None:
        raise EndedError(status)

    monkeypatch.setattr(running, "run_once", fails)
    monkeypatch.setattr(os, "_exit", ended)
    with pytest.raises(EndedError) as caught:
        running.run_for_ever()
    assert caught.value.args == (1,)
    assert str(error) in capsys.readouterr().out


@documents.reading()
def test_pdf_files(tmp_path: Path) -> None:
    pytest.importorskip("pypdf", reason="the extra rag is not installed; `nox -s rag` has it")
    (tmp_path / "damaged.pdf").write_bytes((EXAMPLE / "coolant.pdf").read_bytes()[:400])
    (tmp_path / "none.pdf").write_bytes(b"not a PDF at all")
    assert "25 percent propylene glycol" in documents.read(EXAMPLE, "coolant.pdf").text
    assert documents.read(EXAMPLE, "scan.pdf").outcome == "no text"
    for name in ("damaged.pdf", "none.pdf"):
        assert documents.read(tmp_path, name).outcome == "unreadable: PdfStreamError"


def test_a_folder_that_is_not_there_is_an_error_and_no_empty_corpus(tmp_path: Path) -> None:
    store = MemoryStore()
    with pytest.raises(FileNotFoundError):
        run(tmp_path / "none", store)
    assert store.completion() is None
