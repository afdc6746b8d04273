"""One measured number with everything that makes it comparable, and the JSON document that keeps many of them. PURE.

Made by the modules that read a program's output (`nccl`, `fio`, `dcgm`, `gemm`, `rclone`, `serving`, `load`, `rag`);
read by `meshctl.advise`. A number without machine, setting and date is worth nothing a month later, so a result can't
be made without them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final, Literal

from meshctl.errors import NewerVersionError, UnreadableError

SCHEMA: Final = 1

What = Literal["fabric", "storage", "serve", "gpu", "rag"]
Origin = Literal["measured", "replayed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """Under which circumstances numbers were taken. `date`: RFC 3339 or a day; `source`: the run, file or page that
    they are from. `origin`: replayed where a program printed a recorded output instead of measuring."""

    machine: str
    date: str
    source: str
    origin: Origin = "measured"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """`percentiles`: by name ("p50", "p99"), in `unit`. `setting`: what the number depends on ("size_bytes": "1024").
    `versions`: by program. `warnings`: what makes the number doubtful, in sentences."""

    what: What
    metric: str
    value: float
    unit: str
    taken: Taken
    percentiles: Mapping[str, float] = field(default_factory=dict)
    setting: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def document(results: Iterable[Result]) -> dict[str, Any]:
    """What is written beside the state: {"schema": 1, "results": [{what, metric, value, unit, taken, …}]}."""
    return {"schema": SCHEMA, "results": [asdict(result) for result in results]}


def from_text(text: str, *, where: str) -> tuple[Result, ...]:
    """The results of a document. `where`: the file, for messages.

    Raises: NewerVersionError for a later schema; UnreadableError for anything else that isn't such a document.
    """
    try:
        content = json.loads(text)
        schema, rows = content["schema"], content["results"]
        if isinstance(schema, int) and schema > SCHEMA:
            raise NewerVersionError(
                f"the results in {where} are of a newer meshctl",
                why=f"they have schema {schema}, and this version reads up to {SCHEMA}",
                hint="install the version that wrote them, or a newer one",
            )
        return tuple(_result(row) for row in rows)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnreadableError(
            f"{where} holds no results of meshctl",
            why=f"{type(error).__name__}: {error}",
            hint="delete the file and measure again",
        ) from error


def _result(row: Mapping[str, Any]) -> Result:
    names = {each.name for each in fields(Result)}
    if unknown := sorted(set(row) - names):
        raise ValueError(f"a result has no field {unknown[0]}")
    value = row["value"]
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value!r} is no number")
    warnings = tuple(str(warning) for warning in row.get("warnings", ()))
    return Result(**{**row, "taken": Taken(**row["taken"]), "warnings": warnings})
