"""Runs and times programs in turns, so that a busy moment of the machine hits both sides of a ratio. EDGE.

Used by every row of `tests.bench`; what comes out is an `Outcome`, which `table` prints.
"""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

PYTHON = (sys.executable,)
LAUNCH = Path(__file__).with_name("launch.py")
MESHCTL = (sys.executable, "-m", "meshctl.cli.main")
RUN_S = 3600  # the longest that one measured command may take


class NotMeasured(Exception):  # noqa: N818 (an outcome, not an error)
    """A row that can't be measured here, and why."""


@dataclass(frozen=True)
class Outcome:
    """One row of the table. `holds` is None where nothing was measured."""

    row: str
    goal: str
    measured: str
    baseline: str = ""
    ratio: float | None = None
    holds: bool | None = None
    note: str = ""


@dataclass(frozen=True)
class Samples:
    """Values of one side, in the order of their measuring."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def text(self, unit: str = "s", digits: int = 2) -> str:
        """Median, and in brackets the smallest and largest value."""
        if len(self.values) == 1:
            return f"{self.median:.{digits}f} {unit}"
        low, high = min(self.values), max(self.values)
        return f"{self.median:.{digits}f} {unit} ({low:.{digits}f}…{high:.{digits}f})"


@dataclass(frozen=True)
class Ended:
    """A program that ran to its end: wall and CPU time in seconds, its largest resident size in MB.

    CPU time and size are the process's own and those of children that it waited for.
    """

    seconds: float
    cpu_s: float
    peak_mb: float
    stdout: str


def interleaved(
    sides: Mapping[str, Callable[[], float]], repetitions: int, *, warm_up: bool = True
) -> dict[str, Samples]:
    """Each side's values, measured a, b, c, b, c, a, …; the first round warms caches and does not count.

    Each round starts one side later: what one leaves behind (deleted data to compact) must not always hit the same.
    """
    found: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(repetitions + warm_up):
        order = list(sides)
        for name in order[number % len(order) :] + order[: number % len(order)]:
            value = sides[name]()
            if number >= warm_up:
                found[name].append(value)
    return {name: Samples(tuple(values)) for name, values in found.items()}


def run(
    command: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    codes: Sequence[int] = (0,),
) -> Ended:
    """Run one program to its end. Raises: RuntimeError with its output when it ends with none of `codes`."""
    with tempfile.TemporaryDirectory(prefix="meshctl-bench-run-") as folder:
        result, output = Path(folder) / "result", Path(folder) / "output"
        with output.open("wb") as stream:
            done = subprocess.run(
                [sys.executable, "-S", str(LAUNCH), str(result), *command],
                cwd=cwd,
                env=dict(env or os.environ),
                stdout=stream,
                stderr=subprocess.STDOUT,
                check=False,
                timeout=RUN_S,
            )
        text = output.read_text(errors="replace")
        if done.returncode not in codes:
            raise RuntimeError(f"{' '.join(command)}: exit {done.returncode}\n{text[-4000:]}")
        seconds, cpu_s, peak_mb = (float(part) for part in result.read_text().split())
    return Ended(seconds, cpu_s, peak_mb, text)


def machine() -> str:
    """Cores, memory and load: what the numbers were measured on."""
    memory_gib = psutil.virtual_memory().total / 2**30
    load = os.getloadavg()[0]
    return f"{os.cpu_count()} cores, {memory_gib:.0f} GiB, load average {load:.1f}, Python {platform.python_version()}"
