"""Capacity reservations and capacity blocks: what AWS says of them before a node group asks for their instances."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl.model.deployment import Deployment, Pool
from meshctl.model.questions import ApiAnswer
from tests.unit.preflight.asking import (
    H100,
    NOTHING,
    RESERVATION,
    asked,
    deployment,
    findings,
    hours,
    reservation,
    up_as,
)


def in_block(nodes: int, **pool: Any) -> Deployment:
    pools = {"serve": {"nodes": nodes, "accelerator": H100, "capacity": "reserved", **pool}}
    return deployment(pools, capacity={"blocks": [RESERVATION]})


@pytest.mark.parametrize(
    ("answer", "best"),
    [
        (ApiAnswer(code="InvalidCapacityReservationId.NotFound"), "it does not exist"),
        (reservation(State="expired"), "it is expired"),
        (reservation(State="payment-failed"), "it is payment-failed"),
        (reservation(InstanceType="p5e.48xlarge"), "it is for p5e.48xlarge"),
        (reservation(AvailabilityZone="us-east-1f"), "no subnet there"),
        (reservation(TotalInstanceCount=1, AvailableInstanceCount=1), "it has 1"),
        (reservation(AvailableInstanceCount=1), "1 of its 4 is free"),
        (reservation(State="scheduled", TotalInstanceCount=1, AvailableInstanceCount=0), "it has 1"),
        (reservation(EndDate=hours(0.5)), "it ends at 2026-03-01 12:30 UTC"),
        (reservation(InstanceMatchCriteria="open", InstancePlatform="Windows"), "it is for Windows"),
        (
            reservation(ReservationType="default"),
            "it is no capacity block, and belongs under `capacity.reservations`",
        ),
    ],
)
def test_a8_a_block_that_the_pool_can_not_have_is_a_gap_before_anything_is_made(answer: ApiAnswer, best: str) -> None:
    [gap] = findings(in_block(2), {RESERVATION: answer}).gaps
    assert (gap.subject, gap.best) == (f"capacity/{RESERVATION}", best)
    assert gap.hint


def test_a8_a_block_among_the_reservations_is_a_gap_before_anything_is_made() -> None:
    pools = {"serve": {"nodes": 2, "accelerator": H100, "capacity": "reserved"}}
    wanted = deployment(pools, capacity={"reservations": [RESERVATION]})
    [gap] = findings(wanted, {RESERVATION: reservation(ReservationType="capacity-block")}).gaps
    assert gap.best == "it is a capacity block, and belongs under `capacity.blocks`"
    assert findings(wanted, {RESERVATION: reservation(ReservationType="default")}).gaps == ()


def test_a8_a_block_that_has_not_begun_is_told_with_its_start_and_end() -> None:
    answer = reservation(State="scheduled", StartDate=hours(48), EndDate=hours(72), AvailableInstanceCount=0)
    made = findings(in_block(2), {RESERVATION: answer})
    assert made.gaps == ()
    [note] = [note for note in made.notes if RESERVATION in note]
    assert "scheduled" in note
    assert "2026-03-03 12:00 UTC to 2026-03-04 12:00 UTC" in note
    assert "4 x p5.48xlarge in us-east-1b" in note


def test_a8_a_block_that_runs_is_told_with_its_end() -> None:
    [note] = findings(in_block(2), {RESERVATION: reservation(EndDate=hours(24))}).notes
    assert "active" in note
    assert "until 2026-03-02 12:00 UTC" in note
    assert findings(in_block(2), {RESERVATION: reservation()}).notes == ()


def test_a8_a_pool_that_is_up_and_grows_asks_for_what_is_still_free() -> None:
    wanted, before = in_block(4), up_as(in_block(2))
    assert asked(wanted, before).keys() == {RESERVATION, "subnets", "caller"}
    assert findings(wanted, {RESERVATION: reservation(AvailableInstanceCount=2)}, before).gaps == ()
    [gap] = findings(wanted, {RESERVATION: reservation(AvailableInstanceCount=1)}, before).gaps
    assert (gap.wanted, gap.best) == ("2 more x p5.48xlarge for pool serve", "1 of its 4 is free")


def test_a8_a_pool_that_is_up_stays_where_it_is() -> None:
    wanted, before = in_block(4), up_as(in_block(2))
    assert findings(wanted, {RESERVATION: reservation()}, before).zones == {}


def test_a8_a_pool_that_shrinks_asks_nothing() -> None:
    one, two = ({**in_block(count).pool("serve").model_dump(), "market": "reserved"} for count in (1, 2))
    wanted, before = (in_block(1).model_copy(update={"pools": (Pool(**pool),)}) for pool in (one, two))
    assert asked(wanted, up_as(before)) == {}


def test_a8_two_pools_of_one_reservation_are_counted_together() -> None:
    pool = {"nodes": 3, "accelerator": H100, "capacity": "reserved"}
    other = deployment({"serve": pool}, capacity={"reservations": [RESERVATION]}).pool("serve")
    twin = other.model_copy(update={"name": "train"})
    wanted = deployment({"serve": pool}, capacity={"reservations": [RESERVATION]})
    wanted = wanted.model_copy(update={"pools": (*wanted.pools, twin)})
    [gap] = findings(wanted, {RESERVATION: reservation()}, NOTHING).gaps
    assert gap.wanted == "6 x p5.48xlarge for pools serve, train"


@pytest.mark.parametrize("platform", ["Linux with SQL Server Standard", "Red Hat Enterprise Linux", "Windows"])
def test_a8_a_reservation_for_another_platform_takes_no_node(platform: str) -> None:
    """A reservation is used by instances of its platform alone, and nodes are `Linux/UNIX`."""
    [gap] = findings(in_block(2), {RESERVATION: reservation(InstancePlatform=platform)}).gaps
    assert gap.best == f"it is for {platform}"
    assert findings(in_block(2), {RESERVATION: reservation(InstancePlatform="Linux/UNIX")}).gaps == ()
