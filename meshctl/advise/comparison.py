"""Measured numbers beside what is expected, and beside those of other environments. PURE. Called by `cli.bench`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from meshctl.advise import formulas, inference, runs, storage
from meshctl.advise.figures import Figure
from meshctl.advise.human import amount
from meshctl.advise.situation import Situation
from meshctl.advise.storage import Rate
from meshctl.catalog import Catalog, measured, speeds
from meshctl.measure import dcgm, gemm, nccl, serving
from meshctl.measure.results import Result
from meshctl.model.deployment import Deployment, Workload
from meshctl.printable import one_line

_UNKNOWN: Final = "no expectation known"
_OF_SEARCH: Final = 0.8  # of a rate that is the best of many shapes
_OF_ACCELERATORS: Final = (serving.OUTPUT, nccl.ALL_REDUCE, gemm.PRODUCT)
_LARGE_BLOCK: Final = 128 * 2**10  # bytes; smaller ones measure operations
_HIDDEN: Final = (
    "subject",
    "completed",
    "failed",
    "passed",
    "skipped",
    "kept_rate",
)  # of a setting: they tell no two results apart
_STATUS: Final = "status"  # nor does this, which is shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectations:
    """By what is expected in one environment: its workloads, machines and storage."""

    deployment: Deployment
    catalog: Catalog


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The newest result for one subject and setting. `low`, `high`: expected, None where nothing is known, or no upper
    end; `basis`: by whom, or why not. `usd_per_million_tokens`: of output tokens at the measured rate.
    `usd_per_gpu_hour`: what an accelerator costs; None also where the result is of something else. `note`: what has
    changed since, "" = nothing that is known."""

    environment: str
    subject: str
    result: Result
    low: float | None
    high: float | None
    basis: str
    usd_per_million_tokens: float | None = None
    usd_per_gpu_hour: float | None = None
    note: str = ""

    @property
    def delivered_share(self) -> float | None:
        """Of the least that is expected; None where nothing is."""
        return min(self.result.value / self.low, 1.0) if self.low else None

    @property
    def usd_per_delivered_gpu_hour(self) -> float | None:
        """As if the part that is missing were accelerators that are paid for and not there."""
        share = self.delivered_share
        return self.usd_per_gpu_hour / share if self.usd_per_gpu_hour is not None and share else None

    @property
    def verdict(self) -> str:
        if self.low is None:
            return _UNKNOWN
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
    """Of each subject, metric, setting, machine, origin and version: none of them hides a result of another one."""
    latest = {_identity(result): result for result in sorted(results, key=lambda each: each.taken.date)}
    return list(latest.values())


def _identity(result: Result) -> tuple[object, ...]:
    """meshctl's own version is no part of it: it measures the same as the one before."""
    versions = frozenset((name, version) for name, version in result.versions.items() if name != "meshctl")
    taken, subject = result.taken, result.setting.get("subject", "")
    return subject, result.metric, _words(result, (*_HIDDEN, _STATUS)), taken.machine, taken.origin, versions


def label(result: Result) -> str:
    """The setting in words."""
    return _words(result, _HIDDEN)


def _words(result: Result, without: Sequence[str]) -> str:
    setting = ((key, value) for key, value in result.setting.items() if key not in without)
    return ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in setting)


def _row(environment: str, result: Result, expected: Expectations | None) -> Row:
    served = _served(result, expected) if expected is not None else None
    low, high, basis = _expected(result, served, expected)
    return Row(
        environment=environment,
        subject=result.setting.get("subject", ""),
        result=result,
        low=low,
        high=high,
        basis=basis,
        usd_per_million_tokens=_usd(result, served),
        usd_per_gpu_hour=_usd_per_gpu_hour(result, expected),
        note=_note(result, expected),
    )


def _note(result: Result, expected: Expectations | None) -> str:
    """Of a run of a server; of a recording it is known that it is of another place."""
    name = result.setting.get("subject", "").removeprefix("workload/")
    workloads = expected.deployment.workloads if expected is not None and result.taken.origin == "measured" else ()
    workload = next((each for each in workloads if each.name == name), None)
    return runs.other_image(result, workload) if workload is not None else ""


