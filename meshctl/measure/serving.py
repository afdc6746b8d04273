"""What load generators for model servers write: vLLM's `bench serve`, AIPerf, GuideLLM, inference-perf. PURE.

All become the same results in the same units (tokens/s, requests/s, ms), so that a comparison does not depend on the
tool. Sources: vLLM 0.11 `vllm/benchmarks/serve.py`; AIPerf 0.13.0 `common/models/export_models.py`; GuideLLM 0.8.1
`benchmark/schemas/metrics.py`; inference-perf 0.7.0 `reportgen/base.py`. Where a tool counts failures, they are a
warning: a server that refuses half of all requests is fast for the other half.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from meshctl.measure.foreign import inside, mapping, number, number_or_none, parsed, refused, sequence
from meshctl.measure.results import Result, Taken

VLLM: Final = "vllm bench serve"
AIPERF: Final = "AIPerf"
GUIDELLM: Final = "GuideLLM"
INFERENCE_PERF: Final = "inference-perf"

TTFT: Final = "time to first token"
ITL: Final = "inter-token latency"
LATENCY: Final = "request latency"
REQUESTS: Final = "requests"
OUTPUT: Final = "output tokens"

KEPT: Final = 0.9  # of the rate of an open loop: less, and requests have waited for those before them
_PERCENTILES: Final = ("p50", "p90", "p95", "p99")


@dataclass(frozen=True, slots=True)
class Spread:
    """A latency in ms. `percentiles`: by name."""

    mean_ms: float
    percentiles: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of a load generator. `failed`: requests without a whole answer. None = the tool doesn't say it.
    `kept_rate`: whether the server kept up with the rate of an open loop, so that it was not at full load; None = as
    the rate of requests in `setting` says it, if it is one."""

    requests_per_s: float
    output_tokens_per_s: float | None
    completed: float
    failed: float
    latencies: Mapping[str, Spread]
    setting: Mapping[str, str]
    versions: Mapping[str, str]
    warnings: tuple[str, ...] = ()
    kept_rate: bool | None = None


def results(run: Run, taken: Taken) -> tuple[Result, ...]:
    """The run's results, throughput first."""
    made: dict[str, Any] = {
        "what": "serve",
        "taken": taken,
        "setting": {**run.setting, "completed": f"{run.completed:.0f}", **_kept_rate(run)},
        "versions": run.versions,
        "warnings": (*_failures(run), *run.warnings),
    }
    rates = [Result(metric=REQUESTS, value=run.requests_per_s, unit="1/s", **made)]
    if run.output_tokens_per_s is not None:
        rates.insert(0, Result(metric=OUTPUT, value=run.output_tokens_per_s, unit="tokens/s", **made))
    spreads = [
        Result(metric=name, value=spread.mean_ms, unit="ms", percentiles=spread.percentiles, **made)
        for name, spread in run.latencies.items()
    ]
    return (*rates, *spreads)


def _kept_rate(run: Run) -> dict[str, str]:
    """{"kept_rate": "yes" | "no"}; nothing of a run that was not of a given rate."""
    rate = run.setting.get("rate", "")
    if run.kept_rate is not None:
        return {"kept_rate": "yes" if run.kept_rate else "no"}
    if not re.fullmatch(r"\d+(\.\d+)?", rate) or not float(rate):  # vLLM's "inf": all requests at once
        return {}
    is_kept = not run.failed and run.requests_per_s >= KEPT * float(rate)
    return {"kept_rate": "yes" if is_kept else "no"}


def _failures(run: Run) -> Iterator[str]:
    total = run.completed + run.failed
    if run.failed:
        yield f"{run.failed:.0f} of {total:.0f} requests failed; the numbers are of the others"
    if not run.completed:
        yield "no request was answered"


def read_vllm(text: str, taken: Taken) -> tuple[Result, ...]:
    document = parsed(VLLM, text)
    prompts = number_or_none(VLLM, document.get("num_prompts"), "num_prompts")
    completed = number(VLLM, document.get("completed"), "completed")
    failed = number_or_none(VLLM, document.get("failed"), "failed")
    latencies = {
        name: spread
        for name, key in ((TTFT, "ttft"), (ITL, "itl"), (LATENCY, "e2el"))
        if (spread := _vllm_spread(document, key))
    }
    run = Run(
        requests_per_s=number(VLLM, document.get("request_throughput"), "request_throughput"),
        output_tokens_per_s=number(VLLM, document.get("output_throughput"), "output_throughput"),
        completed=completed,
        failed=failed if failed is not None else max((prompts or completed) - completed, 0),
        latencies=latencies,
        setting=_named(
            model=document.get("model_id"),
            rate=document.get("request_rate"),
            concurrency=document.get("max_concurrency"),
            input_tokens=_mean(document.get("total_input_tokens"), completed),
            output_tokens=_mean(document.get("total_output_tokens"), completed),
        ),
        versions=_named(vllm=document.get("vllm_version"), backend=document.get("backend")),
    )
    return results(run, taken)


