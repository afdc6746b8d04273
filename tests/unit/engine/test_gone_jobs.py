"""A job that was seen Complete is not run again because its Job object is gone; one that nobody saw finish is."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

import pytest

from meshctl import render
from meshctl.changes import group
from meshctl.changes.steps import Step
from meshctl.deploy.fields import live_objects
from meshctl.deploy.fields.ownership import Ownership
from meshctl.deploy.jobs import gone_jobs
from meshctl.deploy.jobs.finished_jobs import with_finished_marks
from meshctl.deploy.runs import drift_check
from meshctl.engine.run import StackRun
from meshctl.model.deployment import Deployment
from meshctl.model.stack_state import StackState
from meshctl.render import PlatformObject
from tests.unit.engine.job_meshes import changed, state
from tests.unit.render.sample import sample

DEPLOYED = sample("coreweave")
COMPLETE = {"conditions": [{"type": "Complete", "status": "True"}]}


class Run:
    """Does to a state what the engine does."""

    def __init__(self, before: StackState) -> None:
        self.now = before
        self.rewritten = 0

    def rewrite(self, change: Callable[[StackState], StackState]) -> None:
        self.now = change(self.now)
        self.rewritten += 1

    def reread(self, urns: Iterable[str]) -> list[Step]:
        self.now = gone_jobs.state_without(self.now, set(urns))
        return [Step(urn, "", "delete") for urn in urns]


def job() -> PlatformObject:
    (found,) = [item for item in render.platform_objects(DEPLOYED) if item.name == "workload/embed:job"]
    return found


def up() -> StackState:
    """The state while the job runs."""
    stack, *jobs = state(DEPLOYED).resources
    made = [each.with_fields(outputs=as_made(each.inputs)) for each in jobs if each.name != "workload/pretrain:job"]
    return state(DEPLOYED).with_resources([stack, *made])


def as_made(inputs: Mapping[str, Any]) -> dict[str, Any]:
    return {**inputs, "status": {"active": 1}, "metadata": {**inputs["metadata"], "uid": "u1"}}


def seen(status: dict[str, Any] | None, uid: str = "u1", **metadata: Any) -> Ownership:
    """The live job; none at all without a status."""
    if status is None:
        return Ownership("coreweave-1", expected=(job(),))
    live = copy.deepcopy({**job().manifest, "status": status})
    live["metadata"] |= {"uid": uid, **metadata}
    return Ownership("coreweave-1", live={job().name: (live_objects.reference(job()), live)}, expected=(job(),))


def looked(run: Run, owned: Ownership) -> tuple[Step, ...]:
    return drift_check.refresh_state(cast("StackRun", run), DEPLOYED, run.now, owned).drift


def test_one_that_an_up_saw_complete_is_made_again_suspended() -> None:
    run = Run(up())
    assert looked(run, seen(COMPLETE)) == ()
    assert looked(run, seen(COMPLETE)) == ()
    assert run.rewritten == 1  # once it is known, nothing is written
    assert with_finished_marks(DEPLOYED, run.now).marks == {}  # it is there, and stays as it is

    drift = looked(run, seen(None))
    after = with_finished_marks(DEPLOYED, run.now)
    assert after.marks == {"embed": "coreweave-1"}
    told = gone_jobs.drift_with_suspended_jobs(drift, after.marks)
    assert gone_jobs.notes_on_gone_jobs(told, "coreweave-1") == (
        "workload/embed has finished and its Job object is gone: it is not run again; "
        "`meshctl restart embed --env coreweave-1` runs it again",
    )


def test_the_plan_says_the_same_and_leaves_the_state() -> None:
    run = Run(up())
    looked(run, seen(COMPLETE))
    before = copy.deepcopy(run.now)
    told = drift_check.drift_with_job_marks(
        DEPLOYED, run.now, seen(None), drift_check.object_drift(run.now, seen(None))
    )
    assert run.now == before
    assert outside(told) == "gone: job"
    assert len(gone_jobs.notes_on_gone_jobs(told, "coreweave-1")) == 1


def outside(drift: Iterable[Step]) -> str:
    plan = group([], environment="e", digest="", hourly_usd_before=None, hourly_usd_after=None, drift=drift)
    return plan.outside[0].summary


def test_one_that_is_complete_and_being_deleted_counts_as_finished() -> None:
    run = Run(up())
    drift = looked(run, seen(COMPLETE, deletionTimestamp="2026-11-28T10:00:00Z"))
    assert [step.op for step in drift] == ["delete"]
    assert with_finished_marks(DEPLOYED, run.now).marks == {"embed": "coreweave-1"}


@pytest.mark.parametrize("kill_after", ["rewrite", "reread"])
def test_a_kill_in_between_forgets_nothing(kill_after: str) -> None:
    run = Run(up())
    looked(run, seen(COMPLETE))
    gone = gone_jobs.gone_urns(drift_check.object_drift(run.now, seen(None)))
    run.rewrite(lambda now: gone_jobs.with_finished_jobs_recorded(now, {}, gone))
    if kill_after == "reread":
        run.reread(gone)
    else:
        looked(run, seen(None))
    assert with_finished_marks(DEPLOYED, run.now).marks == {"embed": "coreweave-1"}


def runs_again(after: Deployment, run: Run) -> None:
    owned = seen(None)
    told = drift_check.drift_with_job_marks(after, run.now, owned, drift_check.object_drift(run.now, owned))
    assert gone_jobs.notes_on_gone_jobs(told, "coreweave-1") == ()
    if told:
        assert outside(told) == "gone: job, which runs again"
    looked(run, owned)
    assert with_finished_marks(after, run.now).marks == {}


@pytest.mark.parametrize("status", [{"active": 1}, {"conditions": [{"type": "Failed", "status": "True"}]}])
def test_one_that_nobody_saw_complete_runs_again(status: dict[str, Any]) -> None:
    run = Run(up())
    looked(run, seen(status))
    runs_again(DEPLOYED, run)


def test_one_of_which_the_work_has_changed_runs() -> None:
    run = Run(up())
    looked(run, seen(COMPLETE))
    runs_again(changed("embed", image="acme/embed:2"), run)


def test_another_object_of_the_same_name_says_nothing_of_ours() -> None:
    run = Run(up())
    looked(run, seen(COMPLETE, uid="u2"))
    runs_again(DEPLOYED, run)


def test_one_that_a_killed_restart_has_deleted_runs() -> None:
    run = Run(up())
    looked(run, seen(COMPLETE))
    (embed,) = [resource.urn for resource in run.now.resources if resource.name == "workload/embed:job"]
    run.now = run.now.with_changed({embed}, lambda resource: resource.with_fields(pendingReplacement=True))
    runs_again(DEPLOYED, run)
