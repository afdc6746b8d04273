"""The summary of a migration: when DNS records moved, how long workloads were down, how much was copied. PURE.

Made only from the journal; shown by `views` at the end of a run and by `migrations show`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from meshctl.migrate.journal.history import History
from meshctl.migrate.journal.journal import Record
from meshctl.model.files.units import size_text
from meshctl.words import pluralize

# (the step that stops the workloads that run in one environment at a time, the step that starts them again)
_STOPS = (("quiesce/stop", "start/target"), ("rollback/stop", "rollback/source"))


@dataclass(frozen=True)
class Stopped:
    """A downtime of workloads, in seconds since the epoch. `until` is None while it lasts."""

    workloads: tuple[str, ...]
    since: float
    until: float | None


@dataclass(frozen=True)
class Moved:
    """When DNS records were changed to lead to an environment."""

    environment: str
    hosts: tuple[str, ...]
    at: float


@dataclass(frozen=True)
class Copies:
    """What was copied: `seeded_bytes` while the workloads ran, `stopped_bytes` while they were stopped."""

    objects: int
    seeded_bytes: int
    stopped_bytes: int


def moves_of_names(history: History) -> list[Moved]:
    plan, hosts = history.plan, {e.name: e.host for e in history.plan.endpoints}
    steps = (("cutover/names", plan.target), ("rollback/names", plan.source))
    return [
        Moved(deployment.environment, tuple(hosts.values()), history.done[step].at)
        for step, deployment in steps
        if step in history.done
    ]


def stops(history: History) -> list[Stopped]:
    """Each downtime of the workloads that the plan stops."""
    downtimes: list[Stopped] = []
    for stop, start in _STOPS:
        begun = next((r for r in history.records if r.step == stop and r.kind in ("intent", "done")), None)
        if begun is None:
            continue
        ends = [history.done[step].at for step in (start, "rollback/source") if step in history.done]
        later = [at for at in ends if at >= begun.at]
        downtimes.append(Stopped(history.plan.stopped, begun.at, min(later) if later else None))
    return downtimes


def copies(history: History) -> Copies:
    seeds = [record for step, record in history.done.items() if step.startswith("seed/")]
    later_copies = [r for step, r in history.done.items() if step.startswith(("sync/", "rollback/sync."))]
    return Copies(
        sum(_number(record, "objects") for record in (*seeds, *later_copies)),
        sum(_number(record, "bytes") for record in seeds),
        sum(_number(record, "bytes") for record in later_copies),
    )


def _number(record: Record, key: str) -> int:
    return int(record.data.get(key) or 0)


def done_document(history: History) -> dict[str, Any]:
    """The summary as JSON. Times are in UTC; `seconds` is null while a downtime lasts."""
    copied = copies(history)
    return {
        "names_moved": [
            {"to": moved.environment, "hosts": list(moved.hosts), "at": utc(moved.at)}
            for moved in moves_of_names(history)
        ],
        "stopped": [
            {
                "workloads": list(stop.workloads),
                "since": utc(stop.since),
                "seconds": None if stop.until is None else round(stop.until - stop.since, 1),
            }
            for stop in stops(history)
        ],
        "copied": {
            "objects": copied.objects,
            "bytes_while_running": copied.seeded_bytes,
            "bytes_while_stopped": copied.stopped_bytes,
        },
    }


def summary_lines(history: History) -> list[str]:
    """One line for each thing that has happened, without indentation."""
    lines = [f"DNS moved     to {m.environment} at {utc(m.at)} ({', '.join(m.hosts)})" for m in moves_of_names(history)]
    for stop in stops(history):
        names = ", ".join(stop.workloads)
        if stop.until is None:
            lines.append(f"stopped       {names} since {utc(stop.since)}, not started yet")
        else:
            lines.append(f"stopped       {names} for {span(stop.until - stop.since)}, from {utc(stop.since)}")
    if history.plan.moves and any(step.startswith("seed/") for step in history.done):
        copied = copies(history)
        sizes = f"{size_text(copied.seeded_bytes)} beforehand, {size_text(copied.stopped_bytes)} at the end"
        lines.append(f"copied        {pluralize(copied.objects, 'object')}: {sizes}")
    return lines


def span(seconds: float) -> str:
    """`45 s`, `3 min 20 s`, `2 h 5 min`."""
    whole_s = round(seconds)
    if whole_s < 60:
        return f"{whole_s} s"
    if whole_s < 3600:
        return f"{whole_s // 60} min {whole_s % 60} s"
    return f"{whole_s // 3600} h {whole_s % 3600 // 60} min"


def utc(at: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
