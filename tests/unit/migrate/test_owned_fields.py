"""Fields that other programs have set stop a migration before it begins, or before it does anything; never in the
middle, unless they are set in the middle."""

from __future__ import annotations

import json
from typing import Any

import pytest

from meshctl.cli.main import _document
from meshctl.errors import MigrationError, OwnedFieldsError, UsageError
from meshctl.migrate.planning.inputs import Options
from tests.unit.migrate.fake_gateway import FakeGateway
from tests.unit.migrate.moves import OPTIONS, assert_at, migrations_of

IMAGE = "workload/chat:.spec.template.spec.containers[main].image"


@pytest.mark.parametrize("end", ["east", "west"])
def test_a_migration_is_refused_while_planning(end: str) -> None:
    gateway = FakeGateway().begin()
    gateway.owned[end] = {IMAGE}
    with pytest.raises(OwnedFieldsError, match="image is set by kubectl") as caught:
        migrations_of(gateway).plan("east", "west", OPTIONS)
    assert caught.value.hint == "give meshctl migrate east west again"
    assert gateway.deployments["west"] is None


def test_what_the_command_names_is_taken_over_all_the_way() -> None:
    gateway = FakeGateway().begin()
    gateway.owned["east"] = {IMAGE}
    migrations = migrations_of(gateway)
    migrations.start(migrations.plan("east", "west", Options(observe_s=6, take_over=(IMAGE,))))
    assert_at(gateway, "west", "east")
    gateway.taken_over = set()  # another command, another process
    migrations.rollback()
    assert_at(gateway, "east", "west")


@pytest.mark.parametrize("end", ["east", "west"])
def test_what_was_set_after_the_planning_is_refused_before_anything_is_done(end: str) -> None:
    gateway = FakeGateway().begin()
    migrations = migrations_of(gateway)
    plan = migrations.plan("east", "west", OPTIONS)
    gateway.owned[end] = {IMAGE}
    with pytest.raises(MigrationError, match="image is set by kubectl"):
        migrations.start(plan)
    _, history = migrations.history()
    assert history.failed is not None
    assert history.failed.step == ("preflight/source" if end == "east" else "preflight/target")
    assert gateway.deployments["west"] is None
    migrations.resume(take_over=(IMAGE,))
    assert_at(gateway, "west", "east")


def test_what_is_set_in_the_middle_stops_the_next_step_and_resume_takes_it_over() -> None:
    gateway = FakeGateway().begin()
    migrations = migrations_of(gateway)
    plan = migrations.plan("east", "west", OPTIONS)
    copy = gateway.copy
    seeded: list[int] = []

    def set_while_seeding(*args: Any, **options: Any) -> Any:
        if not seeded:
            seeded.append(1)
            gateway.owned["east"] = {IMAGE}
        return copy(*args, **options)

    gateway.copy = set_while_seeding  # type: ignore[method-assign]
    with pytest.raises(MigrationError, match="image is set by kubectl") as caught:
        migrations.start(plan)
    assert "migrations resume" in caught.value.hint
    assert gateway.running("east", "pretrain")
    migrations.resume(take_over=(IMAGE,))
    assert migrations.history()[1].take_over == (IMAGE,)
    assert_at(gateway, "west", "east")


def test_a_journal_of_an_older_version_takes_nothing_over() -> None:
    migrations = Options.model_validate({"observe_s": 30, "deep_verify": False, "replace_target_data": False})
    assert migrations.take_over == ()


@pytest.mark.parametrize("given", ["workload/caht", "workload/caht:.spec.replicas", "chat"])
def test_a_name_of_nothing_is_refused_before_anything_is_written(given: str) -> None:
    gateway = FakeGateway().begin()
    migrations = migrations_of(gateway)
    with pytest.raises(UsageError, match=f"--take-over {given}: the mesh has no"):
        migrations.plan("east", "west", Options(observe_s=6, take_over=(given,)))
    gateway.healthy = False
    with pytest.raises(MigrationError):
        migrations.start(migrations.plan("east", "west", OPTIONS))
    records = len(migrations.history()[1].records)
    with pytest.raises(UsageError, match=f"--take-over {given}: the mesh has no"):
        migrations.resume(take_over=(given,))
    assert len(migrations.history()[1].records) == records


def test_a_step_that_is_refused_in_an_open_migration_says_which_fields() -> None:
    gateway = FakeGateway().begin()
    migrations = migrations_of(gateway)
    plan = migrations.plan("east", "west", OPTIONS)
    gateway.owned["east"] = {IMAGE}
    with pytest.raises(MigrationError) as caught:
        migrations.start(plan)
    document = json.loads(_document(caught.value))["error"]
    assert (document["code"], document["exit_code"]) == ("migration", 3)
    assert [field["name"] for field in document["fields"]] == [IMAGE]
