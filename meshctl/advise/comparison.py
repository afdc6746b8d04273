"""Measured numbers beside what is expected, and beside those of other environments. PURE. Called by `cli.bench`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from meshctl.advise import formulas
from meshctl.advise.figures import Advice, WorkloadAdvice
from meshctl.advise.human import amount
from meshctl.advise.storage import Rate
from meshctl.catalog import measured
from meshctl.measure import nccl, serving
from meshctl.measure.results import Result
from meshctl.printable import one_line

_TOLERATED: Final = 0.9
_HIDDEN: Final = ("subject", "job", "completed", "failed", "skipped")  # of a setting: they tell no two results apart


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectations:
    """Of one environment: what the formulas say of its workloads, and what its storage is made to give, by name."""

    advice: Advice
    storage: Mapping[str, Rate]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The newest result for one subject and setting. `low`, `high`: expected, None where nothing is known, or no upper
    end; `basis`: by whom, or why not. `usd_per_million_tokens`: of output tokens at the measured rate."""

    environment: str
    subject: str
    result: Result
    low: float | None
    high: float | None
    basis: str
    usd_per_million_tokens: float | None = None

    @property
    def verdict(self) -> str:
        if self.low is None:
            return "no expectation known"
        value = self.result.value
        is_above = self.high is not None and value > self.high
        return "below" if value < self.low else "above" if is_above else "as expected"


def rows(results: Mapping[str, Iterable[Result]], expected: Mapping[str, Expectations]) -> tuple[Row, ...]:
    """By environment. `expected`: of those that could be resolved."""
    every = [
        _row(environment, result, expected.get(environment))
        for environment, measured_there in results.items()
        for result in newest(measured_there)
    ]
    return tuple(sorted(every, key=_order))


def _order(row: Row) -> tuple[str, str, int, str, str]:
    """What can be compared stands together: sizes in order, and environments below each other."""
    size = row.result.setting.get("size_bytes", "")
    return row.subject, row.result.metric, int(size) if size.isdecimal() else 0, row.environment, label(row.result)


def newest(results: Iterable[Result]) -> list[Result]:
    """Of each subject, metric and setting."""
    latest: dict[tuple[str, str, str], Result] = {}
    for result in sorted(results, key=lambda each: each.taken.date):
        latest[(result.setting.get("subject", ""), result.metric, label(result))] = result
    return list(latest.values())


def label(result: Result) -> str:
    """The setting in words."""
    setting = ((key, value) for key, value in result.setting.items() if key not in _HIDDEN)
    return ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in setting)


def _row(environment: str, result: Result, expected: Expectations | None) -> Row:
    subject = result.setting.get("subject", "")
    workload = _workload(subject, expected)
    low, high, basis = _expected(result, workload, expected)
    return Row(
        environment=environment,
        subject=subject,
        result=result,
        low=low,
        high=high,
        basis=basis,
        usd_per_million_tokens=_usd(result, workload),
    )


def _workload(subject: str, expected: Expectations | None) -> WorkloadAdvice | None:
    workloads = expected.advice.workloads if expected is not None else ()
    return next((each for each in workloads if subject == f"workload/{each.workload}"), None)


def _expected(
    result: Result, workload: WorkloadAdvice | None, expected: Expectations | None
) -> tuple[float | None, float | None, str]:
    if result.metric == nccl.ALL_REDUCE:
        return _expected_all_reduce(result)
    kind, _, name = result.setting.get("subject", "").partition("/")
    rate = expected.storage.get(name) if expected is not None and kind == "storage" else None
    if rate is not None and result.unit == "MB/s":
        return _TOLERATED * rate.bytes_per_s / 1e6, None, rate.basis
    figure = workload.figures[0] if workload is not None else None
    if result.metric == serving.OUTPUT and figure is not None and figure.low is not None:
        return figure.low, figure.high, f"at full load, by the formula of docs/advise.md: {figure.basis}"
    return None, None, "no expectation known"


def _expected_all_reduce(result: Result) -> tuple[float | None, float | None, str]:
    """Within a tenth of what others have measured on the same machine, with the same ranks and size."""
    ranks, size = result.setting.get("ranks"), result.setting.get("size_bytes")
    match = next(
        (
            row
            for row in measured.all_reduces()
            if (row.machine, str(row.ranks), str(row.size_bytes)) == (result.taken.machine, ranks, size)
        ),
        None,
    )
    if match is None:
        return None, None, "no expectation known for this machine, number of ranks and size"
    gbps = match.bytes_per_s / 1e9
    return _TOLERATED * gbps, (2 - _TOLERATED) * gbps, f"{gbps:.4g} GB/s: {match.source}"


def _usd(result: Result, workload: WorkloadAdvice | None) -> float | None:
    if result.metric != serving.OUTPUT or workload is None or workload.usd_per_hour is None or not result.value:
        return None
    return formulas.usd_per_million_tokens(workload.usd_per_hour, result.value)


def document(table: Iterable[Row]) -> list[dict[str, Any]]:
    return [{**asdict(row), "verdict": row.verdict} for row in table]


def text(table: Iterable[Row]) -> str:
    """One block for each subject and metric, its environments below each other."""
    lines: list[str] = []
    head = ""
    for row in table:
        title = f"{row.subject or 'no subject'}: {row.result.metric}"
        if title != head:
            lines.extend([*([""] if lines else []), one_line(title)])
            head = title
        lines.extend(_lines(row))
    return "\n".join(lines) + "\n" if lines else "nothing was measured yet\n"


def _lines(row: Row) -> Iterator[str]:
    result = row.result
    percentiles = ", ".join(f"{name} {amount(value)}" for name, value in result.percentiles.items())
    spread = f" ({percentiles})" if percentiles else ""
    replayed = ", replayed" if result.taken.origin == "replayed" else ""
    yield one_line(f"  {row.environment:<12} {amount(result.value)} {result.unit}{spread}; {row.verdict}")
    if row.usd_per_million_tokens is not None:
        yield f"  {'':<12} {row.usd_per_million_tokens:.2f} USD per million output tokens at this rate"
    yield one_line(f"  {'':<12} {label(result) or 'no setting said'}")
    if row.low is not None:
        until = f"{amount(row.low)} to {amount(row.high)}" if row.high is not None else f"at least {amount(row.low)}"
        yield one_line(f"  {'':<12} expected {until}: {row.basis}")
    versions = "".join(f", {name} {version}" for name, version in result.versions.items())
    yield one_line(
        f"  {'':<12} {result.taken.source}, {result.taken.date}, {result.taken.machine or 'unknown machine'}"
        f"{versions}{replayed}"
    )
    for warning in result.warnings:
        yield one_line(f"  {'':<12} warning: {warning}")
