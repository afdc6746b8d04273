"""How long a call is made again that the API refuses for now: its row's patience, at most until the operation's end."""

from __future__ import annotations

from typing import Any

import pytest

from providers.aws.client import AwsClients, Settings
from providers.aws.rows_engine import calls
from providers.aws.rows_engine.calls import Caller
from providers.aws.rows_engine.row import Call
from providers.plugin.provider import ProviderError
from tests.unit.providers.provider_clock import Time

DELETE = Call("DeleteSubnet", {}, transient=("DependencyViolation",), patience_s=300)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Time:
    """Of calls that are refused for ever."""
    clock = Time()
    monkeypatch.setattr(calls, "time", clock)
    monkeypatch.setattr(Caller, "pause", lambda _self, seconds, _what: clock.wait(seconds))

    def refuse(*_: Any, **__: Any) -> Any:
        raise ProviderError("DependencyViolation", "DeleteSubnet: the subnet has dependencies")

    monkeypatch.setattr(Caller, "_once", refuse)
    return clock


def refused(deadline: float | None) -> list[str]:
    """What is said of it until it fails."""
    lines: list[str] = []
    caller = Caller(AwsClients(Settings(region="us-east-1")), Time(), lines.append, deadline)  # type: ignore[arg-type]
    with pytest.raises(ProviderError, match="the subnet has dependencies"):
        caller.run("ec2", DELETE, {})
    return lines


def test_a_call_is_made_again_for_as_long_as_its_row_says(clock: Time) -> None:
    began_s = clock.monotonic()
    assert refused(None)
    assert 280 < clock.monotonic() - began_s <= 300


def test_but_not_beyond_the_time_that_the_operation_has(clock: Time) -> None:
    began_s = clock.monotonic()
    assert refused(began_s + 60)
    assert 45 < clock.monotonic() - began_s <= 60


def test_nor_for_longer_than_the_row_says_where_the_operation_has_more(clock: Time) -> None:
    began_s = clock.monotonic()
    assert refused(began_s + 3600)
    assert 280 < clock.monotonic() - began_s <= 300
