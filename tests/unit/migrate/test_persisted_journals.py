"""Journals that other versions of meshctl wrote: older ones are continued, others end in a named error."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import obstore
import pytest
from obstore.store import MemoryStore

from meshctl import __version__
from meshctl.engine.state_store import StateStore
from meshctl.errors import LockedError, MeshError, NewerVersionError, UnreadableError
from meshctl.migrate import views
from meshctl.migrate.journal import guard, lock
from meshctl.migrate.journal.activity import UnreadableMigration
from meshctl.migrate.journal.journal import record_paths
from meshctl.migrate.migration import Migrations
from meshctl.migrate.planning.inputs import Options
from meshctl.model.persisted import OWN, SCHEMA
from tests.unit.migrate.fake_gateway import FakeGateway

OPTIONS = Options(observe_s=6)
REPLACING = Options(observe_s=6, replace_target_data=True)
Change = Callable[[dict[str, Any]], object]


def rewritten(store: StateStore, number: int, change: Change) -> None:
    """A record (counted from the end if negative) as another version would have written it."""
    path = records(store)[number]
    record = json.loads(store.read(path) or "")
    change(record)
    store.delete(path)
    assert store.create(path, json.dumps(record))


def records(store: StateStore) -> list[str]:
    return [path for path in store.paths("migrations/demo") if "/locks/" not in path]


def contents(store: StateStore) -> dict[str, str | None]:
    return {path: store.read(path) for path in store.paths("")}


def older(record: dict[str, Any]) -> None:
    """As versions before schema versions wrote it."""
    del record["data"]["meshctl"]


def by(schema: int, made_by: str) -> Change:
    """With the stamp of another version."""
    return lambda record: record["data"].update(meshctl={"schema": schema, "made_by": made_by})


def newer(change: Change) -> Change:
    """The change, made by a newer version with the same schema version."""

    def changed(record: dict[str, Any]) -> None:
        by(SCHEMA, "9.1.0")(record)
        change(record)

    return changed


def first_workload(record: dict[str, Any]) -> dict[str, Any]:
    workload: dict[str, Any] = record["data"]["plan"]["source"]["workloads"][0]
    return workload


def stamped_outside_of_data(record: dict[str, Any]) -> None:
    """As development versions after 2979742 wrote it."""
    record.update(record["data"].pop("meshctl"))


def waiting() -> tuple[FakeGateway, Migrations]:
    """A migration that waits for `finish`."""
    gateway = FakeGateway().begin()
    migrations = Migrations("demo", gateway, StateStore(MemoryStore()), data=gateway)
    migrations.start(migrations.plan("east", "west", OPTIONS))
    return gateway, migrations


CHANGES: dict[str, tuple[int, Change, type[MeshError]]] = {
    "a newer schema version": (-1, by(SCHEMA + 1, "9.1.0"), NewerVersionError),
    "a newer first record": (0, by(SCHEMA + 1, "9.1.0"), NewerVersionError),
    "a field of a record": (-1, newer(lambda r: r.update(region="r1")), NewerVersionError),
    "a kind of record": (-1, newer(lambda r: r.update(kind="paused")), NewerVersionError),
    "a field of the plan": (0, newer(lambda r: r["data"]["plan"].update(speed=2)), NewerVersionError),
    "a field of a workload": (0, newer(lambda r: first_workload(r).update(x=1)), NewerVersionError),
    "a damaged kind of record": (-1, lambda r: r.update(kind="dune"), UnreadableError),
    "a damaged kind of workload": (0, lambda r: first_workload(r).update(kind="interference"), UnreadableError),
    "no plan": (0, lambda r: r["data"].pop("plan"), UnreadableError),
    "half a plan": (0, lambda r: r["data"]["plan"].pop("moves"), UnreadableError),
    "no number": (-1, lambda r: r.update(number="one"), UnreadableError),
    "no kind": (-1, lambda r: r.pop("kind"), UnreadableError),
    "another way": (-1, lambda r: r.update(kind="direction", data={"to": "sideways"}), UnreadableError),
    "an end without outcome": (-1, lambda r: r.update(kind="closed", data={}), UnreadableError),
    "a number of objects": (-1, lambda r: r["data"].update(objects="many"), UnreadableError),
    "a side": (-1, lambda r: r["data"].update(source=[]), UnreadableError),
    "a stamp that is none": (-1, lambda r: r["data"]["meshctl"].update(schema="one"), UnreadableError),
    "another stamp that is none": (-1, lambda r: r.update(data={}, schema="one"), UnreadableError),
}
COMMANDS: dict[str, Callable[[Migrations], object]] = {
    "migrations show": lambda migrations: migrations.status(),
    "migrations resume": lambda migrations: migrations.resume(),
    "migrations rollback": lambda migrations: migrations.rollback(),
    "migrations rollback, asking": lambda migrations: migrations.check_rollback(destroy_target=True, target_lost=False),
    "migrations finish": lambda migrations: migrations.finish(),
    "migrations finish, asking": lambda migrations: migrations.check_finish(delete_data=True),
    "migrations resume --source-lost, asking": lambda migrations: migrations.check_source_lost(),
    "migrate": lambda migrations: migrations.start(migrations.plan("east", "west", REPLACING)),
    "up, restart and destroy": lambda migrations: guard.open_migration(migrations.store, "demo"),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", CHANGES)
def test_no_command_goes_on_from_a_journal_that_it_cannot_read(name: str, command: str) -> None:
    number, change, expected = CHANGES[name]
    gateway, migrations = waiting()
    rewritten(migrations.store, number, change)
    before, there = contents(migrations.store), dict(gateway.deployments)
    with pytest.raises(expected) as error:
        COMMANDS[command](migrations)
    assert "migration's journal" in error.value.what
    assert "nothing was changed" in error.value.why
    assert error.value.hint
    assert contents(migrations.store) == before
    assert gateway.deployments == there


@pytest.mark.parametrize("text", ["", "{", "7", "[]", "\0"])
def test_a_damaged_record_is_named(text: str) -> None:
    _, migrations = waiting()
    path = records(migrations.store)[-1]
    migrations.store.delete(path)
    assert migrations.store.create(path, text)
    with pytest.raises(UnreadableError, match=path):
        migrations.history()


def renamed(store: StateStore, old: str, new: str) -> None:
    assert store.create(new, store.read(old) or "")
    store.delete(old)


def with_other_bytes(store: StateStore, path: str) -> None:
    store.delete(path)
    obstore.put(store.store, path, b"\xff\xfe{")


Damage = Callable[[StateStore, list[str]], object]
DAMAGED: dict[str, tuple[int, Damage]] = {
    "no UTF-8": (-1, lambda store, paths: with_other_bytes(store, paths[-1])),
    "no first record": (1, lambda store, paths: store.delete(paths[0])),
    "a gap": (4, lambda store, paths: store.delete(paths[3])),
    "a first record that is none": (0, lambda store, _: rewritten(store, 0, lambda r: r.update(kind="intent"))),
    "another number": (5, lambda store, _: rewritten(store, 5, lambda r: r.update(number=6))),
    "another step": (5, lambda store, _: rewritten(store, 5, lambda r: r.update(step="seed/other"))),
    "another kind": (5, lambda store, _: rewritten(store, 5, lambda r: r.update(kind="failed"))),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_journal_that_is_not_whole_is_refused_and_its_file_is_named(name: str) -> None:
    _, migrations = waiting()
    number, damage = DAMAGED[name]
    paths = records(migrations.store)
    damage(migrations.store, paths)
    with pytest.raises(UnreadableError) as error:
        migrations.history()
    assert paths[number] in error.value.what


def test_a_first_record_that_does_not_begin_is_refused() -> None:
    _, migrations = waiting()
    first = records(migrations.store)[0]
    rewritten(migrations.store, 0, lambda record: record.update(kind="intent"))
    renamed(migrations.store, first, first.replace("begin.json", "intent.json"))
    with pytest.raises(UnreadableError, match="0000-migration-intent") as error:
        migrations.history()
    assert "`begin`" in error.value.why


def test_a_foreign_file_in_a_journal_is_named() -> None:
    _, migrations = waiting()
    folder = records(migrations.store)[0].rpartition("/")[0]
    assert migrations.store.create(f"{folder}/notes.txt", "{}")
    for read in (migrations.history, lambda: guard.open_migration(migrations.store, "demo")):
        with pytest.raises(UnreadableError, match=r"notes\.txt"):
            read()


@pytest.mark.parametrize("change", [by(SCHEMA + 1, "9.1.0"), lambda record: record.pop("kind")])
def test_one_journal_that_can_not_be_read_hides_no_other(change: Change) -> None:
    _, migrations = waiting()
    rewritten(migrations.store, 3, change)
    broken = migrations.ids()[0]
    for path in list(migrations.store.paths(f"migrations/demo/{broken}")):
        copy = path.replace(broken, f"{broken}-2")
        assert migrations.store.create(copy, migrations.store.read(path) or "")
    good = f"{broken}-2"
    path = migrations.store.paths(f"migrations/demo/{good}")[3]
    migrations.store.delete(path)
    _, other = waiting()
    assert migrations.store.create(path, other.store.read(records(other.store)[3]) or "")
    text = views.list_text(migrations.statuses()).splitlines()
    assert f"{broken}  " in text[0]
    assert "unknown: the record migrations/demo/" in text[0]
    assert text[1].startswith(f"{good}  east -> west")
    documents = [views.row_document(row) for row in migrations.statuses()]
    assert [(each["id"], each["state"]) for each in documents] == [(broken, "unknown"), (good, "waiting")]
    assert documents[0].keys() - {"error"} == documents[1].keys()


def test_a_foreign_file_among_the_locks_holds_nobody_for_good() -> None:
    store = StateStore(MemoryStore())
    assert store.create("migrations/demo/locks/notes.txt", "")
    with pytest.raises(LockedError, match="an unknown user"), lock.locked(store, "demo"):
        pass
    with lock.locked(store, "demo", break_lock=True):
        assert store.paths("migrations/demo/locks") == ["migrations/demo/locks/0000.json"]


def test_an_open_journal_that_can_not_be_read_is_told_and_refused() -> None:
    _, migrations = waiting()
    rewritten(migrations.store, -1, by(SCHEMA + 1, "9.1.0"))
    seen = guard.latest_open_migration(migrations.store, "demo")
    assert isinstance(seen, UnreadableMigration)
    assert seen.migration == migrations.ids()[0]
    with pytest.raises(NewerVersionError):
        guard.open_migration(migrations.store, "demo")


def test_a_journal_that_breaks_off_anywhere_is_read() -> None:
    """A killed run leaves the records up to some point."""
    _, migrations = waiting()
    paths = records(migrations.store)
    for length in range(len(paths) - 1, 0, -1):
        migrations.store.delete(paths[length])
        assert len(migrations.history()[1].records) == length


def test_a_journal_of_more_than_ten_thousand_records_is_read_in_order() -> None:
    store = StateStore(MemoryStore())
    for number in range(9998, 10002):
        assert store.create(f"migrations/demo/m/{number}-a-done.json", "")
    assert [path.split("/")[-1][:5].rstrip("-") for path in record_paths(store, "migrations/demo/m")] == [
        "9998",
        "9999",
        "10000",
        "10001",
    ]


def test_a_newer_journal_names_its_version() -> None:
    _, migrations = waiting()
    rewritten(migrations.store, -1, by(SCHEMA + 1, "9.1.0"))
    with pytest.raises(NewerVersionError, match=r"made by meshctl 9\.1\.0") as error:
        migrations.history()
    assert "install meshctl 9.1.0 or a newer version" in error.value.hint


@pytest.mark.parametrize("end", ["finish", "rollback"])
def test_a_journal_without_schema_versions_is_continued(end: str) -> None:
    _, migrations = waiting()
    for number in range(len(records(migrations.store))):
        rewritten(migrations.store, number, older)
    before = migrations.history()[1]
    assert {record.schema for record in before.records} == {0}
    after = getattr(migrations, end)()
    assert after.outcome
    assert after.plan == before.plan
    assert {record.stamp.made_by for record in after.records} == {"", __version__}


@dataclass(frozen=True)
class RecordOf2979742:
    """The reader of records in 2979742 was `Record(**json.loads(text))`, with these fields."""

    number: int
    step: str
    kind: str
    at: float
    owner: str
    data: dict[str, Any] = field(default_factory=dict)


def test_a_colleague_on_an_older_version_reads_what_this_one_writes() -> None:
    _, migrations = waiting()
    store = migrations.store
    read = [RecordOf2979742(**json.loads(store.read(path) or "")) for path in records(store)]
    assert [(record.number, record.kind) for record in read] == [
        (record.number, record.kind) for record in migrations.history()[1].records
    ]


def test_the_stamp_of_a_record_is_no_part_of_its_data() -> None:
    _, migrations = waiting()
    assert {record.stamp for record in migrations.history()[1].records} == {OWN}
    assert [record for record in migrations.history()[1].records if "meshctl" in record.data] == []


def test_records_with_their_stamp_outside_of_the_data_are_read() -> None:
    _, migrations = waiting()
    before = migrations.history()
    for number in range(len(records(migrations.store))):
        rewritten(migrations.store, number, stamped_outside_of_data)
    assert migrations.history() == before


def test_a_lock_of_a_newer_version_says_who_holds_it() -> None:
    _, migrations = waiting()
    owner = {"user": "eve", "host": "elsewhere", "pid": 7, "started": 1.0, "since": "today", "more": True}
    assert migrations.store.create("migrations/demo/locks/0000.json", json.dumps(owner))
    with pytest.raises(LockedError, match="eve@elsewhere"):
        migrations.resume()


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe{"])
def test_a_lock_that_cannot_be_read_is_held_until_somebody_breaks_it(content: bytes) -> None:
    store = StateStore(MemoryStore())
    obstore.put(store.store, "migrations/demo/locks/0000.json", content)
    with pytest.raises(LockedError, match="an unknown user"), lock.locked(store, "demo"):
        pass
    with lock.locked(store, "demo", break_lock=True) as lease:
        assert lease.taken_over_from is not None
