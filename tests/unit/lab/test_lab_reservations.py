"""Capacity reservations and blocks of the lab's AWS API: when they have machines, and what starts none in them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from meshctl.lab.aws import rules
from meshctl.lab.aws.ec2 import reservations
from meshctl.lab.aws.eks import launch_rules, nodegroup_state
from meshctl.lab.aws.eks.launch_rules import Issue, Launch
from meshctl.lab.aws.eks.nodegroup_state import Nodegroup

P5, ULTRASERVER = "p5.48xlarge", "p6e-gb200.36xlarge"
START = datetime(2026, 12, 2, 11, 30, tzinfo=UTC)


def at(hours: float) -> datetime:
    """As many hours after the start."""
    return START + timedelta(hours=hours)


def block(machine: str = P5, now: datetime | None = None) -> dict[str, Any]:
    """A block of two machines for a day. `now`: in the state that it has then."""
    bought = {
        "CapacityReservationId": "cr-1",
        "InstanceType": machine,
        "AvailabilityZone": "us-east-1a",
        "TotalInstanceCount": 2,
        "AvailableInstanceCount": 2,
        "State": "scheduled",
        "StartDate": START,
        "EndDate": at(24),
        "ReservationType": reservations.BLOCK,
    }
    return {**bought, "State": reservations.state_at(bought, now)} if now else bought


def template(**more: Any) -> dict[str, Any]:
    target = {"CapacityReservationTarget": {"CapacityReservationId": "cr-1"}}
    return {
        "CapacityReservationSpecification": target,
        "InstanceMarketOptions": {"MarketType": "capacity-block"},
        **more,
    }


def nodegroup(desired: int) -> Nodegroup:
    scaling = {"minSize": 0, "maxSize": 2, "desiredSize": desired}
    named = {"instanceTypes": [P5], "subnets": ["s"], "capacityType": "CAPACITY_BLOCK", "version": "1.35"}
    described = {"status": "ACTIVE", "scalingConfig": scaling, "health": {"issues": []}, "labels": {}, "taints": []}
    described |= {**named, "amiType": "AL2023_x86_64_NVIDIA"}
    return Nodegroup(described, ["us-east-1a"], template(), nodes=[P5] * desired)


@pytest.mark.parametrize(
    ("hours", "state", "has_machines"),
    [
        (-1, "scheduled", False),
        (1, "active", True),
        (23.4, "active", True),
        (23.6, "active", False),
        (25, "expired", False),
    ],
)
def test_a8_a_block_has_machines_from_its_start_until_half_an_hour_before_its_end(
    hours: float, state: str, *, has_machines: bool
) -> None:
    bought = block()
    assert reservations.state_at(bought, at(hours)) == state
    assert reservations.has_machines(bought, at(hours)) is has_machines


def test_a8_ultraservers_are_taken_back_an_hour_before() -> None:
    assert reservations.has_machines(block(ULTRASERVER), at(22.9))
    assert not reservations.has_machines(block(ULTRASERVER), at(23.1))


def test_a8_a_cancelled_or_unlimited_reservation_is_what_it_is() -> None:
    unlimited = {**block(), "ReservationType": "default", "State": "active"}
    assert reservations.has_machines(unlimited, at(999))
    assert reservations.state_at({**block(), "State": "cancelled"}, at(1)) == "cancelled"


def test_a8_nodes_of_a_block_go_before_its_end_and_their_group_is_degraded() -> None:
    group = nodegroup(2)
    assert nodegroup_state.lose_nodes(group, block(), at(1)) is None
    assert nodegroup_state.entry(group)["desiredSize"] == 2
    issue = nodegroup_state.lose_nodes(group, block(), at(23.6))
    assert issue is not None
    assert issue.rule == rules.BLOCK_END
    assert nodegroup_state.lose_nodes(group, block(), at(23.7)) is None  # told once
    nodegroup_state.settle(group, 0)
    assert group.described["status"] == "DEGRADED"
    assert nodegroup_state.entry(group)["desiredSize"] == 0
    assert nodegroup_state.lose_nodes(nodegroup(0), block(), at(25)) is None


def test_a8_a_group_that_is_emptied_after_the_end_of_its_block_stays_degraded() -> None:
    group = nodegroup(2)
    assert nodegroup_state.lose_nodes(group, block(), at(23.6)) is not None
    group.described["scalingConfig"] |= {"minSize": 0, "desiredSize": 0}
    assert nodegroup_state.lose_nodes(group, block(), at(25)) is None
    nodegroup_state.settle(group, 0)
    assert group.described["status"] == "DEGRADED"
    nodegroup_state.lose_nodes(group, block(now=at(1)), at(1))
    nodegroup_state.settle(group, 0)
    assert group.described["status"] == "ACTIVE"


def test_a9_a_node_group_says_while_an_update_of_it_runs() -> None:
    group = nodegroup(2)
    for updating, status in ((True, "UPDATING"), (True, "UPDATING"), (False, "ACTIVE")):
        nodegroup_state.settle(group, 2, updating=updating)
        assert group.described["status"] == status


def launched(nodes: int, reservation: dict[str, Any], **more: Any) -> Issue | None:
    launch = Launch("us-east-1", (P5,), ("us-east-1a",), nodes, template(**more), "AL2023_x86_64_NVIDIA")
    return launch_rules.launch_issue(
        launch,
        security_groups=(),
        free_addresses=9,
        reservations={"cr-1": reservation},
        vcpus_in_use=0,
        vcpu_quota=0,
        has_spot_role=True,
    )


def test_a8_no_node_starts_in_a_block_before_it_begins_but_an_empty_group_may_wait() -> None:
    scheduled = block(now=at(-1))
    issue = launched(2, scheduled)
    assert issue is not None
    assert "'cr-1' is scheduled" in issue.message
    assert launched(0, scheduled) is None
    assert launched(2, block(now=at(1))) is None


def test_a8_a_reservation_of_a_placement_group_takes_only_what_names_it() -> None:
    arn = "arn:aws:ec2:us-east-1:123456789012:placement-group/reserved"
    reservation = {**block(now=at(1)), "PlacementGroupArn": arn}
    for more in ({}, {"Placement": {"GroupName": "another"}}):
        issue = launched(2, reservation, **more)
        assert issue is not None
        assert issue.rule == rules.RESERVATION_GROUP
    assert launched(2, reservation, Placement={"GroupName": "reserved"}) is None
