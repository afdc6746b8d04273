"""What fio prints with `--output-format=json` or `json+`. PURE.

Source: fio 3.16, 3.33 and 3.36 (fio.readthedocs.io, "JSON output"). Decimal megabytes, as the catalog has them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from meshctl.measure.foreign import inside, mapping, number, parsed, refused, sequence
from meshctl.measure.results import Result, Taken

PROGRAM: Final = "fio"

_KEPT: Final = {"50.000000": "p50", "90.000000": "p90", "95.000000": "p95", "99.000000": "p99", "99.900000": "p99.9"}
_OPTIONS: Final = ("rw", "bs", "iodepth", "numjobs", "size", "direct", "ioengine")


def read(text: str, taken: Taken) -> tuple[Result, ...]:
    """For each job, and each direction that moved data: MB/s and operations per second, and its latency in ms.

    Raises: ForeignOutputError, also for a job that failed.
    """
    document = parsed(PROGRAM, text)
    version = str(inside(PROGRAM, document, "fio version")).removeprefix("fio-")
    jobs = sequence(PROGRAM, document.get("jobs"), "jobs")
    shared = mapping(PROGRAM, document.get("global options", {}), "global options")
    results = tuple(
        result for job in jobs for result in _job(mapping(PROGRAM, job, "a job"), shared, {"fio": version}, taken)
    )
    if not results:
        raise refused(PROGRAM, "none of its jobs has moved any data")
    return results


def _job(job: Mapping[str, Any], shared: Mapping[str, Any], versions: dict[str, str], taken: Taken) -> Iterator[Result]:
    name = str(job.get("jobname", ""))
    if job.get("error"):
        raise refused(PROGRAM, f"its job {name} failed with error {job['error']}")
    options = {**shared, **mapping(PROGRAM, job.get("job options", {}), "job options")}
    setting: dict[str, str] = {"job": name, **{key: str(options[key]) for key in _OPTIONS if key in options}}
    for direction in ("read", "write"):
        part = mapping(PROGRAM, job.get(direction, {}), direction)
        if not part.get("io_bytes"):
            continue
        made: dict[str, Any] = {"what": "storage", "taken": taken, "setting": setting, "versions": versions}
        bandwidth = number(PROGRAM, part.get("bw_bytes"), f"{direction}.bw_bytes") / 1e6
        operations = number(PROGRAM, part.get("iops"), f"{direction}.iops")
        yield Result(metric=f"{direction} throughput", value=round(bandwidth, 3), unit="MB/s", **made)
        yield Result(metric=f"{direction} operations", value=round(operations, 1), unit="1/s", **made)
        yield _latency(part, direction, made)


def _latency(part: Mapping[str, Any], direction: str, made: Mapping[str, Any]) -> Result:
    """Of completion; of the whole operation where fio was told `lat_percentiles=1`."""
    parts = [mapping(PROGRAM, part.get(key, {}), f"{direction}.{key}") for key in ("clat_ns", "lat_ns")]
    latency = next((each for each in parts if each.get("percentile")), parts[0])
    table = mapping(PROGRAM, latency.get("percentile", {}), f"{direction} percentiles")
    mean_ns = number(PROGRAM, latency.get("mean"), f"{direction}.clat_ns.mean")
    percentiles = {
        name: round(number(PROGRAM, table[key], f"percentile {key}") / 1e6, 4)
        for key, name in _KEPT.items()
        if key in table
    }
    return Result(
        metric=f"{direction} latency", value=round(mean_ns / 1e6, 4), unit="ms", percentiles=percentiles, **made
    )
