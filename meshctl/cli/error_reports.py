"""Errors as a user sees them: three lines at most (what, why, hint), or one JSON object. EDGE.

Used by `cli.main` for the error that ends a command, and by commands on several environments for those of each.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from meshctl.cli.context import say
from meshctl.errors import MeshError
from meshctl.printable import one_line


def show(error: MeshError, environment: str = "") -> None:
    """On stderr. `environment`: which one it is about, where the message alone does not have to say it."""
    for diagnostic in getattr(error, "diagnostics", ()):
        say(str(diagnostic))
    whose = f"{environment}: " if environment and not error.what.startswith(environment) else ""
    say(one_line(f"error: {whose}{error.what}"))
    if error.why:
        say(one_line(f"  why: {error.why}"))
    if error.hint:
        say(one_line(f"  hint: {error.hint}"))


def document(error: MeshError) -> dict[str, Any]:
    parts: dict[str, Any] = {"code": error.code, "what": error.what, "why": error.why, "hint": error.hint}
    parts["exit_code"] = error.exit_code
    for name in ("diagnostics", "failures", "fields"):
        if hasattr(error, name):
            parts[name] = [dataclasses.asdict(item) for item in getattr(error, name)]
    if hasattr(error, "gaps"):
        parts["gaps"] = [gap.model_dump() for gap in error.gaps]
    return parts
