"""The format of what meshctl keeps between two commands: its number, and how older ones are read. PURE.

Kept are the outputs of each stack with the deployment among them, saved plans, and the records of a migration's
journal. All of them carry one number, `SCHEMA`, and the version of meshctl that wrote them. Each kind has one `Format`,
which is the only reader of that kind: it upgrades what an older version wrote, and names what it can't read. The
formats are `DEPLOYMENT` and `OUTPUTS` of `model.stack_state`, `engine.names.NAME`, `engine.plan_file.PLAN`,
`migrate.journal.RECORD` and `migrate.history.MIGRATION_PLAN`. See ADR 0029.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

from pydantic import ValidationError

from meshctl import __version__
from meshctl.errors import NewerVersionError, UnreadableError

Kept = TypeVar("Kept")
Document = dict[str, Any]
Upgrade = Callable[[Document], Document]

# Raised by one whenever the shape of anything that is kept changes so that this version could not read it as it is.
SCHEMA: Final = 1

# Errors of pydantic that a newer version causes by what it adds: a field, or one more word for a field that has a fixed
# set of words.
_ADDED = ("extra_forbidden", "unexpected_keyword_argument", "literal_error")


@dataclass(frozen=True)
class Stamp:
    """Which format a document has, and which meshctl wrote it. Without a number it is of a version that kept none: 0,
    and nobody knows which one."""

    schema: int = 0
    made_by: str = ""

    def document(self) -> Document:
        return {"schema": self.schema, "made_by": self.made_by}


OWN: Final = Stamp(SCHEMA, __version__)


def stamp_of(document: object, place: str) -> Stamp:
    """The stamp among the keys of a document. Raises: UnreadableError for one that is no stamp."""
    found = document if isinstance(document, Mapping) else {}
    schema, made_by = found.get("schema", 0), found.get("made_by", "")
    if not isinstance(schema, int) or isinstance(schema, bool) or schema < 0 or not isinstance(made_by, str):
        raise unreadable(place, f"its schema version is {schema!r}")
    return Stamp(schema, made_by)


@dataclass(frozen=True)
class Format(Generic[Kept]):
    """The one reader of a kind. `build` makes the value of a document in the format of today, and raises pydantic's
    ValidationError; `upgrades` has for the number of a format the function that makes the following one of it. A number
    that is not there changed nothing for this kind. `parts`: the keys under which a document holds one of another kind,
    which is upgraded with it."""

    build: Callable[[Document], Kept]
    upgrades: Mapping[int, Upgrade] = field(default_factory=dict)
    parts: Mapping[str, Format[Any]] = field(default_factory=dict)

    def upgraded(self, document: Document, schema: int) -> Document:
        for number in range(schema, SCHEMA):
            document = self._next(document, number)
        return document

    def _next(self, document: Document, number: int) -> Document:
        upgrade = self.upgrades.get(number)
        changed = upgrade(document) if upgrade is not None else document
        held = {key: part for key, part in self.parts.items() if isinstance(changed.get(key), dict)}
        nested = {key: part._next(changed[key], number) for key, part in held.items()}
        return {**changed, **nested}

    def read(self, document: object, stamp: Stamp, place: str) -> Kept:
        """`place`: what is read, for a person ("the state of aws-east").

        Raises: NewerVersionError, UnreadableError.
        """
        refuse_newer(stamp, place)
        if not isinstance(document, dict):
            raise unreadable(place, f"it holds {type(document).__name__} where an object is expected")
        try:
            return self.build(self.upgraded(document, stamp.schema))
        except ValidationError as error:
            raise _named(error, stamp, place) from error
        except (AttributeError, KeyError, TypeError, ValueError) as error:  # an upgrade that met what it did not expect
            raise unreadable(place, f"{type(error).__name__}: {error}") from error


def refuse_newer(stamp: Stamp, place: str) -> None:
    """Raises: NewerVersionError where the format is of a version of meshctl that is still to come."""
    if stamp.schema > SCHEMA:
        raise newer(place, stamp, f"it has the format {stamp.schema}, and this meshctl reads up to format {SCHEMA}")


def newer(place: str, stamp: Stamp, why: str) -> NewerVersionError:
    maker = f"meshctl {stamp.made_by}" if stamp.made_by else "another version of meshctl"
    wanted = f"meshctl {stamp.made_by}" if stamp.made_by else "the version of meshctl that made it"
    return NewerVersionError(
        f"{place} was made by {maker}, and meshctl {__version__} can't read it",
        why=f"{why}; nothing was changed",
        hint=f"install {wanted} or a newer one, and run the command again",
    )


def unreadable(place: str, why: str) -> UnreadableError:
    return UnreadableError(
        f"{place} can't be read",
        why=f"{why}; nothing was changed",
        hint="it was damaged, or edited by hand: bring back the last good copy of it, and run the command again",
    )


def _named(error: ValidationError, stamp: Stamp, place: str) -> NewerVersionError | UnreadableError:
    """Never with a value: what is kept may hold what nobody should read on a screen."""
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    added = [problem for problem in problems if problem["type"] in _ADDED]
    first = (added or problems)[0]
    path = ".".join(str(part) for part in first["loc"]) or "the whole of it"
    if not added:
        return unreadable(place, f"{path}: {first['msg']}")
    what = "a value that is not known here" if first["type"] == "literal_error" else "a field that is not known here"
    return newer(place, stamp, f"it has {what}: {path}")
