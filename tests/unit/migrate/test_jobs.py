"""Jobs that end before, while and after a mesh moves: none is run again that has finished, none is waited for that has
failed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from meshctl.clients.endpoints.health_checks import Answer
from meshctl.errors import MigrationError
from meshctl.migrate.gateway import UpResult
from meshctl.migrate.journal.journal import open_journal
from meshctl.migrate.migration import Migrations
from meshctl.migrate.planning.plan import MigrationPlan
from meshctl.migrate.progress import Event
from meshctl.migrate.views import plan_document, plan_text
from meshctl.model.deployment import Deployment, Workload
from meshctl.model.observed import JobState, PodState
from tests.unit.migrate.fake_gateway import FakeGateway
from tests.unit.migrate.moves import OPTIONS, migrations_of

COMPLETE = JobState("pretrain", "complete")
FAILED = JobState("pretrain", "failed", "BackoffLimitExceeded: no more", "pretrain-0: no data")
HOUR_S = 3600


def begun(**states: JobState) -> tuple[FakeGateway, Migrations]:
    """`states`: of the trainer, by environment."""
    gateway = FakeGateway().begin()
    gateway.job_states |= {(environment, "pretrain"): state for environment, state in states.items()}
    return gateway, migrations_of(gateway)


def move(migrations: Migrations) -> None:
    migrations.start(migrations.plan("east", "west", OPTIONS))


def test_a_finished_job_is_not_run_at_the_target() -> None:
    gateway, migrations = begun(east=COMPLETE)
    plan = migrations.plan("east", "west", OPTIONS)
    assert plan.finished == {"pretrain": "east"}
    assert "pretrain" not in {*plan.stopped, *plan.warm, *plan.running}
    assert "  pretrain: has finished at east and is not run again\n" in plan_text(plan)
    assert plan_document(plan)["workloads"]["not_run_again"] == ["pretrain"]
    steps = len(gateway.steps_written)
    move(migrations)
    assert migrations.history()[1].state == "waiting"
    assert not gateway.running("west", "pretrain")
    deployed = gateway.deployed("west")
    assert deployed is not None
    assert deployed.marks == {"pretrain": "east"}
    assert len(gateway.steps_written) == steps
    migrations.rollback()
    assert migrations.history()[1].state == "rolled-back"
    assert not gateway.running("east", "pretrain")


def test_a_job_that_finishes_while_the_data_is_copied_is_not_run_again_either() -> None:
    gateway, migrations = begun()
    copy = gateway.copy

    def copied(*sides: Any, **options: Any) -> Any:
        gateway.job_states["east", "pretrain"] = COMPLETE
        return copy(*sides, **options)

    gateway.copy = copied  # type: ignore[method-assign]
    plan = migrations.plan("east", "west", OPTIONS)
    assert plan.stopped == ("pretrain",)
    migrations.start(plan)
    deployed = gateway.deployed("west")
    assert deployed is not None
    assert deployed.marks == {"pretrain": "east"}
    assert not gateway.running("west", "pretrain")


def test_a_job_that_does_other_work_at_the_target_is_run_there_and_the_plan_says_so() -> None:
    gateway, migrations = begun(east=COMPLETE)
    workloads = tuple(
        w.model_copy(update={"image": "train:2"}) if w.name == "pretrain" else w
        for w in gateway.declared["west"].workloads
    )
    gateway.declared["west"] = gateway.declared["west"].model_copy(update={"workloads": workloads})
    plan = migrations.plan("east", "west", OPTIONS)
    assert plan.finished == {}
    assert "workload pretrain has finished, and runs again at west because its job is not the same there" in plan.notes
    migrations.start(plan)
    assert gateway.running("west", "pretrain")


def test_a_job_that_finished_at_the_target_is_not_run_again_on_the_way_back() -> None:
    gateway, migrations = begun()
    move(migrations)
    gateway.job_states["west", "pretrain"] = COMPLETE
    migrations.rollback()
    deployed = gateway.deployed("east")
    assert deployed is not None
    assert deployed.marks == {"pretrain": "west"}
    assert not gateway.running("east", "pretrain")


def failing(gateway: FakeGateway) -> Callable[..., UpResult]:
    """An `up` after which the trainer at the target has failed, as often as it is brought up there."""
    up = gateway.up

    def then_failed(deployment: Deployment, say: Callable[[str], None]) -> UpResult:
        result = up(deployment, say)
        if deployment.environment == "west" and deployment.workload("pretrain").runs:
            gateway.job_states["west", "pretrain"] = FAILED
        return result

    return then_failed


def test_a_job_that_fails_where_it_was_started_ends_the_wait_and_runs_again_with_the_next_try() -> None:
    gateway, migrations = begun()
    gateway.up = failing(gateway)  # type: ignore[method-assign]
    before = gateway.clock
    with pytest.raises(MigrationError, match="the job of pretrain has failed in west") as caught:
        move(migrations)
    assert caught.value.why == "BackoffLimitExceeded: no more; pretrain-0: no data"
    assert gateway.clock - before < HOUR_S
    assert migrations.resume().state == "waiting"
    assert gateway.run_again == [("west", "pretrain")]
    assert gateway.running("west", "pretrain")


def test_a_job_that_fails_while_the_target_is_watched_runs_again_with_the_next_resume() -> None:
    gateway, migrations = begun()
    probe = gateway.probe

    def fail_once_the_names_have_moved(*asked: Any) -> Answer:
        if gateway.names["chat"].environment == "west" and not gateway.run_again:
            gateway.job_states["west", "pretrain"] = FAILED
        return probe(*asked)

    gateway.probe = fail_once_the_names_have_moved  # type: ignore[method-assign, assignment]
    with pytest.raises(MigrationError, match="the job of pretrain has failed in west") as caught:
        move(migrations)
    assert caught.value.why == "BackoffLimitExceeded: no more; pretrain-0: no data"
    assert "fix the cause, then `meshctl migrations resume` runs the job again" in caught.value.hint
    assert migrations.resume().state == "waiting"
    assert gateway.run_again == [("west", "pretrain")]
    assert gateway.running("west", "pretrain")


def test_a_journal_in_which_the_watch_failed_before_runs_the_job_again_with_the_second_resume() -> None:
    """A failure that an older version wrote down makes no step void."""
    gateway, migrations = begun()
    move(migrations)
    last = migrations.store.paths(f"migrations/demo/{migrations.ids()[0]}")[-1]
    assert last.endswith("observe.health-done.json")
    migrations.store.delete(last)
    journal = open_journal(migrations.store, "demo", migrations.ids()[0], "")
    journal.add("observe/health", "failed", gateway.clock, {"code": "migration", "what": "", "why": "", "again": []})
    gateway.job_states["west", "pretrain"] = FAILED
    with pytest.raises(MigrationError, match="the job of pretrain has failed in west"):
        migrations.resume()
    assert migrations.resume().state == "waiting"
    assert gateway.run_again == [("west", "pretrain")]


def slow(migrations: Migrations, gateway: FakeGateway, step: str) -> list[str]:
    """In that step the pods of chat take some looks until they are there. Returns what is said, as it is said."""
    pods, looks = gateway.pods, iter(range(5))
    messages: list[str] = []
    steps = [""]

    def later(deployment: Deployment, workload: str) -> Sequence[PodState]:
        is_late = workload == "chat" and steps[-1] == step and next(looks, None) is not None
        return [] if is_late else pods(deployment, workload)

    def report(event: Event) -> None:
        steps.append(event.step)
        messages.append(event.text)

    gateway.pods, migrations.report = later, report  # type: ignore[method-assign]
    return messages


def test_one_that_had_failed_before_does_not_hold_up_the_way_back() -> None:
    gateway, migrations = begun(east=FAILED)
    plan = migrations.plan("east", "west", OPTIONS)
    assert plan.notes == (
        "workload pretrain has failed at east, and starts again at west: "
        "BackoffLimitExceeded: no more; pretrain-0: no data",
    )
    migrations.start(plan)
    assert gateway.running("west", "pretrain")
    before = gateway.clock
    messages = slow(migrations, gateway, "rollback/source")
    assert migrations.rollback().state == "rolled-back"
    assert gateway.clock - before < HOUR_S
    assert gateway.run_again == []
    assert len([text for text in messages if "not waiting for pretrain, which has failed in east" in text]) == 1


def test_a_plan_of_before_has_no_finished_jobs() -> None:
    _, migrations = begun()
    written = migrations.plan("east", "west", OPTIONS).model_dump(mode="json")
    assert "finished_in" not in repr(written)
    assert MigrationPlan.model_validate(written).finished == {}


def test_a_job_that_waits_for_another_one_at_the_target_is_not_waited_for() -> None:
    gateway = FakeGateway()
    prepare = Workload(name="prepare", kind="batch", pool="gpu", replicas=1, image="acme/prepare:1")
    for environment, made in gateway.declared.items():
        workloads = tuple(
            each.model_copy(update={"after": ("prepare",)}) if each.name == "pretrain" else each
            for each in made.workloads
        )
        gateway.declared[environment] = made.model_copy(update={"workloads": (prepare, *workloads)})
        gateway.job_states[environment, "pretrain"] = JobState("pretrain", suspended=True)
    migrations = migrations_of(gateway.begin())
    began = gateway.clock
    move(migrations)
    assert migrations.history()[1].state == "waiting"
    assert gateway.clock - began < HOUR_S
    deployed = gateway.deployed("west")
    assert deployed is not None
    assert (deployed.marks, deployed.workload("pretrain").runs) == ({}, True)
