"""`lab status` says which real programs the lab has, and what plays in their place."""

from __future__ import annotations

import importlib.util

import pytest

from meshctl.lab import programs
from meshctl.lab.images import redis_server
from tests.programs import needs_programs, needs_redis


def test_what_is_not_installed_is_named_with_the_extra_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.setenv("PATH", "")
    played = programs.played()
    assert played["language models"].startswith("a small server that answers with the hash of its weights")
    assert played["redis"].startswith("simulated")
    assert all("`lab-programs`" in what for what in played.values())


@needs_programs
@needs_redis
def test_what_is_installed_is_named() -> None:
    assert programs.played() == {
        "language models": (
            "SmolLM2-135M-Instruct.Q4_1 on llama.cpp, where the model is a GGUF file or has a hub's name"
        ),
        "redis": redis_server.find(),
    }
