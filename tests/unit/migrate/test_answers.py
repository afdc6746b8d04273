"""A person's answer (`--done`, `--again`) is taken for the step that asked, and for no other."""

from __future__ import annotations

import json
from typing import Any

import pytest

from meshctl.errors import AmbiguousStepError, ParityError, UsageError
from meshctl.migrate.migration import Migrations
from meshctl.migrate.world import EndpointTarget
from tests.unit.migrate.test_migration import OPTIONS, migrations, moved
from tests.unit.migrate.twin import Twin


def asking(twin: Twin) -> Migrations:
    """A migration that stopped because someone else moved the name: `cutover/names` asks."""
    found = migrations(twin)
    plan = found.plan("east", "west", OPTIONS)
    twin.names["chat"] = EndpointTarget("third", "third-lb")
    twin.check = lambda: None  # type: ignore[method-assign]
    with pytest.raises(AmbiguousStepError):
        found.start(plan)
    return found


def refused(found: Migrations, **answers: str) -> UsageError:
    """The refusal; nothing may be written by it."""
    before = found.history()[1].records
    with pytest.raises(UsageError) as error:
        found.resume(**answers)  # type: ignore[arg-type]
    assert found.history()[1].records == before
    assert error.value.exit_code == 64
    return error.value


@pytest.mark.parametrize("answer", ["done", "again"])
def test_the_gate_is_not_passed_by_an_answer(answer: str) -> None:
    twin = Twin().begin()
    found = migrations(twin)
    plan = found.plan("east", "west", OPTIONS)
    twin.buckets["west-weights"] = {"w/1": b"X" * 10}
    with pytest.raises(ParityError):
        found.start(plan)
    error = refused(found, **{answer: "verify/weights"})
    assert "verify/weights" in error.what
    assert "no step" in error.why
    assert "migrations resume" in error.hint


@pytest.mark.parametrize("step", ["nonsense/step", "verify/weights", "start/target", "cutover/dns"])
@pytest.mark.parametrize("answer", ["done", "again"])
def test_only_the_step_that_asked_is_answered(step: str, answer: str) -> None:
    found = asking(Twin().begin())
    error = refused(found, **{answer: step})
    assert step in error.what
    assert "cutover/names" in error.why


def test_an_answer_that_nobody_asked_for_is_refused() -> None:
    refused(moved(Twin().begin()), done="observe/health")


def test_two_answers_to_one_question_are_refused() -> None:
    refused(asking(Twin().begin()), done="cutover/names", again="cutover/names")


@pytest.mark.parametrize(("answer", "leads_to"), [("done", "third"), ("again", "west")])
def test_the_step_that_asked_is_done_as_said(answer: str, leads_to: str) -> None:
    twin = Twin().begin()
    found = asking(twin)
    twin.resolve_dns = lambda _host: ["west-lb"]  # type: ignore[method-assign, assignment]
    assert found.resume(**{answer: "cutover/names"}).state == "waiting"  # type: ignore[arg-type]
    assert twin.names["chat"].environment == leads_to


def test_a_question_is_over_once_the_migration_turns() -> None:
    twin = Twin().begin()
    found = asking(twin)
    found.stop.request()
    with pytest.raises(BaseException, match="safe point"):
        found.rollback()
    found.stop.requested = False
    refused(found, done="cutover/names")


def test_a_journal_that_does_not_say_what_kind_a_failure_was_asks_again() -> None:
    found = asking(Twin().begin())
    _forget_kinds(found)
    error = refused(found, again="cutover/names")
    assert "migrations resume" in error.hint
    with pytest.raises(AmbiguousStepError):
        found.resume()
    assert found.resume(again="cutover/names").state == "waiting"


def _forget_kinds(found: Migrations) -> None:
    """The journal as it was written before failures had a code."""
    for path in found.store.paths(f"migrations/demo/{found.ids()[0]}"):
        if path.endswith("-failed.json"):
            record: dict[str, Any] = json.loads(found.store.read(path) or "")
            del record["data"]["code"]
            found.store.delete(path)
            assert found.store.create(path, json.dumps(record))
