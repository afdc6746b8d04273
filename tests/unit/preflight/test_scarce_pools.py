"""Pools for which there are no machines: what is said, what else is worth a try, and how `up` waits for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from meshctl.deploy.capacity import scarce_pools
from meshctl.deploy.capacity.capacity_wait import until_there_is_capacity
from meshctl.deploy.runs import environment_up
from meshctl.deploy.session import Session
from meshctl.engine.failures import failure_of
from meshctl.engine.run import StackRun
from meshctl.errors import (
    EngineError,
    InterruptedByUserError,
    MeshError,
    NoCapacityError,
    ResourceFailure,
    ResourcesFailedError,
)
from meshctl.model.deployment import Deployment
from meshctl.model.environment import Environments
from meshctl.model.questions import ApiAnswer
from meshctl.model.stack_state import StackState
from meshctl.platforms import registry
from tests.unit.preflight.test_aws_preflight import SERVE, WEB, deployment

FILE = {"apiVersion": "meshctl/v1", "kind": "Environments", "environments": {"e": {"provider": "kubernetes"}}}
TEXT = (
    "Nodegroup CREATE_FAILED: Could not launch On-Demand Instances. InsufficientInstanceCapacity - We currently do not"
    " have sufficient p5.48xlarge capacity in the Availability Zone you requested (us-east-1a)."
    " [code=AsgInstanceLaunchFailures]"
)


def failed(*subjects: str, text: str = TEXT) -> ResourcesFailedError:
    urns = [f"urn:pulumi:e::m::meshaws:eks:Nodegroup::{subject}:nodegroup" for subject in subjects]
    return ResourcesFailedError("up e: failed", failures=[failure_of(urn, text, "aws") for urn in urns])


def mesh() -> Deployment:
    return deployment({**SERVE, **WEB})


def offerings(**zones: str) -> dict[str, ApiAnswer]:
    """`p5_48xlarge="ab"`: the machine and the letters of its zones."""
    rows = [
        {"InstanceType": machine.replace("_", "."), "Location": f"us-east-1{zone}"}
        for machine, letters in zones.items()
        for zone in letters
    ]
    return {"elsewhere": ApiAnswer({"InstanceTypeOfferings": rows})}


def places(answers: dict[str, ApiAnswer], **changes: object) -> tuple[str, ...]:
    preflight = registry.platform("aws").preflight
    assert preflight is not None
    assert preflight.elsewhere is not None
    pool = mesh().pool("serve").model_copy(update=changes)
    return preflight.elsewhere.places(mesh(), pool, answers)


def test_finding_a7_a_pool_without_machines_is_told_with_its_cost_and_what_goes_on() -> None:
    wanted, error = mesh(), failed("pool/serve")
    [pool] = scarce_pools.scarce(wanted, error)
    told = scarce_pools.no_capacity(wanted, [pool], error, {"serve": ("p5.48xlarge in us-east-1b",)})
    assert (told.code, told.exit_code, told.failures) == ("no-capacity", 3, error.failures)
    assert "no machines at the moment for pool serve (2 x p5.48xlarge); all else is up" in told.what
    assert "InsufficientInstanceCapacity" in told.why
    assert "serve 110.08 USD/h" in told.why
    assert told.hint.startswith("for pool serve, try p5.48xlarge in us-east-1b; `meshctl up e` tries again")


@pytest.mark.parametrize(
    "error",
    [
        failed("pool/serve", text=TEXT.replace("InsufficientInstanceCapacity", "VcpuLimitExceeded")),
        ResourcesFailedError(
            "up e: failed",
            failures=[*failed("pool/serve").failures, ResourceFailure("workload/chat", "urn", "exits", "CrashLoop")],
        ),
    ],
)
def test_what_time_does_not_mend_stays_the_error_that_it_is(error: ResourcesFailedError) -> None:
    assert scarce_pools.explained(mesh(), error) is error


def test_a8_the_words_for_a_block_that_is_over_name_it_and_that_all_else_is_up() -> None:
    """`tests/faults/test_capacity_blocks` has an `up` in which one ends."""
    text = TEXT.replace(
        TEXT[TEXT.index("Insufficient") : TEXT.index(" [code")],
        "InvalidCapacityReservationState - The capacity reservation 'cr-1' is expired.",
    )
    error = failed("pool/serve", text=text)
    [pool] = scarce_pools.scarce(mesh(), error)
    ended = scarce_pools.no_capacity(mesh(), [pool], error, {})
    assert ended.exit_code == 3
    assert "all else is up" in ended.what
    assert "The capacity reservation 'cr-1' is expired" in ended.why


def test_other_zones_and_machines_are_worth_a_try() -> None:
    """finding A7: from the offerings and the machines that fit, too"""
    answers = offerings(p5_48xlarge="abc", p5e_48xlarge="b")
    zones, machines = places(answers, alternatives=("p5e.48xlarge", "p5en.48xlarge"), zones=("us-east-1a",))
    assert zones == "p5.48xlarge in us-east-1b or us-east-1c (put the zone first in `zones` of e)"
    assert machines == "another machine that fits: p5e.48xlarge in us-east-1b"
    assert places(offerings(p5_48xlarge="a"), alternatives=(), zones=("us-east-1a",)) == ()
    assert places({"elsewhere": ApiAnswer(code="UnauthorizedOperation")}) == ()
    assert places(answers, reservation="cr-1") == ("another reservation in `capacity` of e: cr-1 has none for it now",)


@dataclass
class Time:
    now: float = 0
    said: list[str] = field(default_factory=list)

    def wait(self, up: Callable[[], str], limit_s: float, interrupted_at: float = float("inf")) -> str:
        return until_there_is_capacity(
            up,
            limit_s,
            say=self.said.append,
            is_interrupted=lambda: self.now >= interrupted_at,
            clock=lambda: self.now,
            sleep=self._sleep,
        )

    def _sleep(self, seconds: float) -> None:
        self.now += seconds


def ups(*errors: MeshError) -> Callable[[], str]:
    left = list(errors)

    def up() -> str:
        if left:
            raise left.pop(0)
        return "up"

    return up


NONE_LEFT = NoCapacityError("up e: no machines", failures=[])


def test_names_that_cannot_be_written_hide_no_missing_machines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`--wait-for-capacity` goes on for missing machines only."""

    class Names(Session):
        @property
        def dns_records(self) -> Any:
            raise MeshError("Route 53 does not answer")

    monkeypatch.setattr(scarce_pools, "places", lambda *_: {})
    run = mock.Mock(spec=StackRun)
    run.up.side_effect = failed("pool/serve")
    run.state.return_value = StackState()
    session = Names(tmp_path, "m", Environments.model_validate(FILE))
    with pytest.raises(NoCapacityError) as caught:
        environment_up._run_up(session, run, mesh(), StackState(), set_names=True)
    assert caught.value.why.endswith("; its names were not written: Route 53 does not answer")


