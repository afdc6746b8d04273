"""This version reads, goes on with and undoes the shifts and expansions that earlier versions have written down.

`tests/recorded_in_memory/record.py` has recorded them. A recording is never changed; a new version gets one of its own.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from obstore.store import MemoryStore

from meshctl.engine.state_store import StateStore
from meshctl.migrate.journal.guard import open_migration
from meshctl.shift.in_force import ShiftStatus, gang_sizes, open_shifts, shifted_nodes, waiting_gangs
from tests.recorded_in_memory.record import tainted
from tests.unit.migrate.expansions import migrations_of
from tests.unit.migrate.test_expansion_by_gateway import World as WithGateways
from tests.unit.migrate.test_expansion_by_gateway import assert_contracted, assert_expanded
from tests.unit.migrate.test_expansion_by_gateway import expanded as by_this_version
from tests.unit.shift.test_shift import kept, pools, started
from tests.unit.shift.world import START_S, World, world_of

RECORDED = Path(__file__).parents[2] / "recorded_in_memory"
VERSIONS = sorted(path.name for path in RECORDED.iterdir() if path.is_dir() and path.name != "__pycache__")
BY_GATEWAY = "expanded-by-gateway"  # of versions whose gateways share requests
SMALLER = "shift-with-smaller-gang"  # of versions that know elastic gangs
every_version = pytest.mark.parametrize("version", VERSIONS)


def with_journal(world: World, version: str, name: str) -> World:
    """The world, whose only journals are the recorded ones."""
    store = StateStore(world.store)
    for path in (*store.paths("shifts/demo"), *store.paths("migrations/demo")):
        store.delete(path)
    records: dict[str, Any] = json.loads((RECORDED / version / f"{name}.json").read_text())
    for path, record in records.items():
        assert store.create(path, json.dumps(record))
    return world


def before_it(monkeypatch: pytest.MonkeyPatch) -> World:
    return world_of(monkeypatch, deployment=tainted(), replicas={"chat": 3})


def open_in(world: World) -> list[ShiftStatus]:
    return open_shifts(StateStore(world.store), "demo", "dc1")


def test_there_is_a_recording() -> None:
    assert "c39fc356" in VERSIONS


@every_version
def test_a_shift_in_force_is_read_and_undone(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    world = before_it(monkeypatch)
    at_first = kept(world)
    started(world)
    with_journal(world, version, "shift-in-force")
    statuses = open_in(world)
    assert [status.history.state for status in statuses] == ["in-force"]
    assert [status.history.plan.until_s for status in statuses] == [pytest.approx(START_S + 3604)]
    assert {name: (node.home, node.pool) for name, node in shifted_nodes(statuses).items()} == {
        "train-0": ("train", "serve")
    }
    assert waiting_gangs(statuses) == {"pretrain"}
    assert world.shifts().undo().state == "undone"
    assert kept(world) == at_first
    assert world.jobs["pretrain"]["spec"]["suspend"] is False


@pytest.mark.parametrize("version", [name for name in VERSIONS if (RECORDED / name / f"{SMALLER}.json").exists()])
def test_a_gang_that_was_made_smaller_grows_back(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    world = world_of(monkeypatch, deployment=tainted(least=2), replicas={"chat": 3})
    at_first = kept(world)
    started(world)
    with_journal(world, version, SMALLER)
    assert gang_sizes(open_in(world)) == {"pretrain": 3}
    assert world.shifts().undo().state == "undone"
    assert kept(world) == at_first
    assert world.jobs["pretrain"]["spec"] == {"suspend": False, "completions": 4, "parallelism": 4}


@every_version
def test_a_shift_under_way_goes_on(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    world = with_journal(before_it(monkeypatch), version, "shift-under-way")
    assert [status.history.state for status in open_in(world)] == ["under-way"]
    assert world.shifts().resume().state == "in-force"
    assert pools(world)["train-0"] == "serve"


@every_version
def test_an_undo_goes_on(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    world = before_it(monkeypatch)
    at_first = kept(world)
    started(world)
    with_journal(world, version, "shift-undoing")
    assert [status.history.state for status in open_in(world)] == ["undoing"]
    assert world.shifts().resume().state == "undone"
    assert kept(world) == at_first


@every_version
def test_a_shift_that_is_over_is_in_nobodys_way(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    assert open_in(with_journal(before_it(monkeypatch), version, "shift-undone")) == []


@every_version
def test_an_expansion_is_read(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    world = with_journal(before_it(monkeypatch), version, "expanded")
    migration = open_migration(StateStore(world.store), "demo")
    assert migration is not None
    share = migration.history.share
    assert share is not None
    assert (share.workload, share.weight, migration.history.state) == ("chat", 102, "waiting")


@pytest.mark.parametrize("version", [name for name in VERSIONS if (RECORDED / name / f"{BY_GATEWAY}.json").exists()])
def test_an_expansion_by_a_gateway_gets_another_share_and_is_contracted(version: str) -> None:
    gateway = WithGateways().begin()
    store = MemoryStore()
    by_this_version(gateway, store)
    gateway.clock += 3600
    journal = StateStore(store)
    for path in journal.paths("migrations/demo"):
        journal.delete(path)
    records: dict[str, Any] = json.loads((RECORDED / version / f"{BY_GATEWAY}.json").read_text())
    for path, record in records.items():
        assert journal.create(path, json.dumps(record))
    migrations = migrations_of(gateway, store)
    status = migrations.expansion_of("east", "west", "chat")
    assert status is not None
    migrations.share_again(status.migration, 204)
    assert_expanded(gateway, 204)
    migrations.rollback(destroy_target=True)
    assert_contracted(gateway)
