"""What a plan and an `up` hear of releases: asked once, changed only with `--refresh-images` (finding C2)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from meshctl.clients.aws import aws_questions
from meshctl.deploy import live_platform
from meshctl.deploy.session import Session
from meshctl.errors import CredentialsError
from meshctl.model.questions import ApiAnswer, ApiQuestion
from tests.unit import states
from tests.unit.platforms.test_releases import CLUSTER, IMAGE, NEW, OLD, WEB, group
from tests.unit.preflight.asking import deployment
from tests.unit.preflight.test_asked_once import ENVIRONMENTS

WANTED = deployment(WEB)
UP = states.state({"urn": "urn:pulumi:e::m::meshaws:eks:Cluster::cluster:eks", "type": "meshaws:eks:Cluster"})
ANSWERS = {**CLUSTER, **IMAGE, "nodegroup/web": group()}


@pytest.fixture
def rounds(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The names of the questions of each round."""
    asked: list[list[str]] = []

    def ask(questions: Iterable[ApiQuestion], **_: Any) -> dict[str, ApiAnswer]:
        names = [question.name for question in questions]
        asked.append(names)
        return {name: ANSWERS.get(name, ApiAnswer(code="AccessDeniedException")) for name in names}

    monkeypatch.setattr(aws_questions, "ask", ask)
    return asked


def test_a_plan_says_that_a_newer_release_exists_and_leaves_it(rounds: list[list[str]], tmp_path: Path) -> None:
    session = Session(tmp_path, "m", ENVIRONMENTS)
    for _ in range(2):
        notes = session.live_notes(WANTED, UP, looks=True)
    assert [note for note in notes if f"image {NEW} for pool web ({OLD} runs)" in note]
    assert "pool/web: 4 nodes now, 2..8" in notes
    assert len(rounds) == 2, "what runs, and what there is for it: once"
    assert session.placed(WANTED, UP, session.ask_platform(WANTED, UP)) == WANTED


def test_a_run_that_looks_at_nothing_asks_nothing(rounds: list[list[str]], tmp_path: Path) -> None:
    assert Session(tmp_path, "m", ENVIRONMENTS).live_notes(WANTED, UP, looks=False) == ()
    assert rounds == []


def test_a_refresh_is_in_the_deployment(rounds: list[list[str]], tmp_path: Path) -> None:
    session = Session(tmp_path, "m", ENVIRONMENTS, refresh_images=True)
    placed = session.placed(WANTED, UP, session.ask_platform(WANTED, UP))
    assert placed.pool("web").image_release == NEW
    notes = session.live_notes(WANTED, UP, looks=False)
    assert notes[0] == f"pool/web: image {OLD} -> {NEW}, its 4 nodes are replaced one by one"
    assert (
        notes[1] == "AWS was not asked about the versions of add-ons: it refused the question (AccessDeniedException)"
    )
    assert len(rounds) == 3, "the preflight, and two rounds"


def test_a_new_environment_begins_with_the_newest(rounds: list[list[str]], tmp_path: Path) -> None:
    session = Session(tmp_path, "m", ENVIRONMENTS, refresh_images=True)
    assert session.live_notes(WANTED, states.NOTHING, looks=True) == (
        "new nodes and add-ons begin with the newest releases: nothing to refresh",
    )
    assert rounds == []


def test_without_credentials_a_plan_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(*_: Any, **__: Any) -> dict[str, ApiAnswer]:
        raise CredentialsError("no credentials", hint="log in")

    monkeypatch.setattr(aws_questions, "ask", ask)
    live = live_platform.ask(WANTED, UP)
    assert live.refreshed(WANTED) == WANTED
    assert live.newer_notes("e") == ()
    assert "no credentials" in live.refresh_notes()[0]


def test_another_platform_says_that_there_is_nothing_to_refresh(tmp_path: Path) -> None:
    elsewhere = WANTED.model_copy(update={"provider": "onprem"})
    session = Session(tmp_path, "m", ENVIRONMENTS, refresh_images=True)
    assert session.live_notes(elsewhere, UP, looks=False) == (live_platform.NOTHING_TO_REFRESH,)
