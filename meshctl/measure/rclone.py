"""What rclone says at the end of a copy with `--use-json-log --stats-log-level=NOTICE`: as throughput of a store. PURE.

Source: rclone 1.75, `fs/accounting/stats.go`, whose remote control documents the same keys (`core/stats`). Called by
`meshctl.bench.storage`, for a copy to the store and one from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meshctl.measure.foreign import inside, mapping, number, parsed, refused
from meshctl.measure.results import Result, Taken

PROGRAM = "rclone"


def read(text: str, taken: Taken, setting: Mapping[str, str]) -> tuple[Result, ...]:
    """Two lines: of the copy to the store, and of the one from it. In decimal MB/s. Raises: ForeignOutputError."""
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) != 2:
        raise refused(PROGRAM, f"it has {len(lines)} lines of statistics, not one of writing and one of reading")
    pairs = zip(("write", "read"), lines, strict=True)
    return tuple(_throughput(direction, line, taken, setting) for direction, line in pairs)


def _throughput(direction: str, line: str, taken: Taken, setting: Mapping[str, str]) -> Result:
    stats = mapping(PROGRAM, inside(PROGRAM, parsed(PROGRAM, line), "stats"), "stats")
    moved, seconds = (number(PROGRAM, stats.get(key), f"stats.{key}") for key in ("bytes", "elapsedTime"))
    if moved <= 0 or seconds <= 0 or stats.get("errors"):
        raise refused(PROGRAM, f"the copy to {direction} moved {moved:.0f} bytes, with {stats.get('errors')} errors")
    made: dict[str, Any] = {"what": "storage", "taken": taken, "versions": {}}
    return Result(
        metric=f"{direction} throughput",
        value=round(moved / seconds / 1e6, 3),
        unit="MB/s",
        setting={"bytes": f"{moved:.0f}", **setting},
        **made,
    )
