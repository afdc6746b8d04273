"""Whole migrations against the fake gateway: moved, killed, gone on with, and what must hold afterwards."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from obstore.store import MemoryStore

from meshctl.migrate.gateway import EndpointTarget
from meshctl.migrate.journal.history import History
from meshctl.migrate.migration import Migrations
from meshctl.migrate.planning.inputs import Options
from meshctl.model.deployment import Deployment
from tests.unit.migrate.fake_gateway import FakeGateway, Killed
from tests.unit.migrate.mortal_store import MortalStore

OPTIONS = Options(observe_s=6)
EVERYTHING = ("chat", "pretrain")


def migrations_of(gateway: FakeGateway, store: MemoryStore | None = None) -> Migrations:
    return Migrations(
        "demo", gateway, MortalStore(store or MemoryStore(), None, gateway), data=gateway, break_lock=True
    )


def moved(gateway: FakeGateway) -> Migrations:
    migrations = migrations_of(gateway)
    migrations.start(migrations.plan("east", "west", OPTIONS))
    return migrations


def assert_at(gateway: FakeGateway, serving: str, other: str) -> None:
    """Everything runs in one environment, and in the other nothing that must run in one at a time."""
    assert all(gateway.running(serving, name) for name in EVERYTHING)
    assert not gateway.running(other, "pretrain")
    assert gateway.names == {"chat": EndpointTarget(serving, f"{serving}-lb")}
    assert gateway.steps_written == list(range(1, len(gateway.steps_written) + 1))
    before = gateway.steps_written[-1]
    gateway.tick()
    assert gateway.steps_written[-1] == before + 1


def count_moments(action: Callable[[FakeGateway], object]) -> int:
    gateway = FakeGateway().begin()
    action(gateway)
    return gateway.moments


def killed(at: int, action: Callable[[FakeGateway, Migrations], object]) -> tuple[FakeGateway, Migrations]:
    """A gateway whose run was killed at its `at`th moment, and a fresh run on the same store."""
    store = MemoryStore()
    gateway = FakeGateway().begin()
    gateway.kill_at = at
    with pytest.raises(Killed):
        action(gateway, migrations_of(gateway, store))
    gateway.revive()
    gateway.sleep(5)
    return gateway, migrations_of(gateway, store)


def move(_twin: FakeGateway, migrations: Migrations) -> None:
    migrations.start(migrations.plan("east", "west", OPTIONS))


MOVE = count_moments(lambda gateway: move(gateway, migrations_of(gateway)))


def go_on(migrations: Migrations) -> History | None:
    """Resume the migration; None if the run was killed before the journal began."""
    return migrations.resume() if migrations.ids() else None


def assert_fresh(gateway: FakeGateway) -> None:
    """The chat pods at the target that serve now have read the final weights."""
    last = [seen for environment, seen in gateway.reads if environment == "west"][-1]
    assert last == gateway.weights_seen("west")


def weights_change_once_warm(gateway: FakeGateway) -> None:
    """Someone uploads other weights right after the target's chat has read the seeded ones."""
    up = gateway.up

    def changing(wanted: Deployment, say: Callable[[str], None]) -> object:
        made = up(wanted, say)
        if wanted.environment == "west" and not wanted.workload("chat").paused:
            gateway.buckets["east-weights"]["w/0"] = b"new" * 5
        return made

    gateway.up = changing  # type: ignore[method-assign, assignment]
