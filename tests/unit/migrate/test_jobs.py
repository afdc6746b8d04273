"""Jobs that end before, while and after a mesh moves: none is run again that has finished, none is waited for that has
failed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from meshctl.clients.health_checks import Answer
from meshctl.errors import MigrationError
from meshctl.migrate.journal.journal import open_journal
from meshctl.migrate.migration import Migrations
from meshctl.migrate.planning.plan import MigrationPlan
from meshctl.migrate.progress import Event
from meshctl.migrate.views import plan_document, plan_text
from meshctl.migrate.world import UpResult
from meshctl.model.deployment import Deployment
from meshctl.model.observed import JobState, PodState
from tests.unit.migrate.test_migration import OPTIONS, migrations
from tests.unit.migrate.twin import Twin

COMPLETE = JobState("pretrain", "complete")
FAILED = JobState("pretrain", "failed", "BackoffLimitExceeded: no more", "pretrain-0: no data")
HOUR_S = 3600


def begun(**states: JobState) -> tuple[Twin, Migrations]:
    """`states`: of the trainer, by environment."""
    twin = Twin().begin()
    twin.job_states |= {(environment, "pretrain"): state for environment, state in states.items()}
    return twin, migrations(twin)


def move(found: Migrations) -> None:
    found.start(found.plan("east", "west", OPTIONS))


def test_a_finished_job_is_not_run_at_the_target() -> None:
    twin, found = begun(east=COMPLETE)
    plan = found.plan("east", "west", OPTIONS)
    assert plan.finished == {"pretrain": "east"}
    assert "pretrain" not in {*plan.stopped, *plan.warm, *plan.running}
    assert "  pretrain: finished at east, is not run again\n" in plan_text(plan)
    assert plan_document(plan)["workloads"]["not_run_again"] == ["pretrain"]
    steps = len(twin.steps_written)
    move(found)
    assert found.history()[1].state == "waiting"
    assert not twin.running("west", "pretrain")
    deployed = twin.deployed("west")
    assert deployed is not None
    assert deployed.marks == {"pretrain": "east"}
    assert len(twin.steps_written) == steps
    found.rollback()
    assert found.history()[1].state == "rolled-back"
    assert not twin.running("east", "pretrain")


def test_a_job_that_finishes_while_the_data_is_copied_is_not_run_again_either() -> None:
    twin, found = begun()
    copy = twin.copy

    def copied(*sides: Any, **options: Any) -> Any:
        twin.job_states["east", "pretrain"] = COMPLETE
        return copy(*sides, **options)

    twin.copy = copied  # type: ignore[method-assign]
    plan = found.plan("east", "west", OPTIONS)
    assert plan.stopped == ("pretrain",)
    found.start(plan)
    deployed = twin.deployed("west")
    assert deployed is not None
    assert deployed.marks == {"pretrain": "east"}
    assert not twin.running("west", "pretrain")


def test_a_job_that_does_other_work_at_the_target_is_run_there_and_the_plan_says_so() -> None:
    twin, found = begun(east=COMPLETE)
    workloads = tuple(
        w.model_copy(update={"image": "train:2"}) if w.name == "pretrain" else w
        for w in twin.declared["west"].workloads
    )
    twin.declared["west"] = twin.declared["west"].model_copy(update={"workloads": workloads})
    plan = found.plan("east", "west", OPTIONS)
    assert plan.finished == {}
    assert "workload pretrain has finished and runs again at west: mesh.yaml changes what it runs" in plan.notes
    found.start(plan)
    assert twin.running("west", "pretrain")


def test_a_job_that_finished_at_the_target_is_not_run_again_on_the_way_back() -> None:
    twin, found = begun()
    move(found)
    twin.job_states["west", "pretrain"] = COMPLETE
    found.rollback()
    deployed = twin.deployed("east")
    assert deployed is not None
    assert deployed.marks == {"pretrain": "west"}
    assert not twin.running("east", "pretrain")


def failing(twin: Twin) -> Callable[..., UpResult]:
    """An `up` after which the trainer at the target has failed, as often as it is brought up there."""
    up = twin.up

    def then_failed(deployment: Deployment, say: Callable[[str], None]) -> UpResult:
        result = up(deployment, say)
        if deployment.environment == "west" and deployment.workload("pretrain").runs:
            twin.job_states["west", "pretrain"] = FAILED
        return result

    return then_failed


def test_a_job_that_fails_where_it_was_started_ends_the_wait_and_runs_again_with_the_next_try() -> None:
    twin, found = begun()
    twin.up = failing(twin)  # type: ignore[method-assign]
    before = twin.clock
    with pytest.raises(MigrationError, match="the job of pretrain has failed in west") as caught:
        move(found)
    assert caught.value.why == "BackoffLimitExceeded: no more; pretrain-0: no data"
    assert twin.clock - before < HOUR_S
    assert found.resume().state == "waiting"
    assert twin.run_again == [("west", "pretrain")]
    assert twin.running("west", "pretrain")


def test_a_job_that_fails_while_the_target_is_watched_runs_again_with_the_next_resume() -> None:
    twin, found = begun()
    probe = twin.probe

    def fail_once_the_names_have_moved(*asked: Any) -> Answer:
        if twin.names["chat"].environment == "west" and not twin.run_again:
            twin.job_states["west", "pretrain"] = FAILED
        return probe(*asked)

    twin.probe = fail_once_the_names_have_moved  # type: ignore[method-assign, assignment]
    with pytest.raises(MigrationError, match="the job of pretrain has failed in west") as caught:
        move(found)
    assert caught.value.why == "BackoffLimitExceeded: no more; pretrain-0: no data"
    assert "mend the cause, `meshctl migrations resume` runs the job again" in caught.value.hint
    assert found.resume().state == "waiting"
    assert twin.run_again == [("west", "pretrain")]
    assert twin.running("west", "pretrain")


def test_a_journal_in_which_the_watch_failed_before_runs_the_job_again_with_the_second_resume() -> None:
    """A failure that an older version wrote down makes no step void."""
    twin, found = begun()
    move(found)
    last = found.store.paths(f"migrations/demo/{found.ids()[0]}")[-1]
    assert last.endswith("observe.health-done.json")
    found.store.delete(last)
    journal = open_journal(found.store, "demo", found.ids()[0], "")
    journal.add("observe/health", "failed", twin.clock, {"code": "migration", "what": "", "why": "", "again": []})
    twin.job_states["west", "pretrain"] = FAILED
    with pytest.raises(MigrationError, match="the job of pretrain has failed in west"):
        found.resume()
    assert found.resume().state == "waiting"
    assert twin.run_again == [("west", "pretrain")]


def slow(found: Migrations, twin: Twin, step: str) -> list[str]:
    """In that step the pods of chat take some looks until they are there. Returns what is said, as it is said."""
    pods, looks = twin.pods, iter(range(5))
    said: list[str] = []
    steps = [""]

    def later(deployment: Deployment, workload: str) -> Sequence[PodState]:
        is_late = workload == "chat" and steps[-1] == step and next(looks, None) is not None
        return [] if is_late else pods(deployment, workload)

    def report(event: Event) -> None:
        steps.append(event.step)
        said.append(event.text)

    twin.pods, found.report = later, report  # type: ignore[method-assign]
    return said


def test_one_that_had_failed_before_does_not_hold_up_the_way_back() -> None:
    twin, found = begun(east=FAILED)
    plan = found.plan("east", "west", OPTIONS)
    assert plan.notes == (
        "workload pretrain has failed at east and starts anew at west: "
        "BackoffLimitExceeded: no more; pretrain-0: no data",
    )
    found.start(plan)
    assert twin.running("west", "pretrain")
    before = twin.clock
    said = slow(found, twin, "rollback/source")
    assert found.rollback().state == "rolled-back"
    assert twin.clock - before < HOUR_S
    assert twin.run_again == []
    assert len([text for text in said if "pretrain has failed in east and is not waited for" in text]) == 1


def test_a_plan_of_before_has_no_finished_jobs() -> None:
    _, found = begun()
    written = found.plan("east", "west", OPTIONS).model_dump(mode="json")
    assert "finished_in" not in repr(written)
    assert MigrationPlan.model_validate(written).finished == {}