def _vllm_spread(document: Mapping[str, Any], key: str) -> Spread | None:
    mean = number_or_none(VLLM, document.get(f"mean_{key}_ms"), f"mean_{key}_ms")
    if mean is None:
        return None
    names = {"p50": f"median_{key}_ms", **{each: f"{each}_{key}_ms" for each in _PERCENTILES[1:]}}
    return Spread(mean, _numbers(VLLM, {name: document.get(field) for name, field in names.items()}))


def read_aiperf(text: str, taken: Taken) -> tuple[Result, ...]:
    document = parsed(AIPERF, text)
    failed = _aiperf(document, "error_request_count")
    latencies = {
        name: _aiperf_spread(document, key)
        for name, key in ((TTFT, "time_to_first_token"), (ITL, "inter_token_latency"), (LATENCY, "request_latency"))
        if document.get(key)
    }
    cut_off = document.get("was_cancelled") or document.get("is_complete") is False
    run = Run(
        requests_per_s=number(AIPERF, inside(AIPERF, document, "request_throughput", "avg"), "request_throughput"),
        output_tokens_per_s=_aiperf(document, "output_token_throughput"),
        completed=_aiperf(document, "request_count") or 0,
        failed=failed or 0,
        latencies=latencies,
        setting=_named(
            input_tokens=_rounded(_aiperf(document, "input_sequence_length")),
            output_tokens=_rounded(_aiperf(document, "output_sequence_length")),
        ),
        versions=_named(aiperf=document.get("aiperf_version")),
        warnings=("the run was stopped before its end",) if cut_off else (),
    )
    return results(run, taken)


def _aiperf(document: Mapping[str, Any], key: str) -> float | None:
    metric = document.get(key)
    return None if metric is None else number_or_none(AIPERF, inside(AIPERF, metric, "avg"), f"{key}.avg")


def _aiperf_spread(document: Mapping[str, Any], key: str) -> Spread:
    """In ms, whatever unit the export was told to use."""
    metric = mapping(AIPERF, document[key], key)
    factor = _milliseconds(AIPERF, str(metric.get("unit")), key)
    percentiles = _numbers(AIPERF, {name: metric.get(name) for name in _PERCENTILES})
    mean = number(AIPERF, metric.get("avg"), f"{key}.avg")
    return Spread(mean * factor, {name: value * factor for name, value in percentiles.items()})


def _milliseconds(program: str, unit: str, key: str) -> float:
    factors = {"ms": 1.0, "s": 1e3, "sec": 1e3, "us": 1e-3, "ns": 1e-6}
    if unit not in factors:
        raise refused(program, f"{key} is in {unit!r}, which is no unit of time that is known")
    return factors[unit]


def read_guidellm(text: str, taken: Taken) -> tuple[Result, ...]:
    """Of all benchmarks of the file: a sweep has one for each rate."""
    document = parsed(GUIDELLM, text)
    benchmarks = sequence(GUIDELLM, document.get("benchmarks"), "benchmarks")
    version = inside(GUIDELLM, document, "metadata", "guidellm_version") if "metadata" in document else None
    runs = (_guidellm_run(mapping(GUIDELLM, each, "a benchmark"), version) for each in benchmarks)
    return tuple(result for run in runs for result in results(run, taken))


def _guidellm_run(benchmark: Mapping[str, Any], version: object) -> Run:
    metrics = mapping(GUIDELLM, inside(GUIDELLM, benchmark, "metrics"), "metrics")
    totals = mapping(GUIDELLM, inside(GUIDELLM, metrics, "request_totals"), "request_totals")
    config = mapping(GUIDELLM, benchmark.get("config", {}), "config")
    strategy = mapping(GUIDELLM, config.get("strategy", {}), "config.strategy")
    # request_latency is in seconds, as its missing suffix says
    keys = (
        (TTFT, "time_to_first_token_ms", 1.0),
        (ITL, "inter_token_latency_ms", 1.0),
        (LATENCY, "request_latency", 1e3),
    )
    return Run(
        requests_per_s=_guidellm_mean(metrics, "requests_per_second"),
        output_tokens_per_s=_guidellm_mean(metrics, "output_tokens_per_second"),
        completed=number(GUIDELLM, totals.get("successful"), "request_totals.successful"),
        failed=number_or_none(GUIDELLM, totals.get("errored"), "request_totals.errored") or 0,
        latencies={name: _guidellm_spread(metrics, key, factor) for name, key, factor in keys if key in metrics},
        setting=_named(
            load=strategy.get("type_"),
            concurrency=strategy.get("streams", strategy.get("max_concurrency")),
            rate=strategy.get("rate"),
            input_tokens=_rounded(_guidellm_mean_or_none(metrics, "prompt_token_count")),
            output_tokens=_rounded(_guidellm_mean_or_none(metrics, "output_token_count")),
        ),
        versions=_named(guidellm=version),
    )


