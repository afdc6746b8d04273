"""Saved plans: `plan --out FILE`, `up --plan FILE`. EDGE (files).

A saved plan is a promise about what `up` will do. `up` previews once more and refuses when the changes are not the same
ones: because the mesh changed, or the world did.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from meshctl import __version__
from meshctl.changes import Plan
from meshctl.engine import whole_file
from meshctl.errors import FileError, StalePlanError, UsageError

_FORMAT = 1


def check_place(path: Path) -> None:
    """Before a preview is made for it. Raises: UsageError where no plan can be saved."""
    folder = path.resolve().parent
    if path.is_dir():
        why = "it is a folder"
    elif not folder.is_dir():
        why = f"there is no folder {folder}"
    elif not os.access(path if path.exists() else folder, os.W_OK):
        why = f"{path if path.exists() else folder} can't be written"
    else:
        return
    raise UsageError(f"--out {path}: the plan can't be saved there", why=why, hint="name a file in a folder of yours")


def save(path: Path, plan: Plan) -> None:
    """Whole, or not at all. Raises: FileError."""
    text = json.dumps({"meshctl": _FORMAT, "made_by": __version__, **plan.document()}, indent=2) + "\n"
    is_special = path.exists() and not path.is_file()  # a device or pipe, such as /dev/stdout: not to be replaced
    try:
        if is_special:
            path.write_text(text)
        else:
            whole_file.write(path.resolve(), text)
    except OSError as error:
        raise FileError(f"the plan can't be saved to {path}: {error.strerror}", hint="name another file") from error


def check(path: Path, plan: Plan) -> None:
    """Compare a saved plan with the one just made. Raises: UsageError (not a plan), StalePlanError."""
    saved = _read(path)
    again = f"review `meshctl plan {plan.environment} --out {path}` and apply that"
    if saved["environment"] != plan.environment:
        raise StalePlanError(f"the plan is for {saved['environment']}, not for {plan.environment}", hint=again)
    if saved["digest"] != plan.digest:
        raise StalePlanError(
            "the mesh changed since the plan was made", why="its resolved form has another digest", hint=again
        )
    unseen = sorted({*plan.data_at_risk} - {*saved.get("data_at_risk", ())})
    if unseen:
        raise StalePlanError(
            "more data would be lost than the plan says", why=f"now also: {', '.join(unseen)}", hint=again
        )
    now = json.loads(json.dumps(plan.document()))
    reviewed = saved["changes"] + saved.get("outside", [])  # plans of meshctl before 0.1.0 have no "outside"
    pending = now["changes"] + now["outside"]
    if reviewed != pending:
        old = {change["subject"] for change in reviewed}
        new = {change["subject"] for change in pending}
        differing = sorted(old ^ new) or sorted(old)
        raise StalePlanError(
            "the environment changed since the plan was made",
            why=f"other changes now for: {', '.join(differing)}",
            hint=again,
        )


def _is_plan(saved: dict[str, Any]) -> bool:
    changes = saved.get("changes")
    if not isinstance(changes, list) or not {"environment", "digest"} <= saved.keys():
        return False
    return all(isinstance(change, dict) and isinstance(change.get("subject"), str) for change in changes)


def _read(path: Path) -> dict[str, Any]:
    try:
        saved = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{path} can't be read as a plan", why=str(error), hint="`meshctl plan ENV --out FILE` makes one"
        ) from error
    if not isinstance(saved, dict) or saved.get("meshctl") != _FORMAT or not _is_plan(saved):
        raise UsageError(
            f"{path} is not a plan of this version of meshctl", hint="`meshctl plan ENV --out FILE` makes one"
        )
    return saved
