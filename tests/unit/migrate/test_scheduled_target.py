"""A target whose capacity reservation has not begun: nothing is stopped at the source, and the migration can go on."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from meshctl.errors import MigrationError
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
