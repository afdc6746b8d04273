"""A target whose capacity reservation has not begun, or has ended: nothing is stopped at the source, and the migration
can go on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from meshctl.errors import MeshError, MigrationError, NoCapacityError
from meshctl.migrate.gateway import UpResult
from meshctl.migrate.steps import environment
from meshctl.migrate.steps.order.step import Step
from meshctl.model.deployment import Deployment
from tests.unit.migrate.fake_gateway import FakeGateway
from tests.unit.migrate.moves import OPTIONS, migrations_of


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


@pytest.mark.parametrize(
    "lacks_nodes",
    [
        {"ended_blocks": NoCapacityError("up: the capacity block cr-1 of pool train has ended", failures=[])},
        {"starts": {"train": "2026-12-02T11:30:00Z"}},
    ],
    ids=["ended", "not begun"],
)
def test_a8_a_rollback_stops_a_target_that_has_no_nodes_any_more(lacks_nodes: dict[str, Any]) -> None:
    gateway = FakeGateway().begin()
    migrations = migrations_of(gateway)
    migrations.start(migrations.plan("east", "west", OPTIONS))
    bring_up = gateway.up

    def up(deployment: Deployment, say: Callable[[str], None]) -> UpResult:
        result = bring_up(deployment, say)
        return dataclasses.replace(result, **lacks_nodes) if deployment.environment == "west" else result

    gateway.up = up  # type: ignore[method-assign]
    migrations.rollback()
    assert gateway.endpoint_targets()["chat"].environment == "east"
    west = gateway.deployments["west"]
    assert west is not None
    assert not any(workload.runs for workload in west.workloads)


def test_a8_replicas_that_follow_load_again_wait_for_no_nodes() -> None:
    """Names lead where they are to lead by then, such as away from a target whose block has ended."""
    ended = NoCapacityError("up: the capacity block cr-1 of pool train has ended", failures=[])
    gateway = SimpleNamespace(up=lambda *_: UpResult({}, {}, ended))
    step = Step("round2/replicas", "up", "replicas of chat follow load at the target", side="target")
    context: Any = SimpleNamespace(step=step, gateway=gateway, deployment=None, say=None)
    assert environment.act_up(context) == {}
    context.step = dataclasses.replace(step, name="round2/start", workloads=frozenset({"chat"}))
    with pytest.raises(NoCapacityError):
        environment.act_up(context)
