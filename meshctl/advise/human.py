"""Advice as text, and as the JSON document. PURE. Called by `cli.advise`."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, Final

from meshctl.advise.figures import Advice, Change, Figure, Measured, WorkloadAdvice
from meshctl.printable import one_line

_LINE: Final = 118
_INDENT: Final = 14


def document(advice: Advice) -> dict[str, Any]:
    return asdict(advice)


def text(advice: Advice) -> str:
    lines = [f"{advice.mesh} in {advice.environment}", ""]
    for workload in advice.workloads:
        lines.extend([*_workload(workload), ""])
    if not advice.workloads:
        lines.extend(["no workload of it serves or trains with accelerators, so there is nothing to predict", ""])
    if advice.left_out:
        lines.append(f"without accelerators, and not looked at: {', '.join(advice.left_out)}")
    lines.extend(f"prices: {source}" for source in advice.sources)
    return "\n".join(lines).rstrip() + "\n"


def _workload(advice: WorkloadAdvice) -> Iterator[str]:
    yield one_line(f"{advice.workload}: {advice.workload_kind} on {advice.machine}")
    yield from _line("setting", advice.setting)
    for figure in advice.figures:
        yield from _line(figure.kind, figure_text(figure))
    for number, latency in enumerate(latency_texts(advice)):
        yield from _line("latency" if number == 0 else "", latency)
    for number, share in enumerate(map(measured_text, advice.accuracy)):
        yield from _line("accuracy" if number == 0 else "", share)
    yield from _line("cost", cost_text(advice))
    if advice.figures:
        yield from _line("bottleneck", f"{advice.bottleneck or 'not known'}: {advice.why}")
    else:
        yield from _line("prediction", f"none: {advice.why}")
    for number, change in enumerate(advice.changes):
        yield from _line("helps" if number == 0 else "", change_text(change))
    for number, useless in enumerate(advice.useless):
        yield from _line("no help" if number == 0 else "", useless)
    for note in advice.notes:
        yield from _line("note", note)


def _line(label: str, words: str) -> list[str]:
    """Broken at spaces alone: names and commands can be copied."""
    return textwrap.wrap(
        one_line(words),
        _LINE,
        initial_indent=f"  {label:<{_INDENT - 2}}",
        subsequent_indent=" " * _INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )


def figure_text(figure: Figure) -> str:
    measured = f"; measured {amount(figure.measured)} {figure.unit} ({figure.measured_source})"
    ending = measured if figure.measured is not None else ""
    if figure.value is None:
        return f"{figure.basis}{ending}"
    band = f" ({amount(figure.low)} to {amount(figure.high)})" if figure.low and figure.high else ""
    return f"{amount(figure.value)} {figure.unit}{band}, {figure.metric}: {figure.basis}{ending}"


def latency_texts(advice: WorkloadAdvice) -> Iterator[str]:
    """What is inferred, then what was measured."""
    if advice.first_token_s is not None and advice.token_s is not None:
        first_ms, token_ms = advice.first_token_s * 1e3, advice.token_s * 1e3
        yield f"first token {first_ms:.0f} ms, then {token_ms:.1f} ms each, without other load (inferred)"
    yield from map(measured_text, advice.latencies)


def measured_text(measured: Measured) -> str:
    spread = ", ".join(f"{name} {amount(value)}" for name, value in measured.percentiles.items())
    inside = f"{spread}; {measured.source}" if spread else measured.source
    return f"{measured.metric} {amount(measured.value)} {measured.unit} measured ({inside})"


def amount(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def cost_text(advice: WorkloadAdvice) -> str:
    if advice.usd_per_hour is None:
        return "no price known for its pool"
    tokens = advice.usd_per_million_tokens
    per_million = f", {tokens:.2f} USD per million output tokens at full load" if tokens is not None else ""
    return f"{advice.usd_per_hour:.2f} USD/h{per_million}"


def change_text(change: Change) -> str:
    caution = f" ({change.caution})" if change.caution else ""
    return f"{change.what}: {change.effect}, {price_and_plan(change)}; {change.how}{caution}"


def price_and_plan(change: Change) -> str:
    price = "no price known" if change.usd_per_hour is None else f"{change.usd_per_hour:+.2f} USD/h"
    return f"{price}, {change.plan}" if change.plan else price
