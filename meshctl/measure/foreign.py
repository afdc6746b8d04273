"""Takes documents of other programs apart: what is missing or of another kind is one error that names it. PURE.

Used by the modules that read a program's output.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from meshctl.errors import ForeignOutputError


def refused(program: str, why: str) -> ForeignOutputError:
    return ForeignOutputError(
        f"this is no output of {program} that can be read",
        why=why,
        hint="give the file that the program wrote, whole and unchanged; docs/bench.md lists programs and versions",
    )


def parsed(program: str, text: str) -> Mapping[str, Any]:
    """The JSON object in `text`, whatever other lines (warnings, a progress bar) stand before it.

    Raises: ForeignOutputError.
    """
    start = text.find("{")
    if start < 0:
        raise refused(program, "there is no JSON object in it")
    try:
        document, _ = json.JSONDecoder().raw_decode(text, start)
    except ValueError as error:
        raise refused(program, f"its JSON is damaged or cut off: {error}") from error
    return mapping(program, document, "the document")


def mapping(program: str, value: object, name: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise refused(program, f"{name} is not an object")
    return value


def sequence(program: str, value: object, name: str) -> Sequence[Any]:
    if not isinstance(value, list) or not value:
        raise refused(program, f"{name} is not a list with entries")
    return value


def number(program: str, value: object, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise refused(program, f"{name} is {value!r}, not a number")
    return float(value)


def number_or_none(program: str, value: object, name: str) -> float | None:
    return None if value is None else number(program, value, name)


def inside(program: str, value: object, *keys: str) -> Any:
    """`value[keys[0]][keys[1]]…`. Raises: ForeignOutputError with the path of what is missing."""
    for position, key in enumerate(keys):
        parent = mapping(program, value, ".".join(keys[:position]) or "the document")
        if key not in parent:
            raise refused(program, f"{'.'.join(keys[: position + 1])} is missing")
        value = parent[key]
    return value
