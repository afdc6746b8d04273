"""Whether a run works on a migration now, which the journal alone can't show: only the lock can."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from dataclasses import replace

import pytest
from obstore.store import MemoryStore

from meshctl.errors import LockedError
from meshctl.migrate import views
from meshctl.migrate.journal import guard, lock
from meshctl.migrate.migration import Migrations
from tests.unit.migrate.fake_gateway import FakeGateway, Killed
from tests.unit.migrate.moves import migrations_of, move, moved
from tests.unit.migrate.test_journal_lock import ended_process, leave_lock

ELSEWHERE = replace(lock.this_process(), host=f"not-{socket.gethostname()}", pid=4711, since="2026-11-28T09:00:00Z")


@pytest.fixture
def killed() -> Migrations:
    """A migration whose run was killed, and whose lock is gone."""
    store, gateway = MemoryStore(), FakeGateway().begin()
    gateway.kill_at = 20
    with contextlib.suppress(Killed):
        move(gateway, migrations_of(gateway, store))
    gateway.revive()
    migrations = migrations_of(gateway, store)
    unlock(migrations)
    return migrations


def unlock(migrations: Migrations) -> None:
    """Delete the lock: in a test the killed run and this process are the same, so the lock's owner seems alive."""
    for path in migrations.store.paths("migrations/demo/locks"):
        migrations.store.delete(path)


def shown(migrations: Migrations) -> tuple[str, dict[str, object]]:
    """The state as text and as JSON, after checking that all commands show the same."""
    seen = migrations.status()
    listed, document = views.list_text([seen]), views.summary_document(*seen)
    assert json.loads(json.dumps(document)) == document
    assert views.detail_document(*seen).items() >= document.items()
    opened = guard.open_migration(migrations.store, "demo")
    assert opened is not None
    assert opened.activity == seen.activity
    head = listed.splitlines()[0].rpartition("west  ")[2].rpartition(", next")[0]
    assert views.detail_text(*seen).splitlines()[0].partition("west, ")[2].startswith(head)
    return listed, document


def assert_stopped(migrations: Migrations) -> None:
    text, document = shown(migrations)
    name = migrations.ids()[0]
    assert "west  stopped, next " in text
    assert f"next:\n  meshctl migrations resume {name} " in text
    assert f"\n  meshctl migrations rollback {name}  goes back to east\n" in text
    assert document["state"] == "running", "how far it is"
    opened = guard.open_migration(migrations.store, "demo")
    assert opened is not None
    with pytest.raises(LockedError, match=r"\(east -> west\): stopped") as refused:
        guard.refuse(*opened, "west", "up")
    assert "partly moved" in refused.value.why
    assert f"`meshctl migrations resume {name}`" in refused.value.hint
    assert (document["active"], document["worked_on_by"]) == (False, None)
    assert document["next"] == [f"meshctl migrations {word} {name}" for word in ("resume", "rollback")]


def test_a_run_that_gave_its_lock_back_is_stopped(killed: Migrations) -> None:
    assert_stopped(killed)


def test_a_run_whose_process_is_gone_is_stopped(killed: Migrations) -> None:
    leave_lock(killed.store, ended_process())
    assert_stopped(killed)


def test_a_process_that_lives_is_named_and_nothing_else_is_proposed(killed: Migrations) -> None:
    with lock.locked(killed.store, "demo") as lease:
        text, document = shown(killed)
    assert f"west  running (pid {os.getpid()}, since {lease.owner.since}), next " in text
    assert "next:" not in text
    assert document["active"] is True
    assert document["next"] == []
    assert document["worked_on_by"] == {
        "user": lease.owner.user,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "since": lease.owner.since,
    }


def test_of_another_host_only_the_lock_is_known(killed: Migrations) -> None:
    leave_lock(killed.store, ELSEWHERE)
    text, document = shown(killed)
    where = f"running on {ELSEWHERE.host} (pid 4711, since 2026-11-28T09:00:00Z), according to the lock"
    assert f"west  {where}, next " in text
    assert "next, if that run is gone for good:\n  meshctl migrations resume" in text
    assert document["active"] is None
    assert all(command.endswith(" --break-lock") for command in document["next"])  # type: ignore[attr-defined]


@pytest.mark.parametrize(("way", "said"), [("rollback", "rollback stopped"), ("finish", "finish stopped")])
def test_a_way_back_or_an_end_that_was_cut_off_is_said_to_have_stopped(way: str, said: str) -> None:
    gateway = FakeGateway().begin()
    migrations = moved(gateway)
    gateway.kill_at = gateway.moments + 6
    with pytest.raises(Killed):
        getattr(migrations, way)()
    gateway.revive()
    unlock(migrations)
    text, document = shown(migrations)
    assert f"west  {said}, next " in text
    assert document["next"][0] == f"meshctl migrations resume {migrations.ids()[0]}"  # type: ignore[index]


def test_one_that_waits_is_not_stopped_and_one_that_is_over_is_nobody_s() -> None:
    migrations = moved(FakeGateway().begin())
    assert "west  waiting\n" in views.list_text([migrations.status()])
    name = migrations.ids()[0]
    assert shown(migrations)[1]["next"] == [f"meshctl migrations {word} {name}" for word in ("finish", "rollback")]
    migrations.finish()
    leave_lock(migrations.store, ELSEWHERE, 7)
    document = views.summary_document(*migrations.status())
    assert (document["active"], document["worked_on_by"], document["next"]) == (False, None, [])
