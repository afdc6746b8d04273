"""The journal of one migration or one shift: numbered records that are only ever added. EDGE; `Record` is a value.

Written by `runner` before and after each step, read by `history`; in the same way by those of `meshctl.shift`. One file
for each record:

    migrations/<mesh>/<id>/0007-seed.weights-intent.json

A run stops if another run has written a record with its next number. Since every action is preceded by an intent, a
run whose lock was broken therefore can't act any more. Each record has its own schema version, because different
versions of meshctl may write to one journal. It is stored in the record's `data`: versions up to 2979742 refuse a
record with unknown keys, but accept any key in `data`.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

from pydantic import ConfigDict, TypeAdapter

from meshctl import __version__
from meshctl.engine.state_store import StateStore
from meshctl.errors import LockedError
from meshctl.model.persisted import SCHEMA, Document, Format, Stamp, stamp_of, unreadable

STAMP: Final = "meshctl"  # the key of a persisted record's `data` that holds its stamp

Kind = Literal["begin", "intent", "done", "failed", "decided", "direction", "closed"]


@dataclass(frozen=True)
class Record:
    """One entry of the journal. Its `kind` is one of:

    - `begin`: the first record; its data has the plan
    - `intent`, `done`: before and after a step
    - `failed`: the error of a step (`data.code` is the error's code; older journals lack it)
    - `decided`: the user's answer for a step whose effect could not be determined
    - `direction`: from here on the migration goes `data.to` (forward, rollback, finish)
    - `closed`: the last record

    `at` is in seconds since the epoch. For `schema` and `made_by` see `model.persisted`."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    number: int
    step: str
    kind: Kind
    at: float
    owner: str
    data: dict[str, Any] = field(default_factory=dict)
    schema: int = SCHEMA
    made_by: str = __version__

    @property
    def stamp(self) -> Stamp:
        return Stamp(self.schema, self.made_by)

    @property
    def file_name(self) -> str:
        return f"{self.number:04d}-{self.step.replace('/', '.')}-{self.kind}.json"

    def document(self) -> Document:
        """The record as it is stored: the stamp is in `data`."""
        fields = {key: value for key, value in asdict(self).items() if key not in self.stamp.document()}
        return {**fields, "data": {**self.data, STAMP: self.stamp.document()}}


# By kind of record: the key that its data must have, and the allowed values.
_REQUIRED: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "decided": ("as", ("done", "again")),
    "direction": ("to", ("forward", "rollback", "finish")),
    "closed": ("outcome", ("finished", "rolled-back")),
}
# The types of those optional keys of the data that later steps read.
_TYPES: Final[dict[str, type | tuple[type, ...]]] = {
    **dict.fromkeys(("plan", "source", "target", "etags"), dict),
    **dict.fromkeys(("again", "finished", "take_over", "agreed_losses"), list),
    **dict.fromkeys(("objects", "bytes", "deleted", "ttl_s"), (int, float)),
}
_ADAPTER: Final = TypeAdapter(Record)


def _built(document: Document) -> Record:
    """A record without schema version gets 0. Raises: ValidationError, ValueError."""
    record = _ADAPTER.validate_python({**Stamp().document(), **document})
    key, allowed = _REQUIRED.get(record.kind, ("", ()))
    if key and record.data.get(key) not in allowed:
        raise ValueError(f"`{key}` of a {record.kind} record is {record.data.get(key)!r}")
    for name, expected in _TYPES.items():
        if record.data.get(name) is not None and not isinstance(record.data[name], expected):
            raise ValueError(f"`{name}` of a {record.kind} record is {type(record.data[name]).__name__}")
    return record


RECORD: Final[Format[Record]] = Format(_built)  # the only reader of records


@dataclass(frozen=True)
class Undertaking:
    """What a journal records: a migration or a shift. `name`: in messages; `folder`: of its journals; `show`: the
    command that shows one, in which `{id}` and `{mesh}` stand for those of the journal."""

    name: str
    folder: str
    show: str


MIGRATION: Final = Undertaking("migration", "migrations", "meshctl migrations show {id}")


