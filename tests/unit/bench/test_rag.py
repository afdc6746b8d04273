"""Questions with known documents, asked through the endpoint of an API that answers from documents."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from meshctl.bench import rag, target
from meshctl.bench.load import Server
from meshctl.errors import ForeignOutputError, UsageError
from meshctl.measure import rag as rag_results
from meshctl.measure.rag import Question, Reply
from meshctl.measure.results import Taken
from tests.unit.advise.situations import ROOT, deployment
from tests.unit.api_server import Answer, Asked, api_server

TAKEN = Taken(machine="m5.xlarge", date="2026-11-29", source="a test")
BACKUP = Question(ask="When is the backup window?", document="runbooks/backup.md", chunk="02:00 to 04:00 UTC")
HOTEL = Question(ask="How much may a hotel cost?", document="policies/travel.txt")
RIGHT = Reply(
    passages=(("runbooks/backup.md", "from 02:00\nto 04:00 UTC, daily"), ("policies/travel.txt", "…")),
    cited=("runbooks/backup.md",),
    answer_s=0.5,
)
SECOND = Reply(passages=(("runbooks/backup.md", "…"), ("policies/travel.txt", "…")), cited=(), answer_s=1.5)


def values(*pairs: tuple[Question, Reply]) -> dict[str, float]:
    results = rag_results.summarize(
        [question for question, _ in pairs], [reply for _, reply in pairs], setting={}, versions={}, taken=TAKEN
    )
    return {each.metric: each.value for each in results}


def test_shares_are_of_all_questions() -> None:
    assert values((BACKUP, RIGHT), (HOTEL, SECOND)) == {
        rag_results.HIT: 100.0,
        rag_results.FIRST: 50.0,
        rag_results.PASSAGE: 100.0,
        rag_results.CITED: 50.0,
        rag_results.LATENCY: 1000.0,
    }


def test_the_words_of_an_answer_count_where_somebody_has_written_them_down() -> None:
    """However the model breaks its lines, and whether or not a sentence begins with them."""
    worded, others = replace(BACKUP, answer="at 02:00 UTC"), replace(BACKUP, answer="at noon")
    reply = replace(RIGHT, answer="At\n02:00 UTC it begins.")
    assert values((worded, reply), (others, reply), (HOTEL, SECOND))[rag_results.WORDED] == 50.0
    assert values((worded, reply), (worded, Reply(failure="status 502")))[rag_results.WORDED] == 50.0
    assert rag_results.WORDED not in values((BACKUP, reply))
    assert rag_results.WORDED not in values((worded, replace(reply, cited=None)))


def test_what_failed_is_a_miss_and_a_warning() -> None:
    pairs = [(BACKUP, RIGHT), (HOTEL, Reply(failure="status 502")), (HOTEL, Reply(failure="status 502"))]
    results = rag_results.summarize(
        [question for question, _ in pairs], [reply for _, reply in pairs], setting={}, versions={}, taken=TAKEN
    )
    (hits, *_, latency) = results
    assert hits.value == 33.33
    assert hits.warnings == ("2 x status 502",)
    assert latency.value == 500.0


def test_without_an_answer_there_is_no_latency() -> None:
    assert rag_results.LATENCY not in values((HOTEL, Reply(failure="status 503")))


def test_the_questions_of_the_example_are_read() -> None:
    text = (ROOT / "examples" / "rag" / "questions.yaml").read_text()
    asked = rag_results.questions(text, "questions.yaml")
    assert asked[0].document == "runbooks/backup.md"
    assert asked[0].chunk == "02:00 to 04:00 UTC"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[", "it is no YAML"),
        ("[]", "it has no list `questions`"),
        ("questions: []", "with 1 to 1000 entries"),
        ("questions: [{ask: what}]", "question 1 has not the texts"),
        ("questions: [{ask: what, document: a.md}, {ask: 1, document: a.md}]", "question 2 has not the texts"),
        ("questions: [{ask: what, document: a.md, words: b}]", "and at most `chunk` and `answer` beside"),
    ],
)
def test_a_file_of_another_kind_is_named(text: str, why: str) -> None:
    with pytest.raises(ForeignOutputError) as raised:
        rag_results.questions(text, "questions.yaml")
    assert why in raised.value.why


def respond(asked: Asked) -> Answer:
    assert asked.headers["Host"] == "docs.example.com:80"
    if "hotel" in str(asked.body):
        return Answer(502, {"error": {"slot": "llm"}})
    if asked.path == "/v1/search":
        assert asked.body == {"query": BACKUP.ask, "limit": rag.PASSAGES}
        return Answer(200, {"results": [{"key": BACKUP.document, "text": BACKUP.chunk, "chunk": "9b", "start": 0}]})
    citation: dict[str, Any] = {"key": BACKUP.document, "chunk": "9b", "start": 0, "score": 0.8}
    choices = [{"message": {"role": "assistant", "content": "It begins at\n02:00."}}]
    return Answer(200, {"choices": choices, "citations": [citation]})


def test_each_question_is_searched_and_answered() -> None:
    with api_server(respond) as server:
        replies = rag.run(Server(server.url, "docs.example.com:80"), [BACKUP, HOTEL])
    assert replies[0].passages == ((BACKUP.document, BACKUP.chunk),)
    assert replies[0].cited == (BACKUP.document,)
    assert replies[0].answer == "It begins at\n02:00."
    assert replies[0].answer_s > 0
    assert replies[1].failure == "status 502"


def respond_without_a_model(asked: Asked) -> Answer:
    """As `meshrag` does with `llm: off`."""
    if asked.path == "/v1/search":
        return Answer(200, {"results": [{"key": BACKUP.document, "text": BACKUP.chunk, "chunk": "9b", "start": 0}]})
    return Answer(404, {"error": "no language model"})


def test_an_api_that_only_searches_is_asked_for_no_answers() -> None:
    with api_server(respond_without_a_model) as server:
        (reply,) = rag.run(Server(server.url, "docs.example.com:80"), [BACKUP], has_answers=False)
        assert [each.path for each in server.asked] == ["/v1/search"]
    assert reply.failure == ""
    assert values((BACKUP, reply)) == {rag_results.HIT: 100.0, rag_results.FIRST: 100.0, rag_results.PASSAGE: 100.0}


def test_passages_count_where_the_answer_fails() -> None:
    with api_server(respond_without_a_model) as server:
        (reply,) = rag.run(Server(server.url, "docs.example.com:80"), [BACKUP])
    assert reply.failure == "status 404"
    shares = values((BACKUP, reply))
    assert (shares[rag_results.HIT], shares[rag_results.CITED]) == (100.0, 0.0)
    assert rag_results.LATENCY not in shares


@pytest.mark.parametrize(("url", "answers"), [("http://llm:8000", True), ("", False)])
def test_an_api_without_a_language_model_has_no_answers(url: str, answers: bool) -> None:
    chat = (
        deployment().workload("chat").model_copy(update={"env": {"RAG_STORE": "milvus://s:19530", "RAG_LLM_URL": url}})
    )
    assert target.has_answers(chat) is answers


def test_a_server_of_another_kind_is_a_failure_of_each_question(tmp_path: Path) -> None:
    with api_server(lambda _: Answer(200, {"choices": []})) as server:
        (reply,) = rag.run(Server(server.url, "docs.example.com:80"), [BACKUP])
    assert reply.failure == "an answer without passages or citations"
    with api_server(lambda _: Answer(200, {"results": [], "choices": []})) as server:
        (reply,) = rag.run(Server(server.url, "docs.example.com:80"), [BACKUP])
    assert reply.failure == "an answer without passages or citations"
    (reply,) = rag.run(Server("http://127.0.0.1:1", "docs.example.com:80"), [BACKUP])
    assert "none at all" in reply.failure


def test_the_api_is_the_one_that_is_told_of_an_index() -> None:
    deployed = deployment()
    chat = deployed.workload("chat")
    answering = chat.model_copy(update={"env": {"RAG_STORE": "milvus://store:19530"}})
    workloads = tuple(answering if each.name == "chat" else each for each in deployed.workloads)
    with_index = deployed.model_copy(update={"workloads": workloads})
    assert target.documents_endpoint_of(with_index, "").workload == "chat"
    assert target.documents_endpoint_of(with_index, "chat").workload == "chat"
    with pytest.raises(UsageError, match='did you mean "chat"'):
        target.documents_endpoint_of(with_index, "chats")
    with pytest.raises(UsageError, match="no API with an endpoint that answers from documents"):
        target.documents_endpoint_of(deployed, "")


def test_a_model_server_without_an_endpoint_is_named_with_the_line_that_gives_it_one() -> None:
    """The language model of a blueprint `rag` is reached by its API alone."""
    hidden = deployment().model_copy(update={"endpoints": ()})
    line = "endpoints: {chat: {workload: chat, port: http, host: chat.example.com}}"
    for workload in ("", "chat"):
        with pytest.raises(UsageError, match="no inference workload") as raised:
            target.endpoint_of(hidden, workload)
        assert line in raised.value.hint


def test_what_answers_depend_on_is_part_of_their_setting() -> None:
    env = {"RAG_STORE": "pgvector://store:5432/docs", "RAG_EMBED_MODEL": "bge-m3", "RAG_LLM_MODEL": "Qwen"}
    api = deployment().workload("chat").model_copy(update={"env": env})
    setting = {"store": "pgvector", "embeddings": "bge-m3", "model": "Qwen", "re-ranked": "no"}
    assert target.documents_setting(api) == setting
    reranked = api.model_copy(update={"env": {**env, "RAG_RERANK_URL": "http://rerank:80"}})
    assert target.documents_setting(reranked) == {**setting, "re-ranked": "yes"}