def _served(result: Result, expected: Expectations) -> Situation | None:
    """Of the workload whose output tokens the run has counted, with the run's own tokens."""
    name = result.setting.get("subject", "").removeprefix("workload/")
    workload = next((each for each in expected.deployment.workloads if each.name == name), None)
    if result.metric != serving.OUTPUT or workload is None or not _is_served(workload):
        return None
    input_tokens, output_tokens = runs.tokens(result) or (0, 0)
    return Situation(
        deployment=expected.deployment,
        workload=workload,
        catalog=expected.catalog,
        results=(),
        input_tokens=input_tokens,
        output_tokens=output_tokens,
    )


def _is_served(workload: Workload) -> bool:
    return workload.kind == "inference" and workload.accelerators > 0


def _expected(
    result: Result, served: Situation | None, expected: Expectations | None
) -> tuple[float | None, float | None, str]:
    if result.metric == nccl.ALL_REDUCE:
        return _expected_all_reduce(result)
    if served is not None:
        return _expected_output(result, served)
    if result.metric == gemm.PRODUCT:
        return _expected_product(result)
    if result.metric == dcgm.FAILED:
        if result.setting.get(_STATUS) == dcgm.SKIPPED:
            return None, None, "it was not tested"
        return 0.0, 0.0, "an accelerator that is well fails none"
    kind, _, name = result.setting.get("subject", "").partition("/")
    direction: storage.Direction = "write" if result.metric.startswith("write") else "read"
    rate = storage.expected(expected.deployment, name, direction) if expected and kind == "storage" else None
    if expected is None or rate is None or result.unit != "MB/s":
        return None, None, _UNKNOWN
    return _expected_storage(result, rate, storage.clients(expected.deployment, name))


def _expected_product(result: Result) -> tuple[float | None, float | None, str]:
    """Four fifths of what others have found by a search over shapes, of which `bench` tries four."""
    setting = result.setting
    memory_gb = setting.get("memory_gb", "")
    accelerator = speeds.of_model(setting.get("accelerator", ""), float(memory_gb) if memory_gb else 0.0)
    row = next((each for each in measured.products() if accelerator and each.accelerator == accelerator.model), None)
    if row is None:
        return None, None, "nobody has published it for this accelerator"
    return _OF_SEARCH * row.tflops, None, f"{_OF_SEARCH:.0%} of {row.tflops:.4g} TFLOPS: {row.source}"


def _expected_storage(result: Result, rate: Rate, clients: int) -> tuple[float | None, float | None, str]:
    """fio measures one client. One that gets less than its share of what was bought says that all together get less,
    too: alone it may have more."""
    if not _moves_large_blocks(result):
        basis = "its blocks are small, in random order or not recorded, and storage here is sold by throughput"
        return None, None, f"{basis}, not by operations"
    if not clients:
        return None, None, "no workload of the mesh mounts it"
    share_mbps = rate.bytes_per_s / 1e6 / clients
    basis = f"the share of one of {clients} nodes in {amount(rate.bytes_per_s / 1e6)} MB/s: {rate.basis}"
    return storage.TOLERATED * share_mbps, None, basis


def _moves_large_blocks(result: Result) -> bool:
    match = re.fullmatch(r"(\d+)([kmg]?)i?b?", result.setting.get("bs", "").lower())
    factors = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30}
    is_in_order = result.setting.get("rw", "") in ("read", "write", "rw", "readwrite")
    return is_in_order and match is not None and int(match[1]) * factors[match[2]] >= _LARGE_BLOCK


def _expected_output(result: Result, served: Situation) -> tuple[float | None, float | None, str]:
    """Of all replicas, as a run goes through the endpoint to all of them: the band for its own model and tokens."""
    figure = _predicted(result, served)
    if isinstance(figure, str) or figure.low is None or figure.high is None:
        return None, None, figure if isinstance(figure, str) else figure.basis
    least, most = runs.replicas(result, served.workload)
    if not most:
        return None, None, "none of its replicas runs"
    if result.value < figure.low * least and runs.kept_rate(result):
        rate = result.setting["rate"]
        basis = f"the server kept up with {rate} requests/s, so it was not at full load: measure with a higher --rate"
        return None, None, basis
    replicas = f"{runs.count_text(least, most)} x a replica at full load"
    return figure.low * least, figure.high * most, f"{replicas}, by the formula of docs/advise.md: {figure.basis}"


