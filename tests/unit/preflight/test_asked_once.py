"""A run asks the platform once; the next run asks again, so that what was mended meanwhile counts."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from meshctl.clients.aws import aws_questions, session_credentials
from meshctl.clients.aws.session_credentials import RemainingLife
from meshctl.deploy.guards import hosted_zone, preflight
from meshctl.deploy.session import Session
from meshctl.errors import InfeasibleError
from meshctl.model.deployment import Endpoint
from meshctl.model.environment import Dns, Environments
from meshctl.model.questions import NO_ANSWER, ApiAnswer, ApiQuestion, Findings
from tests.unit import states
from tests.unit.preflight.asking import H100, deployment
from tests.unit.resolve.meshes import AWS

ENVIRONMENTS = Environments.model_validate(
    {"apiVersion": "meshctl/v1", "kind": "Environments", "environments": {"e": AWS}}
)
WANTED = deployment({"serve": {"nodes": 2, "accelerator": H100}})


def test_a6_a_quota_that_is_raised_meanwhile_counts_in_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quotas, calls = [0, 384], 0

    def ask(*_: Any, **__: Any) -> dict[str, ApiAnswer]:
        nonlocal calls
        calls += 1
        quota = {"QuotaName": "Running On-Demand P instances", "Value": quotas[calls - 1]}
        return {"L-417A185B": ApiAnswer({"Quota": quota})}

    monkeypatch.setattr(aws_questions, "ask", ask)
    monkeypatch.setattr(session_credentials, "remaining_life", lambda _profile: RemainingLife())
    first = Session(tmp_path, "m", ENVIRONMENTS)
    findings = [first.ask_platform(WANTED, states.state()) for _ in range(3)]
    assert calls == 1
    with pytest.raises(InfeasibleError):
        _refuse(findings[-1])
    _refuse(Session(tmp_path, "m", ENVIRONMENTS).ask_platform(WANTED, states.state()))
    assert calls == 2


def _refuse(findings: Any) -> None:
    preflight.refuse(WANTED, findings)


def test_route_53_is_asked_at_the_same_time_as_the_platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One after the other, two that do not answer hold a plan up for twice as long."""
    both = threading.Barrier(2, timeout=20)

    def ask(questions: Iterable[ApiQuestion], **_: Any) -> dict[str, ApiAnswer]:
        both.wait()
        return {each.name: ApiAnswer(code=NO_ANSWER) for each in questions}

    monkeypatch.setattr(aws_questions, "ask", ask)
    monkeypatch.setattr(session_credentials, "remaining_life", lambda _profile: RemainingLife())
    dns = Dns.model_validate({"provider": "route53", "zone": "example.com"})
    endpoint = Endpoint(name="chat", host="chat.example.com", workload="chat", port="http")
    wanted = WANTED.model_copy(update={"endpoints": (endpoint,)})
    session = Session(tmp_path, "m", ENVIRONMENTS.model_copy(update={"dns": dns}))
    notes = session.ask_platform(wanted, states.state()).notes
    assert any(note.startswith("Route 53 did not say") for note in notes)
    assert any(note.startswith("AWS did not say in time") for note in notes)


def test_an_interrupt_does_not_wait_for_route_53(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does the end of the program: the thread that asks is a daemon."""
    ends = threading.Event()
    asking: list[threading.Thread] = []

    def hang(*_: Any) -> Findings:
        asking.append(threading.current_thread())
        ends.wait(20)
        return Findings()

    def interrupt(*_: Any) -> Findings:
        raise KeyboardInterrupt

    monkeypatch.setattr(hosted_zone, "ask", hang)
    monkeypatch.setattr(preflight, "ask", interrupt)
    with pytest.raises(KeyboardInterrupt):
        Session(tmp_path, "m", ENVIRONMENTS).ask_platform(WANTED, states.state())
    [thread] = asking
    assert thread.is_alive(), "the interrupt came while it still asked"
    assert thread.daemon
    ends.set()
    thread.join(20)


def test_a_mistake_in_the_question_about_the_zone_is_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Findings:
        raise LookupError("zone")

    monkeypatch.setattr(hosted_zone, "ask", fail)
    monkeypatch.setattr(preflight, "ask", lambda *_: Findings())
    with pytest.raises(LookupError, match="zone"):
        Session(tmp_path, "m", ENVIRONMENTS).ask_platform(WANTED, states.state())


def test_a_plan_says_what_keeps_its_caller_from_an_up_and_an_up_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan is often made by a role that may only read."""
    root = ApiAnswer({"Arn": "arn:aws:iam::123456789012:root"})
    monkeypatch.setattr(aws_questions, "ask", lambda *_, **__: {"caller": root})
    monkeypatch.setattr(session_credentials, "remaining_life", lambda _profile: RemainingLife())
    planned = Session(tmp_path, "m", ENVIRONMENTS, command="plan").ask_platform(WANTED, states.state())
    _refuse(planned)
    [note] = [each for each in planned.notes if "access entry" in each]
    assert note.startswith("an access entry for the account's root user, which `up` needs: ")
    with pytest.raises(InfeasibleError, match="root user"):
        _refuse(Session(tmp_path, "m", ENVIRONMENTS, command="up").ask_platform(WANTED, states.state()))
