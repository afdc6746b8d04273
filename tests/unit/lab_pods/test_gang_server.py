"""The lab's server on several nodes: it serves while all ranks are there, and nobody survives the loss of another."""

from __future__ import annotations

import os
import threading
from types import SimpleNamespace
from typing import Any, cast

import pytest

from meshctl.lab.images import gang_server


def server() -> Any:
    return SimpleNamespace(weights=None, draining=threading.Event())


@pytest.fixture
def exits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    return codes


def test_it_serves_once_all_ranks_have_come(exits: list[int]) -> None:
    given = server()
    gang = gang_server.Gang(cast("Any", given), 3)
    gang.join(2)
    assert given.weights is None
    gang.lose(2)  # one that starts again before all were there
    gang.join(2)
    gang.join(1)
    assert given.weights is not None
    assert exits == []


def test_a_lost_rank_ends_the_leader(exits: list[int]) -> None:
    gang = gang_server.Gang(cast("Any", server()), 2)
    gang.join(1)
    gang.lose(1)
    assert exits == [1]


def test_a_leader_that_stops_answers_on(exits: list[int]) -> None:
    given = server()
    gang = gang_server.Gang(cast("Any", given), 2)
    gang.join(1)
    given.draining.set()
    gang.lose(1)
    assert exits == []
