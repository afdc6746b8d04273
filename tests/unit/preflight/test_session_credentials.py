"""Credentials of a session that end before an `up` does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from meshctl import diagnosis
from meshctl.clients.aws import aws_questions
from meshctl.clients.aws.session_credentials import remaining_life
from meshctl.deploy.guards import preflight
from meshctl.model.deployment import Deployment
from tests.unit.preflight.asking import NOTHING, deployment, up_as

WEB = {"web": {"nodes": 2, "cpu": {"cores": 4}}}


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Keys of a session in the environment, as `aws configure export-credentials --format env` writes them."""
    for name, value in (("ACCESS_KEY_ID", "AKIA"), ("SECRET_ACCESS_KEY", "secret"), ("SESSION_TOKEN", "token")):
        monkeypatch.setenv(f"AWS_{name}", value)
    for name in ("AWS_PROFILE", "AWS_CREDENTIAL_EXPIRATION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(aws_questions, "ask", lambda *_, **__: {})
    return monkeypatch


def ends_in(minutes: float, session: pytest.MonkeyPatch) -> None:
    end = datetime.now(UTC) + timedelta(minutes=minutes)
    session.setenv("AWS_CREDENTIAL_EXPIRATION", f"{end:%Y-%m-%dT%H:%M:%SZ}")


def notes(wanted: Deployment) -> list[str]:
    return [note for note in preflight.ask(wanted, NOTHING).notes if "credentials" in note]


def test_b11_credentials_that_end_before_up_does_are_told(session: pytest.MonkeyPatch) -> None:
    ends_in(30, session)
    [note] = notes(deployment(WEB))
    assert "the AWS credentials expire in 29 minutes" in note or "the AWS credentials expire in 30 minutes" in note
    assert "up to 60 minutes" in note


def test_b11_credentials_that_outlive_up_are_not_mentioned(session: pytest.MonkeyPatch) -> None:
    ends_in(240, session)
    assert notes(deployment(WEB)) == []


def test_b11_a_session_without_an_end_is_told_to_have_one(session: pytest.MonkeyPatch) -> None:
    assert session
    [note] = notes(deployment(WEB))
    assert "do not say when they expire" in note


def test_b11_keys_that_do_not_end_are_not_mentioned(session: pytest.MonkeyPatch) -> None:
    session.delenv("AWS_SESSION_TOKEN")
    assert notes(deployment(WEB)) == []
    assert not remaining_life("").is_session


def test_b11_a_run_that_adds_nothing_says_nothing_of_credentials(session: pytest.MonkeyPatch) -> None:
    ends_in(30, session)
    wanted = deployment(WEB)
    assert preflight.ask(wanted, up_as(wanted)).notes == ()


def test_b11_doctor_says_when_they_end(session: pytest.MonkeyPatch) -> None:
    ends_in(30, session)
    [credentials] = [each for each in diagnosis.diagnose() if each.group == "credentials"]
    assert credentials.state == "ok"
    assert "expire in" in credentials.detail
    assert "outlive" in credentials.hint
