"""Calls that AWS denies, throttles or leaves unanswered: each is an answer of its own, and the others count."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import botocore.exceptions
import pytest

from meshctl.clients.aws import aws_questions
from meshctl.errors import CredentialsError
from meshctl.model.questions import NO_ANSWER, ApiAnswer, ApiQuestion

VPCS = ApiQuestion("vpcs", "ec2", "describe_vpcs", "how many VPCs there are")
ZONES = ApiQuestion("zones", "ec2", "describe_availability_zones", "which zones there are")
ELSEWHERE = ApiQuestion("region", "ec2", "describe_regions", "whether it is enabled", region="us-east-1")


def refusal(code: str) -> Callable[[], Any]:
    def answer() -> Any:
        raise botocore.exceptions.ClientError({"Error": {"Code": code, "Message": "no"}}, "Operation")

    return answer


class Aws:
    """A session of the SDK with these answers, by operation."""

    def __init__(self, **answers: Callable[[], Any]) -> None:
        self.answers = answers
        self.regions: list[str | None] = []

    def create_client(self, _service: str, *, region_name: str | None = None, **_: Any) -> Any:
        self.regions.append(region_name)
        return self

    def can_paginate(self, _operation: str) -> bool:
        return False

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        return lambda **_arguments: self.answers[operation]()


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, ApiAnswer]]:
    def with_answers(*questions: ApiQuestion, timeout_s: float = 20, **answers: Callable[[], Any]) -> Any:
        monkeypatch.setattr(aws_questions, "aws_session", lambda _profile, _region: Aws(**answers))
        return aws_questions.ask(questions, profile="", region="eu-central-2", timeout_s=timeout_s)

    return with_answers


def test_a_call_that_is_denied_or_throttled_leaves_the_others(ask: Callable[..., dict[str, ApiAnswer]]) -> None:
    for code in ("UnauthorizedOperation", "RequestLimitExceeded"):
        answers = ask(
            VPCS, ZONES, describe_vpcs=refusal(code), describe_availability_zones=lambda: {"AvailabilityZones": []}
        )
        assert (answers["vpcs"].code, answers["zones"].code) == (code, "")
        assert answers["zones"].asked_at_s


def test_a_call_that_hangs_is_given_up_in_time(ask: Callable[..., dict[str, ApiAnswer]]) -> None:
    forever = threading.Event()
    try:
        answers = ask(
            VPCS, ZONES, timeout_s=0.2, describe_vpcs=forever.wait, describe_availability_zones=lambda: {"Zones": []}
        )
    finally:
        forever.set()
    assert answers["vpcs"].code == NO_ANSWER
    assert answers["zones"].content == {"Zones": []}


def test_a_connection_that_breaks_is_no_answer(ask: Callable[..., dict[str, ApiAnswer]]) -> None:
    def broken() -> Any:
        raise botocore.exceptions.ReadTimeoutError(endpoint_url="https://ec2.example")

    answers = ask(VPCS, ZONES, describe_vpcs=broken, describe_availability_zones=dict)
    assert (answers["vpcs"].code, answers["zones"].code) == (NO_ANSWER, "")


def test_a_region_that_refuses_the_keys_is_no_fault_of_the_keys(ask: Callable[..., dict[str, ApiAnswer]]) -> None:
    """A region that is not enabled says AuthFailure to valid keys."""
    answers = ask(VPCS, ELSEWHERE, describe_vpcs=refusal("AuthFailure"), describe_regions=lambda: {"Regions": []})
    assert answers["vpcs"].code == "AuthFailure"
    assert not answers["region"].is_refused


def test_keys_that_nobody_accepts_are_an_error(ask: Callable[..., dict[str, ApiAnswer]]) -> None:
    with pytest.raises(CredentialsError):
        ask(VPCS, ZONES, describe_vpcs=refusal("AuthFailure"), describe_availability_zones=refusal("ExpiredToken"))
