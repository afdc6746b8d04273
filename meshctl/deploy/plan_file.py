"""Saved plans: `plan --out FILE`, `up --plan FILE`. EDGE (files).

A saved plan says what `up` may do. `up --plan` makes a new preview and refuses to go on when its changes differ from
the saved ones, because the mesh, the environment, or what this version of meshctl makes of them has changed since.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from meshctl import atomic_write
from meshctl.changes import Plan
from meshctl.errors import FileError, StalePlanError, UnreadableError, UsageError
from meshctl.model.persisted import OWN, Format, stamp_of
from meshctl.model.value import Value

_INTERFACE: Final = 1  # the version of the JSON that `meshctl plan` prints, which a saved plan contains


class SavedChange(BaseModel):
    """One reviewed change. Changes are compared as a whole, so the other fields need no declaration here."""

    model_config = ConfigDict(frozen=True, extra="allow")

    subject: str


class SavedPlan(Value):
    """A saved plan.

    Fields that are not compared are listed, too. A field that is not listed is refused, because a newer meshctl may
    have added it as a condition of the plan.
    """

    meshctl: Literal[1]
    schema_: int = Field(default=0, alias="schema")
    made_by: str = ""
    environment: str
    digest: str
    changes: tuple[SavedChange, ...]
    outside: tuple[SavedChange, ...] = ()  # plans of meshctl before 0.1.0 have none
    counts: Mapping[str, int] = Field(default_factory=dict)
    cost: Mapping[str, float | None] = Field(default_factory=dict)
    data_at_risk: tuple[str, ...] = ()
    data_losses: tuple[dict[str, Any], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def reviewed(self) -> list[dict[str, Any]]:
        return [change.model_dump() for change in (*self.changes, *self.outside)]


PLAN: Final[Format[SavedPlan]] = Format(SavedPlan.model_validate)  # the only reader of saved plans


def check_place(path: Path) -> None:
    """Check, before a preview is made, that a plan can be saved at `path`. Raises: UsageError."""
    folder = path.resolve().parent
    if path.is_dir():
        why = "it is a folder"
    elif not folder.is_dir():
        why = f"there is no folder {folder}"
    elif not os.access(path if path.exists() else folder, os.W_OK):
        why = f"{path if path.exists() else folder} can't be written"
    else:
        return
    raise UsageError(
        f"--out {path}: the plan can't be saved there", why=why, hint="name a file in a folder that you can write to"
    )


def save(path: Path, plan: Plan) -> None:
    """Save the plan atomically. Raises: FileError."""
    text = json.dumps({"meshctl": _INTERFACE, **OWN.document(), **plan.document()}, indent=2) + "\n"
    is_special = path.exists() and not path.is_file()  # a device or pipe, such as /dev/stdout, can't be replaced
    try:
        if is_special:
            path.write_text(text)
        else:
            atomic_write.write(path.resolve(), text)
    except OSError as error:
        raise FileError(f"the plan can't be saved to {path}: {error.strerror}", hint="name another file") from error


def check(path: Path, plan: Plan) -> None:
    """Check that a saved plan has the same changes as the one just made.

    Raises: UsageError (not a plan), NewerVersionError, StalePlanError.
    """
    saved_plan = _read(path)
    again = f"review a new plan: `meshctl plan {plan.environment} --out {path}`, then apply that"
    if saved_plan.environment != plan.environment:
        raise StalePlanError(f"the plan is for {saved_plan.environment}, not for {plan.environment}", hint=again)
    if saved_plan.digest != plan.digest:
        raise _other_digest(saved_plan.made_by, again)
    unseen = sorted({*plan.data_at_risk} - {*saved_plan.data_at_risk})
    if unseen:
        raise StalePlanError(
            "more data would be lost than the plan says", why=f"not in the plan: {', '.join(unseen)}", hint=again
        )
    pending = SavedPlan.model_validate(json.loads(json.dumps({"meshctl": _INTERFACE, **plan.document()})))
    if saved_plan.reviewed != pending.reviewed:
        old = {change.subject for change in (*saved_plan.changes, *saved_plan.outside)}
        new = {change.subject for change in (*pending.changes, *pending.outside)}
        differing = sorted(old ^ new) or sorted(old)
        raise StalePlanError(
            "the environment has changed since the plan was made",
            why=f"the changes are no longer the same for: {', '.join(differing)}",
            hint=again,
        )


def _other_digest(made_by: str, hint: str) -> StalePlanError:
    """What another version of meshctl resolves from the same files can differ, too: by a default, or a new field."""
    why = "the digest of the resolved mesh differs"
    if made_by == OWN.made_by:
        return StalePlanError("the mesh has changed since the plan was made", why=why, hint=hint)
    maker = f"meshctl {made_by}" if made_by else "an older meshctl"
    return StalePlanError(
        "the mesh, or what meshctl makes of it, has changed since the plan was made",
        why=f"{why}; the plan was made by {maker}, and this is meshctl {OWN.made_by}",
        hint=hint,
    )


def _read(path: Path) -> SavedPlan:
    """Raises: UsageError for a file that is not a plan, NewerVersionError for one of a newer meshctl."""
    hint = "`meshctl plan ENV --out FILE` makes one"
    try:
        document = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} can't be read as a plan", why=str(error), hint=hint) from error
    place = f"the plan {path}"
    try:
        stamp = stamp_of(document, place)
        return PLAN.read(document, stamp, place)
    except UnreadableError as error:
        raise UsageError(f"{path} is not a plan of meshctl", why=error.why, hint=hint) from error
