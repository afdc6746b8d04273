"""The lab's parts: which there are, which of them run, and why the others do not. EDGE: reads processes and logs.

Used by `up`, which starts and mends them, and by `meshctl lab status`.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from meshctl.lab import clusters
from meshctl.lab.restarts import Ending, last_words
from meshctl.lab.state import Lab, read_json

# name -> the module that runs it, and the port that answers once it is ready ("" = it has none)
PARTS = {
    "aws": ("meshctl.lab.aws", "aws"),
    "stores": ("meshctl.lab.stores", "store_dc1"),
    "controllers": ("meshctl.lab.controllers", "webhook"),
    "network": ("meshctl.lab.network", "dns"),
    "pods": ("meshctl.lab.pods", ""),
}


@dataclass(frozen=True)
class Dead:
    """One program that does not run. `ending` is None where nobody was there to see it end."""

    program: str
    log: Path
    last_words: str
    ending: Ending | None = None

    def __str__(self) -> str:
        how = f"{self.ending.how} at {_clock(self.ending.at)}" if self.ending else "ended"
        words = f": {self.last_words}" if self.last_words else ""
        return f"{self.program}, {how}{words} (log: {self.log})"


@dataclass(frozen=True)
class PartState:
    """One part or control plane. `restarted`: the ends after which the lab started a program of it again."""

    name: str
    dead: tuple[Dead, ...] = ()
    restarted: tuple[Ending, ...] = ()

    @property
    def up(self) -> bool:
        return not self.dead


def states(lab: Lab) -> list[PartState]:
    """Every part, then every control plane. Empty when there is no lab."""
    if not lab.file.exists():
        return []
    living = {process.pid: command_line(process) for process in lab.processes()}
    parts = [_part(lab, name, living) for name in PARTS]
    return parts + [_plane(lab, name, living) for name in read_json(lab.file).get("clusters", {})]


def lines(state: PartState) -> list[str]:
    """What `meshctl lab status` says of a part."""
    text_lines = [f"{'up  ' if state.up else 'DOWN'}  {state.name}"]
    text_lines += [f"      {each}" for each in state.dead]
    return text_lines + [f"      started again: {_as_dead(each)}" for each in state.restarted]


def document(parts: Sequence[PartState]) -> dict[str, Any]:
    """What `meshctl lab status --output json` says of the parts. `at` is in seconds since 1970."""
    ended = [{"part": state.name, **_dead_document(each)} for state in parts for each in state.dead]
    again = [{"part": state.name, **_dead_document(_as_dead(each))} for state in parts for each in state.restarted]
    return {
        "up": bool(parts) and all(state.up for state in parts),
        "parts": {state.name: state.up for state in parts},
        "ended": ended,
        "restarted": again,
    }


def _dead_document(dead: Dead) -> dict[str, Any]:
    ending = dead.ending
    return {
        "program": dead.program,
        "how": ending.how if ending else None,
        "at": ending.at if ending else None,
        "last_words": dead.last_words,
        "log": str(dead.log),
    }


def _as_dead(ending: Ending) -> Dead:
    return Dead(ending.program, Path(ending.log), ending.last_words, ending)


def command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


def _part(lab: Lab, name: str, living: Mapping[int, list[str]]) -> PartState:
    module, _ = PARTS[name]
    if any(module in words for words in living.values()):
        return PartState(name)
    log = lab.logs / f"{name}.log"
    return PartState(name, (Dead(module, log, _words(log)),))


def _plane(lab: Lab, name: str, living: Mapping[int, list[str]]) -> PartState:
    endings = clusters.endings(lab, name)
    last = {each.program: each for each in endings}
    dead = [_dead(lab, name, program, last.get(program)) for program in clusters.dead(lab, name, living)]
    return PartState(name, tuple(dead), tuple(each for each in endings if each.restarted))


def _dead(lab: Lab, name: str, program: str, ending: Ending | None) -> Dead:
    log = clusters.log_of(lab, name, program)
    return Dead(program, log, ending.last_words if ending else _words(log), ending)


def _words(log: Path) -> str:
    try:
        return last_words(log.read_text(errors="replace"))
    except OSError:
        return ""


def _clock(at: float) -> str:
    return datetime.datetime.fromtimestamp(at).astimezone().strftime("%H:%M:%S")
