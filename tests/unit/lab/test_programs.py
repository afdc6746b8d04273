"""`lab status` says which real programs the lab has, and what plays in their place."""

from __future__ import annotations

import importlib.util

import pytest

from meshctl.lab import images, programs
from meshctl.lab.images import redis_server
from tests.programs import needs_programs, needs_redis

RETRIEVAL = ("ghcr.io/huggingface/text-embeddings-inference", "milvusdb/", "pgvector/", "ghcr.io/meshctl/rag")


def test_what_is_not_installed_is_named_with_the_extra_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.setenv("PATH", "")
    played = programs.played()
    assert played["language models"].startswith("a small server that answers with the hash of its weights")
    assert played["redis"].startswith("simulated")
    assert all("`lab-programs`" in played[name] for name in ("language models", "redis"))


def test_retrieval_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    known = tuple(image for image in images.KNOWN if not image.pattern.startswith(RETRIEVAL))
    monkeypatch.setattr(images, "KNOWN", known)
    assert programs.played()["retrieval"] == "simulated; the extras `rag` and `lab-rag` have real programs"
    monkeypatch.setattr(
        images, "KNOWN", (*known, images.Image("milvusdb/milvus:*"), images.Image("pgvector/pgvector:*"))
    )
    assert programs.played()["retrieval"] == "milvus-lite, PostgreSQL with pgvector"


@needs_programs
@needs_redis
def test_what_is_installed_is_named() -> None:
    played = programs.played()
    del played["retrieval"]
    assert played == {
        "language models": (
            "SmolLM2-135M-Instruct.Q4_1 on llama.cpp, where the model is a GGUF file or has a hub's name"
        ),
        "redis": redis_server.find(),
    }
