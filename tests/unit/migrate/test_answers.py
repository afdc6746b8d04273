"""The user's answer (`--done`, `--again`) is accepted only for the step that needs one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from meshctl.errors import AmbiguousStepError, ParityError, UsageError
from meshctl.migrate.gateway import EndpointTarget
from meshctl.migrate.migration import Migrations
from tests.unit.migrate.fake_gateway import FakeGateway
from tests.unit.migrate.moves import OPTIONS, migrations_of, moved


def asking(gateway: FakeGateway) -> Migrations:
    """A migration that has stopped in `cutover/names`, because someone else has changed the DNS record."""
    migrations = migrations_of(gateway)
    plan = migrations.plan("east", "west", OPTIONS)
    gateway.names["chat"] = EndpointTarget("third", "third-lb")
    gateway.check = lambda: None  # type: ignore[method-assign]
    with pytest.raises(AmbiguousStepError):
        migrations.start(plan)
    return migrations


def refused(migrations: Migrations, **answers: str) -> UsageError:
    """The error of the refused answer. A refusal must not write a record."""
    before = migrations.history()[1].records
    with pytest.raises(UsageError) as error:
        migrations.resume(**answers)  # type: ignore[arg-type]
    assert migrations.history()[1].records == before
    assert error.value.exit_code == 64
    return error.value


@pytest.mark.parametrize("answer", ["done", "again"])
def test_the_gate_is_not_passed_by_an_answer(answer: str) -> None:
    gateway = FakeGateway().begin()
    migrations = migrations_of(gateway)
    plan = migrations.plan("east", "west", OPTIONS)
    gateway.buckets["west-weights"] = {"w/1": b"X" * 10}
    with pytest.raises(ParityError):
        migrations.start(plan)
    error = refused(migrations, **{answer: "verify/weights"})
    assert "verify/weights" in error.what
    assert "no step" in error.why
    assert "migrations resume" in error.hint


@pytest.mark.parametrize("step", ["nonsense/step", "verify/weights", "start/target", "cutover/dns"])
@pytest.mark.parametrize("answer", ["done", "again"])
def test_only_the_step_that_asked_is_answered(step: str, answer: str) -> None:
    migrations = asking(FakeGateway().begin())
    error = refused(migrations, **{answer: step})
    assert step in error.what
    assert "cutover/names" in error.why


def test_an_answer_that_nobody_asked_for_is_refused() -> None:
    refused(moved(FakeGateway().begin()), done="observe/health")


def test_two_answers_to_one_question_are_refused() -> None:
    refused(asking(FakeGateway().begin()), done="cutover/names", again="cutover/names")


@pytest.mark.parametrize(("answer", "leads_to"), [("done", "third"), ("again", "west")])
def test_the_step_that_asked_is_done_as_said(answer: str, leads_to: str) -> None:
    gateway = FakeGateway().begin()
    migrations = asking(gateway)
    gateway.resolve_dns = lambda _host: ["west-lb"]  # type: ignore[method-assign, assignment]
    assert migrations.resume(**{answer: "cutover/names"}).state == "waiting"  # type: ignore[arg-type]
    assert gateway.names["chat"].environment == leads_to


def test_a_question_is_over_once_the_migration_turns() -> None:
    gateway = FakeGateway().begin()
    migrations = asking(gateway)
    migrations.stop.request()
    with pytest.raises(BaseException, match="safe point"):
        migrations.rollback()
    migrations.stop.requested = False
    refused(migrations, done="cutover/names")


def test_a_journal_that_does_not_say_what_kind_a_failure_was_asks_again() -> None:
    migrations = asking(FakeGateway().begin())
    _forget_kinds(migrations)
    error = refused(migrations, again="cutover/names")
    assert "migrations resume" in error.hint
    with pytest.raises(AmbiguousStepError):
        migrations.resume()
    assert migrations.resume(again="cutover/names").state == "waiting"


def _forget_kinds(migrations: Migrations) -> None:
    """Change the journal to that of an older version, whose failures have no code."""
    for path in migrations.store.paths(f"migrations/demo/{migrations.ids()[0]}"):
        if path.endswith("-failed.json"):
            record: dict[str, Any] = json.loads(migrations.store.read(path) or "")
            del record["data"]["code"]
            migrations.store.delete(path)
            assert migrations.store.create(path, json.dumps(record))
