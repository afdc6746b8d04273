"""An `up` that AWS would refuse sooner or later: one answer that says why and what to do, before the engine runs."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import pytest

from meshctl.clients.aws import aws_questions, session_credentials
from meshctl.clients.aws.session_credentials import RemainingLife
from meshctl.deploy.runs import environment_up
from meshctl.deploy.session import Session
from meshctl.engine.run import StackRun
from meshctl.errors import InfeasibleError
from meshctl.model.deployment import Deployment, Gap
from meshctl.model.questions import ApiAnswer
from tests.unit import states
from tests.unit.preflight.asking import H100, NOTHING, RESERVATION, aws, deployment, findings, reservation
from tests.unit.preflight.test_asked_once import ENVIRONMENTS

SERVE = {"serve": {"nodes": 2, "accelerator": H100}}
RESERVED = {"serve": {"nodes": 2, "accelerator": H100, "capacity": "reserved"}}
QUOTA_0 = ApiAnswer({"Quota": {"QuotaName": "Running On-Demand P instances", "Value": 0.0}})
OFFERED_NOWHERE = ApiAnswer({"InstanceTypeOfferings": []})
BLOCK_IS_OVER = reservation(ReservationType="capacity-block", State="expired")


DENIED = ApiAnswer(code="UnauthorizedOperation")
ENGINEER = ApiAnswer({"Arn": "arn:aws:iam::123456789012:user/engineer"})


class ReachedError(Exception):
    """The engine would have made something."""


def up(folder: Path, monkeypatch: pytest.MonkeyPatch, wanted: Deployment, answers: dict[str, ApiAnswer]) -> None:
    """Raises: ReachedError where the engine is asked for anything but the state."""
    run = mock.Mock(spec=StackRun)
    run.state.return_value = states.NOTHING
    run.preview.side_effect = run.up.side_effect = ReachedError
    monkeypatch.setattr(aws_questions, "ask", lambda *_, **__: answers)
    monkeypatch.setattr(session_credentials, "remaining_life", lambda _profile: RemainingLife())
    monkeypatch.setattr(Session, "environment_run", lambda *_, **__: run)
    environment_up.up(Session(folder, "m", ENVIRONMENTS, command="up"), wanted)


@pytest.mark.parametrize(
    ("wanted", "answers", "best", "what_to_do"),
    [
        (
            deployment(SERVE),
            {"L-417A185B": QUOTA_0},
            "the account may run 0",
            "aws service-quotas request-service-quota-increase",
        ),
        (deployment(SERVE), {"offerings": OFFERED_NOWHERE}, "us-east-1 does not have it", "another region"),
        (
            deployment(RESERVED, capacity={"blocks": [RESERVATION]}),
            {RESERVATION: BLOCK_IS_OVER},
            "it is expired",
            "correct `capacity` in environments.yaml",
        ),
        (deployment(SERVE, network={"cidr": "10.0.0.0/24"}), {}, "10.0.0.0/24 has ", "has room"),
    ],
    ids=["quota 0", "not offered", "a block that is over", "a network of /24"],
)
def test_it_is_refused_with_one_answer(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    wanted: Deployment,
    answers: dict[str, ApiAnswer],
    best: str,
    what_to_do: str,
) -> None:
    with pytest.raises(InfeasibleError) as caught:
        up(tmp_path, monkeypatch, wanted, answers)
    [gap] = caught.value.gaps
    assert isinstance(gap, Gap)
    assert best in gap.best
    assert what_to_do in gap.hint


def test_who_may_make_it_and_not_ask_about_it_goes_on_with_notes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who may make all of it need not be somebody who may ask about it. Who it is, STS tells everybody."""
    wanted = deployment(SERVE)
    all_questions = [each for each in aws().questions(wanted, NOTHING) if each.name != "caller"]
    allowed = {each.name: ApiAnswer(code="DryRunOperation") for each in all_questions if "DryRun" in each.arguments}
    refused = [each for each in all_questions if each.name not in allowed]
    answers = {**{each.name: DENIED for each in refused}, **allowed, "caller": ENGINEER}
    with pytest.raises(ReachedError):
        up(tmp_path, monkeypatch, wanted, answers)
    notes = [note for note in findings(wanted, answers).notes if note.startswith("AWS was not asked about ")]
    assert len(notes) == len({question.about for question in refused})
    assert all(note.endswith("it refused the question (UnauthorizedOperation)") for note in notes)


def test_who_may_neither_ask_nor_make_gets_one_answer_and_nothing_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`tests/faults/test_up_makes_nothing` has it with the lab's AWS."""
    wanted = deployment(SERVE)
    denied = {question.name: DENIED for question in aws().questions(wanted, NOTHING)}
    with pytest.raises(InfeasibleError) as caught:
        up(tmp_path, monkeypatch, wanted, {**denied, "caller": ENGINEER})
    [gap] = caught.value.gaps
    assert isinstance(gap, Gap)
    assert gap.wanted == "the right to ec2:AllocateAddress, ec2:CreateLaunchTemplate, ec2:CreateVpc"


def test_without_knowing_who_asks_nothing_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """finding A2: nobody would get into the cluster"""
    wanted = deployment(SERVE)
    denied = {question.name: DENIED for question in aws().questions(wanted, NOTHING)}
    with pytest.raises(InfeasibleError, match="an access entry for whoever makes it"):
        up(tmp_path, monkeypatch, wanted, denied)