def _predicted(result: Result, served: Situation) -> Figure | str:
    """Or why nothing is expected, in words."""
    if runs.tokens(result) is None:
        return "the run does not say how many tokens its requests have"
    if result.taken.origin == "replayed":
        return "it is a recording of another place, whose replicas are not known"
    if result.taken.machine not in ("", served.pool.machine):
        return f"the run is of another machine than its {served.pool.machine}"
    model_facts = runs.model_facts(result, served.workload)
    return model_facts if isinstance(model_facts, str) else inference.advice(served, model_facts).figures[0]


def _expected_all_reduce(result: Result) -> tuple[float | None, float | None, str]:
    """Within a tenth of what others have measured on the same machine, with the same ranks and size, and as much of it
    sharing NVLink, where the result says that."""
    ranks, size = result.setting.get("ranks"), result.setting.get("size_bytes")
    shared_by = result.setting.get("nvlink")
    match = next(
        (
            row
            for row in measured.all_reduces()
            if (row.machine, str(row.ranks), str(row.size_bytes)) == (result.taken.machine, ranks, size)
            and (shared_by is None or (row.nvlink == "rack") == (shared_by == "rack"))
        ),
        None,
    )
    if match is None:
        return None, None, "nobody has published it for this machine, number of ranks and size"
    gbps = match.bytes_per_s / 1e9
    return storage.TOLERATED * gbps, (2 - storage.TOLERATED) * gbps, f"{gbps:.4g} GB/s: {match.source}"


def _usd(result: Result, served: Situation | None) -> float | None:
    """Of the replicas that answered; the least of them, where load moves their number. Of a recording it is not known
    on what it ran."""
    usd = served.usd_per_hour if served is not None and result.taken.origin == "measured" else None
    if served is None or usd is None or not result.value or not served.workload.at_least:
        return None
    least, _ = runs.replicas(result, served.workload)
    return formulas.usd_per_million_tokens(usd * least / served.workload.at_least, result.value)


def _usd_per_gpu_hour(result: Result, expected: Expectations | None) -> float | None:
    """Of the pool whose accelerators or fabric were measured here. A recording was paid for elsewhere."""
    if expected is None or result.taken.origin == "replayed" or result.metric not in _OF_ACCELERATORS:
        return None
    kind, _, name = result.setting.get("subject", "").partition("/")
    pools = {f"pool/{pool.name}": pool for pool in expected.deployment.pools}
    pools |= {f"workload/{each.name}": expected.deployment.pool(each.pool) for each in expected.deployment.workloads}
    pool = pools.get(f"{kind}/{name}")
    if pool is None or result.taken.machine not in ("", pool.machine):
        return None
    return pool.accelerator_usd_per_hour


def document(table: Iterable[Row]) -> list[dict[str, Any]]:
    return [
        {**asdict(row), "usd_per_delivered_gpu_hour": row.usd_per_delivered_gpu_hour, "verdict": row.verdict}
        for row in table
    ]


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
    delivered, share = row.usd_per_delivered_gpu_hour, row.delivered_share
    if delivered is not None and share is not None:
        yield (
            f"  {'':<12} {delivered:.2f} USD per GPU-hour delivered: {row.usd_per_gpu_hour:.2f} USD, and {share:.0%} of"
            " what is expected at least"
        )
    yield one_line(f"  {'':<12} {label(result) or 'no setting said'}")
    if row.low is not None:
        until = f"{amount(row.low)} to {amount(row.high)}" if row.high is not None else f"at least {amount(row.low)}"
        yield one_line(f"  {'':<12} expected {until}: {row.basis}")
    elif row.basis != _UNKNOWN:
        yield one_line(f"  {'':<12} why: {row.basis}")
    versions = "".join(f", {name} {version}" for name, version in result.versions.items())
    yield one_line(
        f"  {'':<12} {result.taken.source}, {result.taken.date}, {result.taken.machine or 'unknown machine'}"
        f"{versions}{replayed}"
    )
    if row.note:
        yield one_line(f"  {'':<12} {row.note}")
    for warning in result.warnings:
        yield one_line(f"  {'':<12} warning: {warning}")