def test_up_waits_for_capacity_with_growing_pauses() -> None:
    time = Time()
    assert time.wait(ups(*[NONE_LEFT] * 6), 6 * 3600) == "up"
    pauses = [60, 120, 240, 480, 900, 900]
    assert time.now == pytest.approx(sum(pauses))
    assert time.said[0] == "up e: no machines; trying again in 1 min, for 6 h more"
    assert len(time.said) == len(pauses)


def test_the_wait_for_capacity_ends_at_its_limit_after_a_last_try() -> None:
    time = Time()
    with pytest.raises(NoCapacityError):
        time.wait(ups(*[NONE_LEFT] * 99), 100)
    assert time.now == pytest.approx(100)
    assert [line.partition("; ")[2] for line in time.said] == [
        "trying again in 1 min, for 2 min more",
        "trying again in 40 s, for 40 s more",
    ]


def test_without_a_limit_and_for_other_errors_there_is_one_try() -> None:
    time = Time()
    with pytest.raises(NoCapacityError):
        time.wait(ups(NONE_LEFT), 0)
    with pytest.raises(EngineError, match="broken"):
        time.wait(ups(EngineError("broken")), 3600)
    assert (time.now, time.said) == (0, [])


def test_ctrl_c_ends_a_pause() -> None:
    time = Time()
    with pytest.raises(InterruptedByUserError, match="while waiting for machines"):
        time.wait(ups(NONE_LEFT), 3600, interrupted_at=5)
    assert time.now < 6
