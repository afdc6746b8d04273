"""A pool that lends no more keeps its queue for the jobs that it counts, until they have ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from meshctl import render
from meshctl.deploy.guards.running import running_pods
from meshctl.deploy.jobs import finished_jobs, held_jobs, queue_ends
from meshctl.deploy.jobs.finished_jobs import UnchangedJobs
from meshctl.errors import UnreachableError
from meshctl.model.deployment import Deployment
from meshctl.model.observed import JobState
from meshctl.model.stack_state import StackState
from meshctl.render import PlatformObject
from tests.unit.engine.test_held_jobs import state
from tests.unit.render import test_kai_queues
from tests.unit.resolve.lending_meshes import SERVE, deployed, sweep
from tests.unit.resolve.test_resolve_fit import service

RUNNING = {"pretrain": JobState("pretrain"), "sweep": JobState("sweep")}
ENDED = {"pretrain": JobState("pretrain", "complete"), "sweep": JobState("sweep", "failed")}
NOT_LENT = {**SERVE, "lend": None}


def lent() -> Deployment:
    return deployed(pretrain=pretrain())


def no_more() -> Deployment:
    return deployed(pretrain=pretrain(), serve=NOT_LENT)


def pretrain() -> dict[str, Any]:
    return {**service(1, "training", accelerators=8), "pool": "train"}


def unchanged(
    after: Deployment, before: StackState, jobs: Mapping[str, JobState] = RUNNING, *, has_kueue: bool = True
) -> UnchangedJobs:
    declared = running_pods.with_running_pods(after, before)
    jobs_left = finished_jobs.unchanged_jobs(declared, before, lambda: jobs)
    jobs_left = held_jobs.with_queues_of_jobs(jobs_left, declared, before, lambda: jobs, lambda: has_kueue)
    return queue_ends.with_pools_in_use(jobs_left, declared, before, lambda: jobs, lambda: has_kueue)


def objects(after: Deployment, before: StackState, **more: Any) -> dict[str, PlatformObject]:
    declared = running_pods.with_running_pods(after, before)
    declared = queue_ends.with_queues(declared, unchanged(after, before, **more))
    return {item.name: item for item in render.platform_objects(declared)}


def test_the_queue_of_a_pool_stays_until_the_jobs_in_it_have_ended() -> None:
    before = state(lent())
    made = objects(no_more(), before)
    assert {"pool/train:flavor", "pool/train:cluster-queue", "pool/train:queue"} <= made.keys()
    assert not [name for name in made if name.startswith("pool/serve:")]
    cluster_queue = made["pool/train:cluster-queue"].manifest
    assert cluster_queue["metadata"]["name"] == "m.train"
    (flavor,) = cluster_queue["spec"]["resourceGroups"][0]["flavors"]
    assert flavor["resources"][0] == {
        "name": "nvidia.com/gpu",
        "nominalQuota": "8",
        "borrowingLimit": "0",
        "lendingLimit": "0",
    }
    notes = unchanged(no_more(), before).notes
    assert any(
        note.startswith("pool/train: lends and borrows no more") and "(sweep, pretrain)" in note for note in notes
    )
    assert not [name for name in objects(no_more(), before, jobs=ENDED) if "queue" in name]


def test_a_job_in_a_queue_that_stays_is_not_made_anew_and_can_still_be_started_by_it() -> None:
    left = unchanged(no_more(), state(lent()))
    assert left.paths["pretrain"] == ('metadata.labels["kueue.x-k8s.io/queue-name"]',)
    assert "spec.template" in left.paths["sweep"]
    (group,) = objects(no_more(), state(lent()))["pool/train:cluster-queue"].manifest["spec"]["resourceGroups"]
    assert {"nvidia.com/gpu", "cpu", "memory"} <= set(group["coveredResources"])


def test_lend_is_added_again_while_the_job_runs() -> None:
    """The queue has never gone, so that nothing is in its way, and the job is counted as before."""
    before = state(lent())
    between = queue_ends.with_queues(running_pods.with_running_pods(no_more(), before), unchanged(no_more(), before))
    jobs = state(lent()).resources
    again = StackState(outputs=state(between).outputs, resources=jobs)
    assert unchanged(lent(), again) == UnchangedJobs()
    assert running_pods.with_running_pods(lent(), again) == lent()


def test_what_nobody_knows_of_stays_and_nothing_of_a_kueue_that_is_gone() -> None:
    def unknown() -> Mapping[str, JobState]:
        raise UnreachableError("e can't be reached")

    before, after = state(lent()), no_more()
    left = finished_jobs.unchanged_jobs(after, before, unknown)
    assert queue_ends.with_pools_in_use(left, after, before, unknown, lambda: True).pools_with_queues == {"train"}
    assert unchanged(after, before, has_kueue=False).pools_with_queues == frozenset()


def test_the_cluster_is_asked_only_where_a_queue_would_go() -> None:
    def never() -> Any:
        raise AssertionError("asked")

    for after, before in ((lent(), lent()), (lent(), no_more()), (no_more(), no_more())):
        assert queue_ends.with_pools_in_use(UnchangedJobs(), after, state(before), never, never) == UnchangedJobs()


@pytest.mark.parametrize("sweep_after", [None, sweep(image="acme/sweep:2")])
def test_a_job_that_goes_or_is_made_anew_needs_no_queue(sweep_after: dict[str, Any] | None) -> None:
    after = deployed(serve=NOT_LENT, sweep=sweep_after)
    assert unchanged(after, state(deployed())).pools_with_queues == frozenset()


def test_where_kai_scheduler_counts_from_now_on_the_queue_of_kueue_stays_as_well() -> None:
    before, now = state(lent()), test_kai_queues.deployed(pretrain=pretrain())
    made = objects(now, before)
    assert {"pool/train:cluster-queue", "pool/train:kai-queue", "pool/serve:kai-lent-queue"} <= made.keys()
    assert "pool/serve:cluster-queue" not in made, "what serves is counted by KAI Scheduler alone"
    (group,) = made["pool/train:cluster-queue"].manifest["spec"]["resourceGroups"]
    assert [flavor["name"] for flavor in group["flavors"]] == ["m.train"]
    for item in made.values():
        assert {name for name in item.depends_on if name.startswith("pool/")} <= made.keys()
    notes = " ".join(unchanged(now, before).notes)
    assert "pool/train: is counted by KAI Scheduler now; its queue of Kueue stays until 2 jobs" in notes
    assert "pool/train:cluster-queue" not in objects(now, before, jobs=ENDED)
