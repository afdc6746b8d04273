"""Schema versions of what meshctl persists between two commands, and how older documents are read. PURE.

Persisted are the outputs of each stack with the deployment among them, saved plans, and the records of the journals of
migrations and shifts. Each of these documents carries one number, `SCHEMA`, and the version of meshctl that wrote it.
Each kind of document has one `Format`, which is its only reader: it upgrades a document of an older version, and raises
a named error for one that it can't read. The formats are `DEPLOYMENT` and `OUTPUTS` of `model.stack_state`,
`dns.records.DNS_RECORD`, `deploy.plan_file.PLAN`, `migrate.journal.journal.RECORD`,
`migrate.journal.history.MIGRATION_PLAN` and `shift.planning.plan.SHIFT_PLAN`. ADR 0029 says why, and how a shape is
changed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

from pydantic import ValidationError

from meshctl import __version__
from meshctl.errors import NewerVersionError, UnreadableError

Value = TypeVar("Value")
Document = dict[str, Any]
Upgrade = Callable[[Document], Document]

# The schema version that this version of meshctl writes. Add one when the shape of any persisted document changes in a
# way that needs an upgrade.
SCHEMA: Final = 1

# Errors of pydantic that an addition of a newer version causes: a new field, or a new value of a field that has a fixed
# set of values.
_ADDITIONS = ("extra_forbidden", "unexpected_keyword_argument", "literal_error")


@dataclass(frozen=True)
class Stamp:
    """The schema version of a document, and the version of meshctl that wrote it. Schema version 0 stands for documents
    of before schema versions; which meshctl wrote one of those is unknown."""

    schema: int = 0
    made_by: str = ""

    @property
    def is_newer(self) -> bool:
        """Whether a version newer than this one wrote the document. False where that is unknown."""
        return _numbers(self.made_by) > _numbers(__version__)

    def document(self) -> Document:
        return {"schema": self.schema, "made_by": self.made_by}


OWN: Final = Stamp(SCHEMA, __version__)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])


def stamp_of(document: object, place: str) -> Stamp:
    """The stamp that a document carries in its keys `schema` and `made_by`. Raises: UnreadableError."""
    keys = document if isinstance(document, Mapping) else {}
    schema, made_by = keys.get("schema", 0), keys.get("made_by", "")
    if not isinstance(schema, int) or isinstance(schema, bool) or schema < 0 or not isinstance(made_by, str):
        raise unreadable(place, f"its schema version is {schema!r}")
    return Stamp(schema, made_by)


@dataclass(frozen=True)
class Format(Generic[Value]):
    """The only reader of one kind of document.

    `build` makes a value from a document of the current schema version. It raises pydantic's ValidationError.
    `upgrades` maps a schema version to the function that turns a document of that version into one of the next. A
    version that is missing there did not change this kind of document.
    `parts` names the keys under which a document holds documents of another kind, which are upgraded with it.
    """

    build: Callable[[Document], Value]
    upgrades: Mapping[int, Upgrade] = field(default_factory=dict)
    parts: Mapping[str, Format[Any]] = field(default_factory=dict)

    def upgraded(self, document: Document, schema: int) -> Document:
        for version in range(schema, SCHEMA):
            document = self._next(document, version)
        return document

    def _next(self, document: Document, version: int) -> Document:
        upgrade = self.upgrades.get(version)
        changed = upgrade(document) if upgrade is not None else document
        present = {key: part for key, part in self.parts.items() if isinstance(changed.get(key), dict)}
        nested = {key: part._next(changed[key], version) for key, part in present.items()}
        return {**changed, **nested}

    def read(self, document: object, stamp: Stamp, place: str) -> Value:
        """`place` names the document in error messages ("the state of aws-east").

        Raises: NewerVersionError, UnreadableError.
        """
        if stamp.schema > SCHEMA:
            why = f"it has schema version {stamp.schema}, and this meshctl reads up to schema version {SCHEMA}"
            raise newer(place, stamp, why)
        if not isinstance(document, dict):
            raise unreadable(place, f"it holds {type(document).__name__} where an object is expected")
        try:
            return self.build(self.upgraded(document, stamp.schema))
        except ValidationError as error:
            raise _explained(error, stamp, place) from error
        except (AttributeError, KeyError, TypeError, ValueError) as error:  # raised by an upgrade of a damaged document
            raise unreadable(place, f"{type(error).__name__}: {error}") from error


def newer(place: str, stamp: Stamp, why: str) -> NewerVersionError:
    maker = f"meshctl {stamp.made_by}" if stamp.made_by else "another version of meshctl"
    wanted = f"meshctl {stamp.made_by}" if stamp.made_by else "the version of meshctl that made it"
    if stamp.made_by and not stamp.is_newer:
        maker, wanted = f"another build of {maker}", "the build that made it"
    return NewerVersionError(
        f"{place} was made by {maker}, and meshctl {__version__} can't read it",
        why=f"{why}; nothing was changed",
        hint=f"install {wanted} or a newer version, and run the command again",
    )


def unreadable(place: str, why: str, *, build: str = "") -> UnreadableError:
    """`build`: the version of which another build may have written the document."""
    return UnreadableError(
        f"{place} can't be read",
        why=f"{why}; nothing was changed",
        hint="it is damaged or was edited by hand: restore its last good copy, and run the command again"
        + (f"; or use the other build, if another build of meshctl {build} wrote it" if build else ""),
    )


def _explained(error: ValidationError, stamp: Stamp, place: str) -> NewerVersionError | UnreadableError:
    """Names the path of the first problem and never its value: a value may be confidential."""
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    additions = [problem for problem in problems if problem["type"] in _ADDITIONS]
    first = (additions or problems)[0]
    path = ".".join(str(part) for part in first["loc"]) or "the whole document"
    if not additions:
        return unreadable(place, f"{path}: {first['msg']}")
    unknown = "value" if first["type"] == "literal_error" else "field"
    why = f"it has a {unknown} that this version does not know: {path}"
    if stamp.made_by and not stamp.is_newer:
        return unreadable(place, f"{why}, but meshctl {stamp.made_by} wrote it", build=stamp.made_by)
    return newer(place, stamp, why)