def _guidellm_mean(metrics: Mapping[str, Any], key: str) -> float:
    return number(GUIDELLM, inside(GUIDELLM, metrics, key, "successful", "mean"), f"{key}.successful.mean")


def _guidellm_mean_or_none(metrics: Mapping[str, Any], key: str) -> float | None:
    return _guidellm_mean(metrics, key) if key in metrics else None


def _guidellm_spread(metrics: Mapping[str, Any], key: str, factor: float) -> Spread:
    summary = mapping(GUIDELLM, inside(GUIDELLM, metrics, key, "successful"), f"{key}.successful")
    table = mapping(GUIDELLM, summary.get("percentiles", {}), f"{key}.successful.percentiles")
    percentiles = _numbers(GUIDELLM, {name: table.get(name) for name in _PERCENTILES})
    return Spread(_guidellm_mean(metrics, key) * factor, {name: each * factor for name, each in percentiles.items()})


def read_inference_perf(text: str, taken: Taken) -> tuple[Result, ...]:
    """`summary_lifecycle_metrics.json`, or one stage of it."""
    document = parsed(INFERENCE_PERF, text)
    successes = mapping(INFERENCE_PERF, inside(INFERENCE_PERF, document, "successes"), "successes")
    latency = mapping(INFERENCE_PERF, inside(INFERENCE_PERF, successes, "latency"), "successes.latency")
    rates = mapping(INFERENCE_PERF, inside(INFERENCE_PERF, successes, "throughput"), "successes.throughput")
    load = mapping(INFERENCE_PERF, document.get("load_summary", {}), "load_summary")
    keys = ((TTFT, "time_to_first_token"), (ITL, "inter_token_latency"), (LATENCY, "request_latency"))
    run = Run(
        requests_per_s=number(INFERENCE_PERF, rates.get("requests_per_sec"), "requests_per_sec"),
        output_tokens_per_s=number_or_none(INFERENCE_PERF, rates.get("output_tokens_per_sec"), "output_tokens_per_sec"),
        completed=number(INFERENCE_PERF, successes.get("count"), "successes.count"),
        failed=number(INFERENCE_PERF, inside(INFERENCE_PERF, document, "failures", "count"), "failures.count"),
        latencies={name: _inference_perf_spread(latency, key) for name, key in keys if latency.get(key)},
        setting=_named(rate=load.get("requested_rate"), concurrency=load.get("concurrency")),
        versions={},
        warnings=tuple(_late(load)),
    )
    return results(run, taken)


def _late(load: Mapping[str, Any]) -> Iterator[str]:
    """An open loop that can't keep its rate measures the generator, and not the server."""
    requested = number_or_none(INFERENCE_PERF, load.get("requested_rate"), "requested_rate")
    achieved = number_or_none(INFERENCE_PERF, load.get("achieved_rate"), "achieved_rate")
    if requested and achieved is not None and achieved < 0.9 * requested:
        yield f"the generator sent {achieved:.1f} of {requested:.1f} requests/s: it was the bottleneck"


def _inference_perf_spread(latency: Mapping[str, Any], key: str) -> Spread:
    """Seconds -> ms. Its names: median, p90, p95, p99, or p50."""
    summary = mapping(INFERENCE_PERF, latency[key], key)
    named = {"p50": summary.get("median", summary.get("p50")), **{each: summary.get(each) for each in _PERCENTILES[1:]}}
    percentiles = _numbers(INFERENCE_PERF, named)
    mean = number(INFERENCE_PERF, summary.get("mean"), f"{key}.mean")
    return Spread(mean * 1e3, {name: value * 1e3 for name, value in percentiles.items()})


def _numbers(program: str, named: Mapping[str, object]) -> dict[str, float]:
    """Those that are there."""
    return {name: number(program, value, name) for name, value in named.items() if value is not None}


def _named(**values: object) -> dict[str, str]:
    return {name: str(value) for name, value in values.items() if value not in (None, "")}


def _mean(total: object, count: float) -> str | None:
    return f"{total / count:.0f}" if isinstance(total, int | float) and count else None


def _rounded(value: float | None) -> str | None:
    return None if value is None else f"{value:.0f}"
