"""Capacity blocks that have not begun, and those that end: what is made of them before a run."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from meshctl import render
from meshctl.changes.notes import block_updates
from meshctl.changes.steps import PropertyChange, Step
from meshctl.cli.up import _bring_up
from meshctl.deploy.capacity import capacity_wait, scheduled_pools
from meshctl.deploy.guards.running.pools import reserved_pools
from meshctl.errors import NoCapacityError
from meshctl.model.deployment import Deployment, ReservedCapacity, Resolution
from meshctl.model.questions import ApiAnswer, Findings
from meshctl.operate.pool_status import PoolStatus
from meshctl.operate.status import EnvironmentStatus, status_text
from meshctl.resolve import report
from tests.unit.preflight.asking import (
    H100,
    NOW,
    RESERVATION,
    asked,
    deployment,
    findings,
    hours,
    reservation,
    up_as,
)
from tests.unit.preflight.test_scarce_pools import Time, ups
from tests.unit.stacks.declared_on_aws import declared, example

STARTS, ENDS = "2026-03-03T12:00:00Z", "2026-03-04T12:00:00Z"
SCHEDULED = reservation(State="scheduled", StartDate=hours(48), EndDate=hours(72), AvailableInstanceCount=0)
ACTIVE = reservation(StartDate=hours(-1), EndDate=hours(72))


def in_block(nodes: int, kind: str = "blocks", **pool: Any) -> Deployment:
    pools = {"serve": {"nodes": nodes, "accelerator": H100, "capacity": "reserved", **pool}}
    return deployment(pools, capacity={kind: [RESERVATION]})


def placed(wanted: Deployment, answer: ApiAnswer) -> Deployment:
    return findings(wanted, {RESERVATION: answer}).placed(wanted)


@pytest.mark.parametrize("kind", ["blocks", "reservations"])
def test_a8_a_pool_whose_reservation_is_scheduled_has_no_nodes_until_it_begins(kind: str) -> None:
    """a future-dated reservation is scheduled, too"""
    wanted = in_block(2, kind)
    pool = placed(wanted, SCHEDULED).pool("serve")
    assert pool.reserved == ReservedCapacity(starts=STARTS, ends=ENDS)
    assert (pool.nodes, pool.nodes_now) == (2, 0)
    [note] = [note for note in findings(wanted, {RESERVATION: SCHEDULED}).notes if RESERVATION in note]
    assert "pool serve starts 2026-03-03 12:00 UTC, with 0 nodes until then" in note
    assert "`meshctl up e` after that brings its nodes up" in note


def test_a8_the_next_run_after_the_start_brings_the_nodes() -> None:
    wanted = in_block(2)
    waiting = up_as(placed(wanted, SCHEDULED))
    again = findings(wanted, {RESERVATION: SCHEDULED}, waiting)
    assert again.placed(wanted).pool("serve").nodes_now == 0
    begun = findings(wanted, {RESERVATION: ACTIVE}, waiting)
    assert begun.gaps == ()
    pool = begun.placed(wanted).pool("serve")
    assert (pool.nodes_now, pool.reserved) == (2, ReservedCapacity(ends=ENDS))


def test_a8_a_pool_in_a_block_is_asked_about_in_each_run_as_blocks_end_and_can_be_extended() -> None:
    wanted = in_block(2)
    before = up_as(placed(wanted, ACTIVE))
    assert asked(wanted, before)[RESERVATION] == "describe_capacity_reservations"
    extended = findings(wanted, {RESERVATION: reservation(EndDate=hours(96), AvailableInstanceCount=0)}, before)
    assert extended.gaps == ()
    assert extended.placed(wanted).pool("serve").reserved == ReservedCapacity(ends="2026-03-05T12:00:00Z")
    open_ended = in_block(2, "reservations")
    assert RESERVATION not in asked(open_ended, up_as(open_ended))


GONE = ApiAnswer(code="InvalidCapacityReservationId.NotFound", asked_at_s=hours(73).timestamp())
OVER = reservation(State="expired", EndDate=hours(-1))


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (OVER, "it is expired"),
        (reservation(EndDate=hours(0.4)), "it ends at 2026-03-01 12:24 UTC"),
        (GONE, "it does not exist"),
    ],
)
def test_a8_a_block_that_is_over_does_not_stop_a_run_of_what_is_up(answer: ApiAnswer, text: str) -> None:
    """Its pool has no nodes from then on, in each further run, too."""
    wanted = in_block(2)
    before = placed(wanted, ACTIVE)
    for _ in range(2):
        made = findings(wanted, {RESERVATION: answer}, up_as(before))
        assert made.gaps == ()
        [note] = made.notes
        assert text in note
        assert "pool serve" in note
        before = reserved_pools.as_last_known(made.placed(wanted), before, up_as(before))
        pool = before.pool("serve")
        assert (pool.has_ended, pool.nodes, pool.nodes_now, pool.starts) == (True, 2, 0, "")
    unanswered = reserved_pools.as_last_known(wanted, before, up_as(before))
    assert unanswered.pool("serve").has_ended
    extended = findings(wanted, {RESERVATION: ACTIVE}, up_as(before))
    assert extended.gaps == ()
    assert extended.placed(wanted).pool("serve").nodes_now == 2


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (reservation(EndDate=hours(0.9)), "blocks"),  # nobody takes its machines yet
        (ApiAnswer(code="InvalidCapacityReservationId.NotFound", asked_at_s=NOW.timestamp()), "blocks"),
        (reservation(State="assessing"), "blocks"),
        (reservation(State="expired", EndDate=hours(-1)), "reservations"),  # its machines run on
    ],
)
def test_a8_nodes_stay_where_nobody_takes_them(answer: ApiAnswer, kind: str) -> None:
    wanted = in_block(2, kind)
    made = findings(wanted, {RESERVATION: answer}, up_as(placed(wanted, ACTIVE)))
    assert made.placed(wanted).pool("serve").nodes_now == 2


def test_a8_an_up_after_the_end_goes_on_with_the_rest_and_ends_with_what_is_missing() -> None:
    wanted = example()
    reserved = ReservedCapacity(ends=ENDS, has_ended=True)
    pool = wanted.pool("train").model_copy(update={"reserved": reserved, "reservation": RESERVATION})
    over = wanted.model_copy(update={"pools": tuple(pool if each.name == "train" else each for each in wanted.pools)})
    empty = {"minSize": 0, "maxSize": pool.nodes_max, "desiredSize": 0}
    assert (group(over)["scalingConfig"], group(over)["emptyUntil"]) == (empty, "another reservation")
    of_pool = {f"workload/{each.name}" for each in wanted.workloads if each.pool == "train"}
    assert of_pool
    assert not [item.name for item in render.platform_objects(over) if item.wait and item.subject in of_pool]
    waiting = scheduled_pools.waiting_workloads(over)
    assert set(waiting) == {name.partition("/")[2] for name in of_pool}
    end = f"the capacity block {RESERVATION} of pool train has ended (2026-03-04 12:00 UTC)"
    assert set(waiting.values()) == {f"has no nodes, as {end}"}
    assert scheduled_pools.starts(over) == {}
    error = scheduled_pools.ended(over)
    assert error is not None
    assert (error.exit_code, error.what) == (3, f"up aws-east: {end}; all else is up")
    time = Time()
    with pytest.raises(NoCapacityError):  # no try would find machines
        time.wait(ups(error), 50 * 3600)
    assert time.now == 0
    assert scheduled_pools.ended(wanted) is None


@pytest.mark.parametrize(
    ("machine", "minutes"), [("p5.48xlarge", 30), ("p6e-gb200.36xlarge", 60), ("trn2u.48xlarge", 60)]
)
def test_a8_machines_are_taken_back_before_a_block_ends(machine: str, minutes: int) -> None:
    wanted = in_block(2)
    pools = tuple(pool.model_copy(update={"machine": machine}) for pool in wanted.pools)
    wanted = wanted.model_copy(update={"pools": pools})
    made = findings(wanted, {RESERVATION: reservation(InstanceType=machine, EndDate=hours(24))})
    [note] = [note for note in made.notes if RESERVATION in note]
    assert f"begins to end the nodes of pool serve {minutes} minutes before" in note


def test_a8_what_nobody_answers_stays_as_the_last_run_knew_it() -> None:
    wanted = in_block(2)
    waiting = placed(wanted, SCHEDULED)
    assert reserved_pools.as_last_known(wanted, waiting, up_as(waiting)).pool("serve").starts == STARTS
    assert reserved_pools.as_last_known(placed(wanted, ACTIVE), waiting, up_as(waiting)).pool("serve").starts == ""
    other = in_block(2).model_copy(
        update={"pools": tuple(pool.model_copy(update={"reservation": "cr-9"}) for pool in waiting.pools)}
    )
    assert reserved_pools.as_last_known(wanted, other, up_as(other)).pool("serve").reserved is None


def test_findings_of_two_questions_keep_both_reservations() -> None:
    one, two = ReservedCapacity(starts=STARTS), ReservedCapacity(ends=ENDS)
    both = Findings(reserved={"a": one}) | Findings(reserved={"b": two})
    assert both.reserved == {"a": one, "b": two}


def test_a8_the_group_of_a_waiting_pool_is_empty_and_its_pods_are_not_waited_for() -> None:
    wanted = example()
    pool = wanted.pool("train").model_copy(update={"reserved": ReservedCapacity(starts=STARTS)})
    waiting = wanted.model_copy(
        update={"pools": tuple(pool if each.name == "train" else each for each in wanted.pools)}
    )
    assert group(wanted)["scalingConfig"]["desiredSize"] == pool.nodes
    assert "emptyUntil" not in group(wanted)
    empty = {"minSize": 0, "maxSize": pool.nodes_max, "desiredSize": 0}
    assert (group(waiting)["scalingConfig"], group(waiting)["emptyUntil"]) == (empty, STARTS)
    of_pool = {f"workload/{each.name}" for each in wanted.workloads if each.pool == "train"}
    awaited = {item.name for item in render.platform_objects(waiting) if item.wait}
    before = {item.name for item in render.platform_objects(wanted) if item.wait}
    assert before - awaited == {name for name in before if name.partition(":")[0] in of_pool}
    assert awaited


GROUP = "arn:aws:ec2:us-east-1:123456789012:placement-group/reserved-here"


def test_a8_a_reservation_of_a_placement_group_is_used_with_that_group() -> None:
    wanted = in_block(2, "reservations")
    reserved = placed(wanted, reservation(PlacementGroupArn=GROUP)).pool("serve").reserved
    assert reserved == ReservedCapacity(placement_group="reserved-here")
    mesh = example()
    pool = mesh.pool("train").model_copy(update={"reservation": RESERVATION, "reserved": reserved})
    mesh = mesh.model_copy(update={"pools": tuple(pool if each.name == "train" else each for each in mesh.pools)})
    resources = declared(mesh)
    data = resources.inputs["pool/train:launch-template"]["LaunchTemplateData"]
    assert data["Placement"] == {"GroupName": "reserved-here"}
    assert "pool/train:placement-group" not in resources.inputs


def test_a8_nodes_that_are_up_without_the_group_of_their_reservation_stay_so() -> None:
    wanted = in_block(4, "reservations")
    before = up_as(in_block(2, "reservations"))
    grown = placed(wanted, reservation(PlacementGroupArn=GROUP))
    kept = reserved_pools.as_last_known(grown, in_block(2, "reservations"), before)
    assert kept.pool("serve").reserved is None


def test_a8_a_service_of_a_waiting_pool_is_not_waited_for_either() -> None:
    wanted = example()
    chat = next(each for each in wanted.workloads if each.name == "chat")
    pools = tuple(
        pool.model_copy(update={"reserved": ReservedCapacity(starts=STARTS)}) if pool.name == chat.pool else pool
        for pool in wanted.pools
    )
    waiting = wanted.model_copy(update={"pools": pools})
    assert not [item.name for item in render.platform_objects(waiting) if item.wait and item.subject == "workload/chat"]
    assert scheduled_pools.waiting_workloads(waiting)["chat"] == (
        f"waits for the nodes of pool {chat.pool}, which start 2026-03-03 12:00 UTC"
    )
    assert scheduled_pools.starts(waiting) == {chat.pool: STARTS}


def test_a8_wait_for_capacity_waits_for_the_start() -> None:
    error = capacity_wait.not_started("e", {"train": STARTS}, NOW)
    assert (error.exit_code, error.retry_in_s) == (3, 48 * 3600)
    assert "pool train starts 2026-03-03 12:00 UTC" in error.what
    time = Time()
    assert time.wait(ups(error), 50 * 3600) == "up"
    assert time.now == pytest.approx(48 * 3600)
    time = Time()
    with pytest.raises(NoCapacityError):  # it begins after the time that was given
        time.wait(ups(error), 6 * 3600)
    assert time.now == 0
    time = Time()  # begun a moment ago, and not yet as AWS tells it
    assert time.wait(ups(*[capacity_wait.not_started("e", {"train": STARTS}, hours(49))] * 2), 3600) == "up"
    assert time.now == pytest.approx(120)


def test_a8_an_up_is_done_without_the_nodes_unless_it_was_asked_to_wait_for_them() -> None:
    results: list[Any] = [SimpleNamespace(starts=each) for each in ({"serve": STARTS}, {"serve": STARTS}, {})]
    mesh: Any = SimpleNamespace(session=SimpleNamespace(up=lambda *_, **__: results.pop(0)))
    context: Any = None  # nothing is said where nothing is measured
    wanted = in_block(2)
    assert _bring_up(context, mesh, wanted, None, allow_data_loss=False, waits=False).starts == {"serve": STARTS}
    with pytest.raises(NoCapacityError, match="the reservation of pool serve starts 2026-03-03 12:00 UTC"):
        _bring_up(context, mesh, wanted, None, allow_data_loss=False, waits=True)
    assert _bring_up(context, mesh, wanted, None, allow_data_loss=False, waits=True).starts == {}


def test_a8_status_tells_when_a_pool_starts_and_until_when_it_is_reserved() -> None:
    pools = (PoolStatus("train", "p5", 0, 0, starts=STARTS), PoolStatus("serve", "p5", 2, 2, ends=ENDS))
    text = status_text(EnvironmentStatus("e", "up", pools))
    assert "0/0 nodes ready  p5  (starts 2026-03-03 12:00 UTC: `up` after that brings its nodes up)" in text
    assert "2/2 nodes ready  p5  (reserved until 2026-03-04 12:00 UTC)" in text


def test_a8_status_tells_of_a_pool_whose_block_has_ended() -> None:
    text = status_text(EnvironmentStatus("e", "up", (PoolStatus("serve", "p5", 0, 0, ends=ENDS, has_ended=True),)))
    assert "0/0 nodes ready  p5  (its block ended 2026-03-04 12:00 UTC)" in text


def test_a8_check_tells_it_in_the_line_of_the_pool() -> None:
    wanted = placed(in_block(2), SCHEDULED)
    resolution = Resolution(mesh="m", environment="e", deployment=wanted, pools=wanted.pools)
    text = " ".join("".join(report.human("m", [resolution], count=1, verbose=False)).split())
    assert "2 x p5.48xlarge, capacity-block; starts 2026-03-03 12:00 UTC, 0 nodes until then;" in text
    assert "reserved until 2026-03-04 12:00 UTC" in text


def group(deployment: Deployment) -> dict[str, Any]:
    return declared(deployment).inputs["pool/train:nodegroup"]


def test_a8_a_plan_says_that_the_nodes_of_a_block_go_before_others_come() -> None:
    urn = "urn:pulumi:e::m::meshaws:eks:Nodegroup::pool/serve:nodegroup"
    update = Step(urn, "meshaws:eks:Nodegroup", "update", properties=(PropertyChange("launchTemplate.version"),))
    labels = Step(urn, "meshaws:eks:Nodegroup", "update", properties=(PropertyChange("labels"),))
    wanted = in_block(2)
    [note] = block_updates.notes(wanted, wanted, [update])
    assert note.startswith("pool serve: its nodes are in a capacity block")
    assert block_updates.notes(wanted, wanted, [labels]) == []
    assert block_updates.notes(None, wanted, [update]) == []
    assert block_updates.notes(placed(wanted, SCHEDULED), wanted, [update]) == []
    assert block_updates.notes(in_block(2, "reservations"), in_block(2, "reservations"), [update]) == []