@dataclass
class Journal:
    """The records of one migration, oldest first. `owner` is this run, as written into new records."""

    store: StateStore
    mesh: str
    migration: str
    owner: str
    records: list[Record] = field(default_factory=list)
    of: Undertaking = MIGRATION

    @property
    def prefix(self) -> str:
        return f"{self.of.folder}/{self.mesh}/{self.migration}"

    def add(self, step: str, kind: Kind, at: float, data: dict[str, Any] | None = None) -> Record:
        """Append a record; it is stored when this returns. Raises: LockedError if another run has written since."""
        number = self.records[-1].number + 1 if self.records else 0
        record = Record(number, step, kind, at, self.owner, data or {})
        path = f"{self.prefix}/{record.file_name}"
        newest = max((_number(path) for path in self.store.paths(self.prefix)), default=-1)
        text = json.dumps(record.document(), indent=1, sort_keys=True)
        if newest >= number or not self._written(path, text):
            raise LockedError(
                f"another run works on {self.of.name} {self.migration}",
                why=f"it has written record {newest} in the meantime",
                hint=f"`{self.of.show.format(id=self.migration, mesh=self.mesh)}` shows how far it is",
            )
        self.records.append(record)
        return record

    def _written(self, path: str, text: str) -> bool:
        """Write the record; False if the file exists with another content. An equal content is this record itself: the
        answer to the write was lost, and the client of the store repeated the write.
        """
        return self.store.create(path, text) or self.store.read(path) == text


def open_journal(store: StateStore, mesh: str, migration: str, owner: str, of: Undertaking = MIGRATION) -> Journal:
    """Read a journal; an empty one for a new migration. Raises: NewerVersionError, UnreadableError."""
    journal = Journal(store, mesh, migration, owner, of=of)
    for number, path in enumerate(record_paths(store, journal.prefix)):
        record = _record(path, store.read(path) or "")
        _check_place(record, number, path)
        journal.records.append(record)
    return journal


def _check_place(record: Record, number: int, path: str) -> None:
    """The records of a journal are numbered from 0 without a gap. A killed run may leave a journal without its end, but
    never one without its beginning or middle. Raises: UnreadableError."""
    if path.rpartition("/")[2] != record.file_name:
        raise unreadable(_place(path), f"its content belongs to a file named {record.file_name}")
    if record.number != number:
        raise unreadable(_place(path), f"record {number}, which comes before it, is missing")


def record_paths(store: StateStore, prefix: str) -> list[str]:
    """The files of a journal in the order of their numbers. Raises: UnreadableError for a file that is not a record."""
    return sorted(store.paths(prefix), key=_number)


def migrations(store: StateStore, mesh: str, of: Undertaking = MIGRATION) -> list[str]:
    """The ids of all migrations of the mesh, oldest first."""
    folders = {path.split("/")[2] for path in store.paths(f"{of.folder}/{mesh}") if path.count("/") == 3}
    return sorted(folders - {"locks"})


def closed(store: StateStore, mesh: str, migration: str, of: Undertaking = MIGRATION) -> bool:
    """Whether the migration is over; reads only its last record. An empty journal counts as over."""
    paths = record_paths(store, f"{of.folder}/{mesh}/{migration}")
    return not paths or _record(paths[-1], store.read(paths[-1]) or "").kind == "closed"


def last_open(store: StateStore, mesh: str, ids: list[str]) -> str:
    """The newest migration that is not over, which may be an expansion beside a later migration that was given up; else
    the last one."""
    return next((each for each in reversed(ids) if not closed(store, mesh, each)), ids[-1])


def _number(path: str) -> int:
    number = path.rpartition("/")[2].partition("-")[0]
    if not number.isdecimal():
        raise unreadable(_place(path), "the name of a record begins with its number, and this one does not")
    return int(number)


def _place(path: str) -> str:
    return f"the record {path} of a migration's journal"


def _record(path: str, text: str) -> Record:
    place = _place(path)
    try:
        document = json.loads(text)
    except ValueError as error:
        raise unreadable(place, f"it is not valid JSON: {error}") from error
    return RECORD.read(*_without_stamp(document, place), place)


def _without_stamp(document: object, place: str) -> tuple[object, Stamp]:
    """The record with the stamp moved out of `data` to the other fields, as in `Record`; and the stamp. Development
    versions after 2979742 stored the stamp beside the other fields."""
    data = document.get("data") if isinstance(document, dict) else None
    if not isinstance(document, dict) or not isinstance(data, dict) or STAMP not in data:
        return document, stamp_of(document, place)
    stamp = stamp_of(data[STAMP], place)
    own_data = {key: value for key, value in data.items() if key != STAMP}
    return {**document, "data": own_data, **stamp.document()}, stamp
