"""The journal of one migration: numbered records that are only ever added. EDGE; `Record` is a value.

Written by `runner` before and after each step, read by `history`. One file for each record:

    migrations/<mesh>/<id>/0007-seed.weights-intent.json

A run that finds a number taken stops: so a run whose lock was broken can't act any more, since every act has an intent
before it. Each record has a schema version of its own, since different versions of meshctl may write to one journal.
It is persisted in the record's `data`: versions up to 2979742 refuse a record with keys that they don't know, but take
`data` as it is.
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
    """`begin` opens the journal (`data`: the plan); `direction` turns it (`data.to`: forward, rollback, finish);
    `failed` holds the error (`data.code`: its kind; journals made before lack it); `decided` is a person's answer to an
    undecidable step; `closed` ends it. `at` is in seconds since the epoch. For `schema` and `made_by` see
    `model.persisted`."""

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
        """What is persisted: the stamp lies in `data`."""
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


@dataclass
class Journal:
    """One migration's records, oldest first. `owner` names this run in what it adds."""

    store: StateStore
    mesh: str
    migration: str
    owner: str
    records: list[Record] = field(default_factory=list)

    @property
    def prefix(self) -> str:
        return f"migrations/{self.mesh}/{self.migration}"

    def add(self, step: str, kind: Kind, at: float, data: dict[str, Any] | None = None) -> Record:
        """Append; durable when it returns. Raises: LockedError when another run wrote meanwhile."""
        number = self.records[-1].number + 1 if self.records else 0
        record = Record(number, step, kind, at, self.owner, data or {})
        path = f"{self.prefix}/{record.file_name}"
        newest = max((_number(path) for path in self.store.paths(self.prefix)), default=-1)
        text = json.dumps(record.document(), indent=1, sort_keys=True)
        if newest >= number or not self._written(path, text):
            raise LockedError(
                f"another run goes on with migration {self.migration}",
                why=f"it wrote record {newest} in the meantime",
                hint=f"`meshctl migrations show {self.migration}`",
            )
        self.records.append(record)
        return record

    def _written(self, path: str, text: str) -> bool:
        """False when there is another record of that name. It is this very one where the answer to the write got lost
        and the store's client wrote it once more.
        """
        return self.store.create(path, text) or self.store.read(path) == text


def open_journal(store: StateStore, mesh: str, migration: str, owner: str) -> Journal:
    """Read a journal; an empty one for a new migration. Raises: NewerVersionError, UnreadableError."""
    journal = Journal(store, mesh, migration, owner)
    for number, path in enumerate(record_paths(store, journal.prefix)):
        record = _record(path, store.read(path) or "")
        _check_place(record, number, path)
        journal.records.append(record)
    return journal


def _check_place(record: Record, number: int, path: str) -> None:
    """The records of a journal are numbered from 0 without a gap. A killed run may leave a journal without its end, but
    never one without its beginning or middle. Raises: UnreadableError."""
    if path.rpartition("/")[2] != record.file_name:
        raise unreadable(_place(path), f"by what it holds its name would be {record.file_name}")
    if record.number != number:
        raise unreadable(_place(path), f"record {number} of this journal is missing before it")


def record_paths(store: StateStore, prefix: str) -> list[str]:
    """The files of a journal by number. Raises: UnreadableError for a file that is no record."""
    return sorted(store.paths(prefix), key=_number)


def migrations(store: StateStore, mesh: str) -> list[str]:
    """The ids of all migrations of the mesh, oldest first."""
    found = {path.split("/")[2] for path in store.paths(f"migrations/{mesh}") if path.count("/") == 3}
    return sorted(found - {"locks"})


def closed(store: StateStore, mesh: str, migration: str) -> bool:
    """Whether the migration is over; reads its last record only. A journal that was never begun counts as over."""
    paths = record_paths(store, f"migrations/{mesh}/{migration}")
    return not paths or _record(paths[-1], store.read(paths[-1]) or "").kind == "closed"


def _number(path: str) -> int:
    number = path.rpartition("/")[2].partition("-")[0]
    if not number.isdecimal():
        raise unreadable(_place(path), "its name does not begin with a number, as those of all records do")
    return int(number)


def _place(path: str) -> str:
    return f"the record {path} of a migration's journal"


def _record(path: str, text: str) -> Record:
    place = _place(path)
    try:
        document = json.loads(text)
    except ValueError as error:
        raise unreadable(place, f"it is no JSON: {error}") from error
    return RECORD.read(*_without_stamp(document, place), place)


def _without_stamp(document: object, place: str) -> tuple[object, Stamp]:
    """A record with its stamp beside the other fields, as `Record` has it, and the stamp. Some records have the stamp
    there: development versions after 2979742 wrote them so."""
    data = document.get("data") if isinstance(document, dict) else None
    if not isinstance(document, dict) or not isinstance(data, dict) or STAMP not in data:
        return document, stamp_of(document, place)
    stamp = stamp_of(data[STAMP], place)
    others = {key: value for key, value in data.items() if key != STAMP}
    return {**document, "data": others, **stamp.document()}, stamp
