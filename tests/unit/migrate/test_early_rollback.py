"""A migration that has failed before any workload was stopped can be rolled back and shown."""

from __future__ import annotations

import json

import pytest

from meshctl.errors import MigrationError, ResourcesFailedError
from meshctl.migrate import views
from meshctl.migrate.migration import Migrations
from meshctl.model.deployment import Deployment
from tests.golden_files import Golden
from tests.unit.migrate.fake_gateway import FakeGateway
from tests.unit.migrate.moves import OPTIONS, migrations_of


def rolled_back_after_a_failed_provision() -> Migrations:
    gateway = FakeGateway().begin()
    migrations = migrations_of(gateway)
    plan = migrations.plan("east", "west", OPTIONS)

    def up(_deployment: Deployment, _say: object) -> None:
        raise ResourcesFailedError("1 resource failed: pool/train", failures=[])

    gateway.up = up  # type: ignore[method-assign, assignment]
    with pytest.raises(MigrationError):
        migrations.start(plan)
    migrations.rollback()
    return migrations


def test_a_rollback_without_steps_is_shown(golden: Golden) -> None:
    migration, history = rolled_back_after_a_failed_provision().history()
    assert history.state == "rolled-back"
    golden("migrate/nothing-undone.txt", views.detail_text(migration, history))
    document = json.loads(json.dumps(views.detail_document(migration, history)))
    assert (document["state"], document["steps"], document["step"]) == ("rolled-back", [], "")


def test_a_target_that_is_in_use_is_freed_after_the_rollback() -> None:
    """`destroy` of the target is refused while the migration is open: the hint must not name it first."""
    gateway = FakeGateway().begin()
    migrations = migrations_of(gateway)
    plan = migrations.plan("east", "west", OPTIONS)
    gateway.deployments["west"] = gateway.declared["west"]
    gateway.check = lambda: None  # type: ignore[method-assign]
    with pytest.raises(MigrationError, match="west already runs") as error:
        migrations.start(plan)
    assert error.value.hint.startswith("roll this migration back, then `meshctl destroy west`")


def test_a_target_that_was_in_use_is_not_destroyed() -> None:
    gateway = FakeGateway().begin()
    migrations = migrations_of(gateway)
    plan = migrations.plan("east", "west", OPTIONS)
    own = gateway.declared["west"].paused(frozenset({"pretrain"}))
    gateway.deployments["west"] = own
    with pytest.raises(MigrationError, match="west already runs chat"):
        migrations.start(plan)
    migrations.rollback(destroy_target=True)
    assert gateway.deployments["west"] == own
    assert gateway.destroyed_by == []
