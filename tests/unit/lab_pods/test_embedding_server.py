"""What the lab plays for text-embeddings-inference reads and refuses as the real server does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from meshctl.lab.images import minilm
from meshctl.lab.images.embedding_server import Options, RefusedError, answer, options

EMBEDS, RANKS = Options("all-MiniLM-L6-v2", 80), Options("BAAI/bge-reranker-base", 80)


class Model:
    def vectors(self, texts: Sequence[str]) -> list[list[float]]:
        return [[float(len(text))] for text in texts]

    def likenesses(self, query: str, texts: Sequence[str]) -> list[float]:
        return [float(text.count(query)) for text in texts]

    def tokens(self, text: str) -> int:
        return len(text)


@pytest.mark.parametrize(
    ("words", "variables", "expected"),
    [
        ([], {}, ("BAAI/bge-large-en-v1.5", 80)),
        ([], {"MODEL_ID": "minilm", "PORT": "8080", "HUGGINGFACE_HUB_CACHE": "/data"}, ("minilm", 8080)),
        (["--model-id", "bge", "--port", "9000", "--auto-truncate"], {"MODEL_ID": "minilm"}, ("bge", 9000)),
    ],
)
def test_options_are_words_or_variables(words: list[str], variables: dict[str, str], expected: tuple[str, int]) -> None:
    read = options(words, variables)
    assert (read.model, read.port) == expected


def test_embeddings_in_both_forms() -> None:
    body = answer(EMBEDS, Model(), "/v1/embeddings", {"input": ["a", "bb"], "model": "x"})
    assert [(each["index"], each["embedding"]) for each in body["data"]] == [(0, [1.0]), (1, [2.0])]
    assert answer(EMBEDS, Model(), "/v1/embeddings", {"input": "abc"})["data"][0]["embedding"] == [3.0]
    assert answer(EMBEDS, Model(), "/embed", {"inputs": ["a"]}) == [[1.0]]


def test_texts_that_are_too_long_are_cut_where_that_is_wanted() -> None:
    cuts = options([], {"MODEL_ID": "minilm", "AUTO_TRUNCATE": "true"})
    assert answer(cuts, Model(), "/v1/embeddings", {"input": "a" * 257})["data"]
    assert answer(RANKS, Model(), "/rerank", {"query": "a", "texts": ["a" * 257], "truncate": True})


def test_texts_are_ranked_best_first() -> None:
    ranked = answer(RANKS, Model(), "/rerank", {"query": "a", "texts": ["b", "aa", "a"], "truncate": True})
    assert ranked == [{"index": 1, "score": 2.0}, {"index": 2, "score": 1.0}, {"index": 0, "score": 0.0}]


@pytest.mark.parametrize(
    ("server", "path", "body", "status"),
    [
        (EMBEDS, "/rerank", {"query": "a", "texts": ["b"]}, 424),
        (RANKS, "/v1/embeddings", {"input": "a"}, 424),
        (EMBEDS, "/v1/embeddings", {"input": ["a"] * 33}, 422),
        (EMBEDS, "/v1/embeddings", {"input": []}, 422),
        (EMBEDS, "/v1/embeddings", {"input": "a" * 257}, 413),
        (RANKS, "/rerank", {"query": "a", "texts": ["a" * 257]}, 413),
        (EMBEDS, "/v1/embeddings", {"input": [""]}, 422),
        (RANKS, "/rerank", {"texts": ["b"]}, 422),
        (EMBEDS, "/v1/embeddings", [], 422),
        (EMBEDS, "/other", {}, 404),
    ],
)
def test_what_the_server_refuses(server: Options, path: str, body: Any, status: int) -> None:
    with pytest.raises(RefusedError) as caught:
        answer(server, Model(), path, body)
    assert caught.value.status == status


@pytest.mark.skipif(not minilm.is_installed(), reason="the extra lab-rag is not installed; `nox -s rag` has it")
def test_a_vector_does_not_depend_on_the_texts_beside_it() -> None:
    model = minilm.MiniLm()
    question = "When is the backup?"
    alone, beside = model.vectors([question])[0], model.vectors(["x " * 300, question])[1]
    assert alone == beside
    assert sum(number * number for number in alone) == pytest.approx(1)
    near, far = model.likenesses(question, ["The backup is made at two o'clock.", "Hotels may cost 140 EUR."])
    assert near > far + 0.2
