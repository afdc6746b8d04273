"""Questions that only the answer to another one makes possible, and what AWS says of the keys when it says little."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import botocore.exceptions
import pytest

from meshctl.clients.aws import aws_questions
from meshctl.errors import CredentialsError
from meshctl.model.questions import NO_ANSWER, ApiAnswer, ApiQuestion
from tests.unit.preflight.test_asking_aws import VPCS, ZONES, Aws, refusal

ROLE = ApiQuestion("role", "iam", "get_role", "the role's path", {"RoleName": "platform"})
CALLER = ApiQuestion("caller", "sts", "get_caller_identity", "whose the credentials are")


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, ApiAnswer]]:
    def with_answers(*questions: ApiQuestion, timeout_s: float = 20, **answers: Callable[[], Any]) -> Any:
        monkeypatch.setattr(aws_questions, "aws_session", lambda _profile, _region: Aws(**answers))
        return aws_questions.ask(questions, profile="", region="us-east-1", timeout_s=timeout_s)

    return with_answers


def test_the_answer_to_a_question_leads_to_another_one(ask: Callable[..., dict[str, ApiAnswer]]) -> None:
    seen: list[ApiAnswer] = []

    def then(answer: ApiAnswer) -> tuple[ApiQuestion, ...]:
        seen.append(answer)
        return (ROLE,)

    answers = ask(
        replace(CALLER, then=then),
        VPCS,
        get_caller_identity=lambda: {"Arn": "arn"},
        get_role=lambda: {"Role": {}},
        describe_vpcs=dict,
    )
    assert answers.keys() == {"caller", "role", "vpcs"}
    assert [answer.content for answer in seen] == [{"Arn": "arn"}]
    assert answers["role"].content == {"Role": {}}


def test_a_second_question_that_hangs_is_given_up_with_the_first(ask: Callable[..., dict[str, ApiAnswer]]) -> None:
    forever = threading.Event()
    try:
        caller = replace(CALLER, then=lambda _: (ROLE,))
        answers = ask(caller, timeout_s=0.2, get_caller_identity=dict, get_role=forever.wait)
    finally:
        forever.set()
    assert (answers["caller"].code, answers["role"].code) == ("", NO_ANSWER)


@pytest.mark.parametrize("questions", [(VPCS, ZONES), (ZONES, VPCS)])
def test_keys_that_aws_refuses_are_an_error_though_one_call_hangs(
    ask: Callable[..., dict[str, ApiAnswer]], questions: tuple[ApiQuestion, ...]
) -> None:
    forever = threading.Event()
    try:
        with pytest.raises(CredentialsError):
            ask(
                *questions,
                timeout_s=0.2,
                describe_vpcs=forever.wait,
                describe_availability_zones=refusal("ExpiredToken"),
            )
    finally:
        forever.set()


def test_what_aws_says_of_the_keys_counts_more_than_a_connection_that_breaks(
    ask: Callable[..., dict[str, ApiAnswer]],
) -> None:
    def broken() -> Any:
        raise botocore.exceptions.ReadTimeoutError(endpoint_url="https://ec2.example")

    with pytest.raises(CredentialsError):
        ask(VPCS, ZONES, describe_vpcs=broken, describe_availability_zones=refusal("ExpiredToken"))
