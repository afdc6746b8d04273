"""Rights to share names in Route 53, as IAM simulates them before a workload is expanded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from meshctl.clients.aws import aws_questions
from meshctl.deploy.guards import name_rights
from meshctl.errors import CredentialsError
from meshctl.lab.aws.iam.simulations import simulate
from meshctl.load import load
from meshctl.model.environment import Environments
from meshctl.model.questions import ApiAnswer, ApiQuestion, Findings
from meshctl.policies import least_policy

EXAMPLE = Path(__file__).parents[3] / "examples" / "llm-prod"
ALICE = "arn:aws:iam::123456789012:user/alice"
MESH, ENVIRONMENTS = load(EXAMPLE / "mesh.yaml", EXAMPLE / "environments.yaml")


def printed() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(json.dumps(least_policy(MESH, ENVIRONMENTS, "aws-east").document))
    return document


def for_expand() -> dict[str, Any]:
    policy = least_policy(MESH, ENVIRONMENTS, "aws-east", for_expand=True)
    document: dict[str, Any] = json.loads(json.dumps(policy.document))
    return document


def findings(
    monkeypatch: pytest.MonkeyPatch,
    *policies: dict[str, Any],
    caller: str = ALICE,
    environments: Environments = ENVIRONMENTS,
) -> Findings:
    """As IAM answers whoever has these policies."""

    def ask(questions: tuple[ApiQuestion, ...], **_: Any) -> dict[str, ApiAnswer]:
        answers: dict[str, ApiAnswer] = {}
        waiting = list(questions)
        while waiting:
            question = waiting.pop()
            is_caller = question.operation == "get_caller_identity"
            evaluated = {} if is_caller else {"EvaluationResults": simulate(list(policies), question.arguments, {})}
            answers[question.name] = ApiAnswer({"Arn": caller} if is_caller else evaluated)
            waiting += question.then(answers[question.name]) if question.then else ()
        return answers

    monkeypatch.setattr(aws_questions, "ask", ask)
    return name_rights.ask(environments)


def zone_by_id() -> Environments:
    assert ENVIRONMENTS.dns is not None
    return ENVIRONMENTS.model_copy(update={"dns": ENVIRONMENTS.dns.model_copy(update={"zone": "Z0123456789"})})


@pytest.mark.parametrize("environments", [ENVIRONMENTS, zone_by_id()], ids=["zone by name", "zone by id"])
def test_both_printed_policies_are_enough(monkeypatch: pytest.MonkeyPatch, environments: Environments) -> None:
    assert findings(monkeypatch, printed(), for_expand(), environments=environments) == Findings()


def test_without_the_one_for_expand_each_missing_right_is_named_with_the_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    [gap] = findings(monkeypatch, printed()).caller_gaps
    assert gap.wanted == (
        "the right to route53:ChangeTagsForResource, route53:CreateHealthCheck, route53:DeleteHealthCheck,"
        " route53:GetHealthCheck, route53:ListHealthChecks, route53:ListTagsForResource, route53:UpdateHealthCheck"
    )
    assert gap.hint == "attach the policy that `meshctl doctor --iam-policy aws-east --for expand` prints"


def test_the_records_of_the_zone_are_asked_about_where_its_id_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    [gap] = findings(monkeypatch, for_expand(), environments=zone_by_id()).caller_gaps
    assert gap.wanted == "the right to route53:ChangeResourceRecordSets"


def test_who_has_every_right_is_asked_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    assert findings(monkeypatch, caller="arn:aws:iam::123456789012:root") == Findings()


def test_without_names_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    assert findings(monkeypatch, environments=ENVIRONMENTS.model_copy(update={"dns": None})) == Findings()


def test_no_answer_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_questions: object, **_: Any) -> dict[str, ApiAnswer]:
        raise CredentialsError("no credentials")

    monkeypatch.setattr(aws_questions, "ask", refuse)
    made = name_rights.ask(ENVIRONMENTS)
    assert made.notes == ("not checked: whether you may share names in example.com (no credentials)",)
