"""Measured numbers beside what is expected, and beside those of other environments. PURE. Called by `cli.bench`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from meshctl.advise import formulas
from meshctl.advise.figures import Advice
from meshctl.advise.human import amount
from meshctl.catalog import measured
from meshctl.measure import nccl, serving
from meshctl.measure.results import Result
from meshctl.printable import one_line

_HIDDEN: Final = ("subject", "job", "completed", "failed", "skipped")  # of a setting: they tell no two results apart


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The newest result for one subject and setting. `low`, `high`: expected, None where nothing is known; `basis`: by
    whom, or why not. `usd_per_million_tokens`: of output tokens at the measured rate."""

    environment: str
    subject: str
    result: Result
    low: float | None
    high: float | None
    basis: str
    usd_per_million_tokens: float | None = None

    @property
    def verdict(self) -> str:
        if self.low is None or self.high is None:
            return "no expectation known"
        value = self.result.value
        return "below" if value < self.low else "above" if value > self.high else "as expected"


def rows(results: Mapping[str, Iterable[Result]], advice: Mapping[str, Advice]) -> tuple[Row, ...]:
    """By environment. `advice`: with what each is expected to do, where it could be resolved."""
    every = [
        _row(environment, result, advice.get(environment))
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


def _row(environment: str, result: Result, advice: Advice | None) -> Row:
    subject = result.setting.get("subject", "")
    low, high, basis = _expected(result, subject, advice)
    return Row(
        environment=environment,
        subject=subject,
        result=result,
        low=low,
        high=high,
        basis=basis,
        usd_per_million_tokens=_usd(result, subject, advice),
    )


def _expected(result: Result, subject: str, advice: Advice | None) -> tuple[float | None, float | None, str]:
    if result.metric == nccl.ALL_REDUCE:
        return _expected_all_reduce(result)
    figure = _compute_figure(subject, advice)
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
    return 0.9 * gbps, 1.1 * gbps, f"{gbps:.4g} GB/s: {match.source}"


def _compute_figure(subject: str, advice: Advice | None) -> Any:
    workloads = advice.workloads if advice is not None else ()
    return next((each.figures[0] for each in workloads if subject == f"workload/{each.workload}"), None)


def _usd(result: Result, subject: str, advice: Advice | None) -> float | None:
    workloads = advice.workloads if advice is not None else ()
    workload = next((each for each in workloads if subject == f"workload/{each.workload}"), None)
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
    if row.low is not None and row.high is not None:
        yield one_line(f"  {'':<12} expected {amount(row.low)} to {amount(row.high)}: {row.basis}")
    versions = "".join(f", {name} {version}" for name, version in result.versions.items())
    yield one_line(
        f"  {'':<12} {result.taken.source}, {result.taken.date}, {result.taken.machine or 'unknown machine'}"
        f"{versions}{replayed}"
    )
    for warning in result.warnings:
        yield one_line(f"  {'':<12} warning: {warning}")
