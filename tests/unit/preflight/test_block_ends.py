"""Training in a capacity block is asked to save before its nodes are taken back, with nobody at a terminal."""

from __future__ import annotations

import json
from typing import Any

import pytest

from meshctl import render
from meshctl.deploy.capacity import scheduled_pools
from meshctl.model.deployment import Checkpoint, Deployment, ReservedCapacity
from meshctl.model.observed import JobState
from meshctl.model.pods import own_images
from meshctl.render.controllers import block_end
from tests.unit.preflight.asking import RESERVATION, findings, hours, reservation, up_as
from tests.unit.stacks.declared_on_aws import example

END = "2026-03-02T12:00:00Z"
ACTIVE = reservation(EndDate=hours(24), InstanceType="p5.48xlarge")


def in_block(deployment: Deployment | None = None, *, grace_s: int = 600, **workload: Any) -> Deployment:
    """The example with its training in a block; a checkpoint takes ten minutes."""
    wanted = deployment or example()
    pool = wanted.pool("train").model_copy(update={"market": "capacity-block", "reservation": RESERVATION, "nodes": 2})
    [training] = [each for each in wanted.workloads if each.pool == "train"]
    checkpoint = Checkpoint(storage="checkpoints", grace_s=grace_s, signal="SIGUSR1")
    changed = training.model_copy(update={"checkpoint": checkpoint, **workload})
    return wanted.model_copy(
        update={
            "pools": tuple(pool if each.name == "train" else each for each in wanted.pools),
            "workloads": tuple(changed if each.name == training.name else each for each in wanted.workloads),
        }
    )


def placed(wanted: Deployment, answer: Any = ACTIVE) -> Deployment:
    made = findings(wanted, {RESERVATION: answer}, up_as(wanted))
    assert made.gaps == ()
    return made.placed(wanted)


def block_end_objects(deployment: Deployment) -> dict[str, dict[str, Any]]:
    objects = render.platform_objects(deployment)
    return {item.name: item.manifest for item in objects if ":block-end" in item.name}


def test_a8_the_time_is_before_the_end_by_notice_grace_and_a_margin() -> None:
    wanted = in_block()
    reserved = placed(wanted).pool("train").reserved
    assert reserved == ReservedCapacity(ends=END, saves_at="2026-03-02T11:15:00Z")  # 30 + 10 + 5 minutes
    notes = findings(wanted, {RESERVATION: ACTIVE}, up_as(wanted)).notes
    assert [note for note in notes if "training saves from 2026-03-02 11:15 UTC on" in note]


def test_a8_the_job_is_suspended_then_by_something_with_rights_for_that_alone() -> None:
    deployment = placed(in_block())
    [job] = [each.name for each in deployment.workloads if each.pool == "train"]
    objects = block_end_objects(deployment)
    cron_job = objects[f"workload/{job}:block-end"]
    assert (cron_job["kind"], cron_job["spec"]["schedule"], cron_job["spec"]["timeZone"]) == (
        "CronJob",
        "15 11 2 3 *",
        "Etc/UTC",
    )
    pod = cron_job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert container["image"] == own_images.RELEASE
    assert container["args"][:2] == ["patch", f"job/{job}"]
    assert json.loads(container["args"][3].removeprefix("--patch=")) == {"spec": {"suspend": True}}
    [rule] = objects[f"workload/{job}:block-end-role"]["rules"]
    assert rule == {"apiGroups": ["batch"], "resources": ["jobs"], "resourceNames": [job], "verbs": ["get", "patch"]}
    assert own_images.RELEASE in own_images.of(deployment)
    others = [item for item in render.platform_objects(deployment) if ":block-end" not in item.name]
    assert [item.manifest for item in others] == [item.manifest for item in render.platform_objects(in_block())]


@pytest.mark.parametrize(
    "workload",
    [{"queue": "team"}, {"paused": True}, {"checkpoint": None}],
    ids=["in a queue of Kueue", "paused", "no checkpoint"],
)
def test_a8_what_does_not_save_or_is_not_ours_to_suspend_is_left_alone(workload: dict[str, Any]) -> None:
    reserved = ReservedCapacity(ends=END, saves_at="2026-03-02T11:15:00Z")
    wanted = in_block(**workload)
    pools = tuple(
        each.model_copy(update={"reserved": reserved}) if each.name == "train" else each for each in wanted.pools
    )
    assert block_end_objects(wanted.model_copy(update={"pools": pools})) == {}


def test_a8_without_a_checkpoint_without_a_block_and_too_late_there_is_no_time() -> None:
    assert placed(in_block(checkpoint=None)).pool("train").reserved == ReservedCapacity(ends=END)
    late = placed(in_block(), reservation(EndDate=hours(0.7), InstanceType="p5.48xlarge"))
    assert late.pool("train").reserved == ReservedCapacity(ends="2026-03-01T12:42:00Z")
    assert block_end_objects(late) == {}
    soon = placed(in_block(), reservation(EndDate=hours(0.8), InstanceType="p5.48xlarge"))
    assert block_end_objects(soon) != {}


def test_a8_status_says_why_a_job_is_suspended() -> None:
    deployment = placed(in_block())
    [job] = [each.name for each in deployment.workloads if each.pool == "train"]
    assert scheduled_pools.saved_jobs(deployment, {job: JobState(job)}) == {}
    assert scheduled_pools.saved_jobs(deployment, {job: JobState(job, suspended=True)}) == {
        job: "saved, as the capacity block of pool train ends 2026-03-02 12:00 UTC:"
        " `meshctl up aws-east` starts it again"
    }
    paused = deployment.paused(frozenset({job}))
    assert scheduled_pools.saved_jobs(paused, {job: JobState(job, suspended=True)}) == {}


@pytest.mark.parametrize(
    ("moment", "schedule"), [("2026-12-04T10:25:00Z", "25 10 4 12 *"), ("2027-01-01T00:05:00Z", "5 0 1 1 *")]
)
def test_a8_a_schedule_is_the_minute_of_that_day(moment: str, schedule: str) -> None:
    assert block_end.schedule(moment) == schedule
