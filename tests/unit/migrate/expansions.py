"""Whole expansions against the fake gateway, and what must hold afterwards."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from obstore.store import MemoryStore

from meshctl.cli import expand as commands
from meshctl.cli.context import Context
from meshctl.migrate.gateway import EndpointTarget
from meshctl.migrate.migration import Migrations
from meshctl.migrate.planning.inputs import Options, Share
from tests.unit.migrate.fake_gateway import FakeGateway
from tests.unit.migrate.mortal_store import MortalStore

OPTIONS = Options(observe_s=6)
CHAT = Share(workload="chat", weight=102)


def migrations_of(gateway: FakeGateway, store: MemoryStore | None = None) -> Migrations:
    return Migrations(
        "demo", gateway, MortalStore(store or MemoryStore(), None, gateway), data=gateway, break_lock=True
    )


def expanded(gateway: FakeGateway, share: Share = CHAT) -> Migrations:
    migrations = migrations_of(gateway)
    migrations.start(migrations.plan_expansion("east", "west", share, OPTIONS))
    return migrations


def weights(gateway: FakeGateway) -> dict[str, int]:
    return {side.environment: side.weight for side in gateway.weighted["chat"].sides}


def assert_expanded(gateway: FakeGateway, weight: int) -> None:
    assert gateway.running("east", "chat")
    assert gateway.running("west", "chat")
    assert gateway.running("east", "pretrain")
    west = gateway.deployments["west"]
    assert west is not None
    assert [workload.name for workload in west.workloads] == ["chat"]
    assert weights(gateway) == {"east": 255 - weight, "west": weight}
    assert gateway.names["chat"].environments == {"east", "west"}
    assert gateway.buckets["west-weights"] == gateway.buckets["east-weights"]
    assert "west-checkpoints" not in gateway.buckets  # chat does not read them


def assert_contracted(gateway: FakeGateway) -> None:
    assert gateway.names == {"chat": EndpointTarget("east", "east-lb")}
    assert gateway.weighted == {}
    assert gateway.running("east", "chat")
    assert not gateway.running("west", "chat")


@contextlib.contextmanager
def opened(migrations: Migrations) -> Iterator[Migrations]:
    yield migrations


def run(command: Any, migrations: Migrations, patch: pytest.MonkeyPatch, *arguments: Any, **options: Any) -> None:
    patch.setattr(commands, "opened_migrations", lambda *_, **__: opened(migrations))
    command(SimpleNamespace(obj=Context(yes=True, output=options.pop("output", "human"))), *arguments, **options)
