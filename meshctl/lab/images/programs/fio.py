"""fio, as far as `meshctl bench` uses it: real reads and writes in the folder that it is given, and fio's JSON. EDGE.

Started by `meshctl.lab.images.commands` for pods whose image has fio. It keeps one operation under way, whatever
`iodepth` says, and of several files it uses the first. A folder above its own that has a file `.lab-mbps` with a number
is as slow as that: see docs/lab.md.
"""

from __future__ import annotations

import json
import math
import mmap
import os
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

RATE_FILE: Final = ".lab-mbps"
VERSION: Final = "fio-3.35"
_BYTES: Final = {"k": 2**10, "M": 2**20, "G": 2**30}
_PERCENTILES: Final = (50.0, 90.0, 95.0, 99.0, 99.9)


@dataclass(frozen=True)
class Job:
    """One of fio's. `options`: as they were written."""

    name: str
    options: dict[str, str]

    @property
    def is_write(self) -> bool:
        return "write" in self.options["rw"]

    @property
    def is_random(self) -> bool:
        return self.options["rw"].startswith("rand")


@dataclass(frozen=True)
class Measured:
    moved_bytes: int
    duration_s: float
    latencies_ns: Sequence[int]


def main(words: Sequence[str]) -> int:
    shared, jobs = parse(words)
    folder = Path(shared["directory"])
    try:
        _lay_out(folder / _file(shared), _bytes(shared["size"]), _rate(folder))
        measured = [_run(job, folder) for job in jobs]
    except OSError as error:
        sys.stderr.write(f"fio: {error.strerror}: {folder}, error={error.errno}\n")
        return 1
    Path(shared["output"]).write_text(json.dumps(report(shared, jobs, measured)))
    return 0


def parse(words: Sequence[str]) -> tuple[dict[str, str], list[Job]]:
    """The options before the first `--name`, and the jobs, each with those and its own."""
    shared: dict[str, str] = {}
    own: list[tuple[str, dict[str, str]]] = []
    for word in words:
        key, _, value = word.removeprefix("--").partition("=")
        if key == "name":
            own.append((value, {}))
        else:
            (own[-1][1] if own else shared)[key] = value or "1"
    return shared, [Job(name, {**shared, **options}) for name, options in own]


def report(shared: dict[str, str], jobs: Sequence[Job], measured: Sequence[Measured]) -> dict[str, Any]:
    """fio's JSON: of each job both directions, of which one moved nothing."""
    return {
        "fio version": VERSION,
        "timestamp": int(time.time()),
        "global options": {key: shared[key] for key in sorted(shared) if key not in ("output", "output-format")},
        "jobs": [_job_report(job, each, shared) for job, each in zip(jobs, measured, strict=True)],
    }


def _job_report(job: Job, measured: Measured, shared: dict[str, str]) -> dict[str, Any]:
    own = {key: value for key, value in job.options.items() if shared.get(key) != value}
    idle = Measured(0, measured.duration_s, ())
    return {
        "jobname": job.name,
        "error": 0,
        "job options": {"name": job.name, **own},
        "read": _direction(idle if job.is_write else measured),
        "write": _direction(measured if job.is_write else idle),
    }


def _direction(measured: Measured) -> dict[str, Any]:
    count, latencies = len(measured.latencies_ns), sorted(measured.latencies_ns)
    at = (latencies[max(math.ceil(percent / 100 * count), 1) - 1] if count else 0 for percent in _PERCENTILES)
    percentiles = {f"{percent:.6f}": value for percent, value in zip(_PERCENTILES, at, strict=True)}
    clat: dict[str, Any] = {"min": latencies[0] if count else 0, "max": latencies[-1] if count else 0, "N": count}
    clat |= {"mean": statistics.fmean(latencies) if count else 0.0, **({"percentile": percentiles} if count else {})}
    return {
        "io_bytes": measured.moved_bytes,
        "bw_bytes": round(measured.moved_bytes / measured.duration_s),
        "iops": count / measured.duration_s,
        "runtime": round(measured.duration_s * 1000),
        "total_ios": count,
        "clat_ns": clat,
    }


def _file(options: dict[str, str]) -> str:
    return options["filename"].partition(":")[0]


def _bytes(text: str) -> int:
    return int(text[:-1]) * _BYTES[text[-1]] if text[-1] in _BYTES else int(text)


def _rate(folder: Path) -> float:
    """Bytes per second that the folder is limited to; 0 = as fast as it is."""
    limits = [each / RATE_FILE for each in folder.parents if (each / RATE_FILE).is_file()]
    return float(limits[0].read_text()) * 1e6 if limits else 0.0


def _lay_out(path: Path, size: int, rate: float) -> None:
    """Write the file once, as fio does for jobs that read it."""
    block = os.urandom(2**20)
    begun = time.monotonic()
    with path.open("wb") as file:
        for written in range(0, size, len(block)):
            file.write(block[: size - written])
            _keep_to(rate, written + len(block), begun)


def _run(job: Job, folder: Path) -> Measured:
    """Read or write for as long as it says. Raises: OSError, as for a file system without direct I/O."""
    path, size, block_bytes = folder / _file(job.options), _bytes(job.options["size"]), _bytes(job.options["bs"])
    flags = (os.O_WRONLY if job.is_write else os.O_RDONLY) | (os.O_DIRECT if job.options["direct"] == "1" else 0)
    file = os.open(path, flags)
    try:
        if job.options["direct"] != "1":
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        with mmap.mmap(-1, block_bytes) as block:  # aligned, as direct I/O asks for
            block.write(os.urandom(block_bytes))
            transfer = os.pwritev if job.is_write else os.preadv

            def act(at: int) -> int:
                return transfer(file, [block], at)

            return _moved(job, act, blocks=size // block_bytes, rate=_rate(folder), end=lambda: os.fsync(file))
    finally:
        os.close(file)


def _moved(job: Job, act: Callable[[int], int], *, blocks: int, rate: float, end: Callable[[], None]) -> Measured:
    chance = random.Random(0)  # noqa: S311 (no secret)
    block_bytes, runtime_s = _bytes(job.options["bs"]), float(job.options["runtime"])
    latencies: list[int] = []
    moved, begun = 0, time.monotonic()
    while time.monotonic() - begun < runtime_s:
        number = chance.randrange(blocks) if job.is_random else len(latencies) % blocks
        sent = time.monotonic_ns()
        moved += act(number * block_bytes)
        _keep_to(rate, moved, begun)
        latencies.append(time.monotonic_ns() - sent)
    if "end_fsync" in job.options:
        end()
    return Measured(moved, time.monotonic() - begun, latencies)


def _keep_to(rate: float, moved: int, begun: float) -> None:
    if rate:
        time.sleep(max(begun + moved / rate - time.monotonic(), 0))
