"""A target whose capacity reservation has not begun, or has ended: nothing is stopped at the source, and the migration
can go on."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from meshctl.errors import MeshError, MigrationError, NoCapacityError
from meshctl.migrate.gateway import UpResult
from meshctl.model.deployment import Deployment
from tests.unit.migrate.fake_gateway import FakeGateway
from tests.unit.migrate.test_migration import OPTIONS, migrations_of


def test_a8_a_migration_stops_before_the_source_does_and_goes_on_after_the_start() -> None:
    gateway = FakeGateway().begin()
    migrations = migrations_of(gateway)
    plan = migrations.plan("east", "west", OPTIONS)
    bring_up, starts = gateway.up, {"train": "2026-12-02T11:30:00Z"}

    def up(deployment: Deployment, say: Callable[[str], None]) -> UpResult:
        result = bring_up(deployment, say)
        return UpResult(result.addresses, starts if deployment.environment == "west" else {})

    gateway.up = up  # type: ignore[method-assign]
    with pytest.raises(MigrationError) as caught:
        migrations.start(plan)
    assert caught.value.what == "west has no nodes yet for pool train (2026-12-02 11:30 UTC)"
    assert "`meshctl migrations resume` after that goes on" in caught.value.hint
    east = gateway.deployments["east"]
    assert east is not None
    assert all(workload.runs for workload in east.workloads)
    starts.clear()
    migrations.resume()
    assert gateway.endpoint_targets()["chat"].environment == "west"


def test_a8_a_target_whose_block_has_ended_stops_it_and_a_source_does_not() -> None:
    gateway = FakeGateway().begin()
    migrations = migrations_of(gateway)
    plan = migrations.plan("east", "west", OPTIONS)
    bring_up, with_ended = gateway.up, {"east", "west"}

    def up(deployment: Deployment, say: Callable[[str], None]) -> UpResult:
        ended = NoCapacityError("up: the capacity block cr-1 of pool train has ended", failures=[])
        result = bring_up(deployment, say)
        return UpResult(result.addresses, {}, ended if deployment.environment in with_ended else None)

    gateway.up = up  # type: ignore[method-assign]
    with pytest.raises(MeshError, match="the capacity block cr-1 of pool train has ended"):
        migrations.start(plan)
    east = gateway.deployments["east"]
    assert east is not None
    assert all(workload.runs for workload in east.workloads)
    with_ended.remove("west")
    migrations.resume()
    assert gateway.endpoint_targets()["chat"].environment == "west"
