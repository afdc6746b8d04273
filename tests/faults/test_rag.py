"""Retrieval-augmented generation with real models and real stores: the documents and questions of examples/rag.

`nox -s rag` installs what it needs; elsewhere it is skipped.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from meshrag import chunks, settings
from meshrag.errors import SlotError
from meshrag.stores import open_store, other_length
from tests.rag_stack import EXAMPLE, Api, Question, Stack, answers, citations, needs_rag, questions, stack
from tests.waiting import wait_until

pytestmark = needs_rag


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Stack]:
    corpus = tmp_path / "corpus"
    shutil.copytree(EXAMPLE / "documents", corpus)
    (corpus / "runbooks" / "damaged.pdf").write_bytes(b"%PDF-1.4 and nothing more")
    with stack(tmp_path, corpus) as running:
        yield running


def assert_answers_cite_what_is_searched(api: Api, question: Question) -> None:
    answer = api.ask(question.ask)
    assert answer["choices"][0]["message"]["content"].strip()
    assert [(each["key"], each["chunk"]) for each in answer["citations"]] == citations(api, question)
    first, *others = api.stream(question.ask)
    assert first["citations"] == answer["citations"]
    assert len([each for each in others if each["choices"][0]["delta"].get("content")]) > 3, "it came in one piece"


def outcomes(lines: list[dict[str, Any]]) -> dict[str, str]:
    return {line["key"]: line["outcome"] for line in lines}


@pytest.mark.exhaustive
def test_questions_get_the_same_citations_from_both_stores(processes: Stack) -> None:
    summary, lines = processes.ingest("milvus")
    assert outcomes(lines) == {
        "policies/access.md": "ok",
        "policies/draft.md": "empty",
        "policies/travel.txt": "ok",
        "runbooks/backup.md": "ok",
        "runbooks/coolant.pdf": "ok",
        "runbooks/damaged.pdf": "unreadable: PdfStreamError",
        "runbooks/gpu-nodes.md": "ok",
        "runbooks/scan.pdf": "no text",
    }
    assert summary["added"] == summary["chunks"] > 4

    again, _ = processes.ingest("milvus")
    assert (again["added"], again["removed"], again["fingerprint"]) == (0, 0, summary["fingerprint"])
    with processes.api("milvus") as api:
        of_milvus = [citations(api, question) for question in questions()]
        assert_answers_cite_what_is_searched(api, questions()[0])

    wait_until(lambda: answers(processes.addresses["pgvector"], 5432))
    with processes.api("pgvector") as api:
        status, body = api.request("GET", "/health")
        assert (status, body["reason"]) == (503, "store: its index is not complete yet; ingestion is to end first")
        on_pgvector, _ = processes.ingest("pgvector")
        assert on_pgvector == summary
        assert api.request("GET", "/health") == (200, {"status": "ok"})
        assert [citations(api, question) for question in questions()] == of_milvus


@pytest.mark.exhaustive
@pytest.mark.parametrize("store", ["milvus", "pgvector"])
def test_a_vector_of_another_length_is_not_the_stores_fault(processes: Stack, store: str) -> None:
    processes.ingest(store)
    told = settings.read(processes.settings(store))
    index = open_store(told.store, chunks.collection_name(told.collection, told.embed.model))
    assert (index.dimensions(), other_length(index, 384)) == (384, None)
    with pytest.raises(SlotError, match="store: "):
        index.search([1.0, 0.0], 4)
    assert "embed: a vector of 2 numbers, and the index has vectors of 384" in str(other_length(index, 2))


@pytest.mark.exhaustive
@pytest.mark.parametrize("store", ["milvus", "pgvector"])
def test_documents_that_change_or_go_leave_no_chunks(processes: Stack, store: str) -> None:
    processes.ingest(store)
    travel = processes.corpus / "policies" / "travel.txt"
    travel.write_text(travel.read_text().replace("140 EUR", "155 EUR"))
    (processes.corpus / "policies" / "access.md").unlink()
    summary, _ = processes.ingest(store)
    assert (summary["added"], summary["removed"]) == (1, 2)
    with processes.api(store) as api:
        texts = [each["text"] for each in api.search("How much may a hotel cost?")]
        assert "155 EUR" in texts[0]
        assert not [text for text in texts if "140 EUR" in text]
        assert "policies/access.md" not in [each["key"] for each in api.search("access to production")]
