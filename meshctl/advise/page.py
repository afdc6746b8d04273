"""Advice as one HTML page with plots, for readers who know either the machines or the money. Called by `cli.advise`.

PURE. The page loads nothing: its style and its SVG are in it.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator
from typing import Final

from meshctl.advise import human
from meshctl.advise.figures import Advice, Figure, Measured, WorkloadAdvice

_WIDTH: Final = 560
_BAR: Final = 22
_LABEL: Final = 170

_STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1b1f24; }
h1 { font-size: 1.5rem; } h2 { margin-top: 2.5rem; border-top: 1px solid #d0d7de; padding-top: 1rem; }
table { border-collapse: collapse; width: 100%; margin: 1rem 0; }
th, td { text-align: left; vertical-align: top; padding: .35rem .6rem; border-bottom: 1px solid #eaeef2; }
td.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.bottleneck { font-weight: 600; } .basis, .source { color: #57606a; font-size: .87rem; }
svg text { font: 12px system-ui, sans-serif; }
"""


def text(advice: Advice) -> str:
    title = f"{_safe(advice.mesh)} in {_safe(advice.environment)}"
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">',
            f"<title>{title}</title><style>{_STYLE}</style></head><body>",
            f"<h1>{title}</h1>",
            _summary(advice),
            *(_workload(each) for each in advice.workloads),
            *(f'<p class="source">prices: {_safe(source)}</p>' for source in advice.sources),
            "</body></html>\n",
        ]
    )


def _summary(advice: Advice) -> str:
    rows = "".join(
        f"<tr><td>{_safe(each.workload)}</td><td>{_safe(each.machine)}</td>"
        f'<td class="number">{_usd(each.usd_per_hour)}</td><td class="number">{_usd(each.usd_per_million_tokens)}</td>'
        f'<td class="number">{_milliseconds(each.first_token_s)}</td>'
        f'<td class="number">{_measured(each.latencies)}</td><td class="number">{_measured(each.accuracy)}</td>'
        f"<td>{_safe(each.bottleneck or ('not known' if each.figures else '-'))}</td>"
        f"<td>{_safe(_first_change(each))}</td></tr>"
        for each in advice.workloads
    )
    head = (
        "<tr><th>workload</th><th>machine</th><th>USD/h</th><th>USD per million tokens</th>"
        "<th>first token, inferred</th><th>latency, measured</th><th>accuracy, measured</th>"
        "<th>bottleneck</th><th>smallest change that helps</th></tr>"
    )
    return f"<table>{head}{rows}</table>"


def _first_change(advice: WorkloadAdvice) -> str:
    if not advice.changes:
        return "-"
    return f"{advice.changes[0].what}: {advice.changes[0].effect}, {human.price_and_plan(advice.changes[0])}"


def _workload(advice: WorkloadAdvice) -> str:
    parts = [
        f"<h2>{_safe(advice.workload)}</h2><p>{_safe(advice.setting)}</p>",
        _bottleneck(advice),
        _plot(advice),
        f"<p>{_safe(human.cost_text(advice))}</p>",
        _figures(advice),
        *_list("Latency", human.latency_texts(advice)),
        *_list("Accuracy", map(human.measured_text, advice.accuracy)),
        *_list("What helps, the smallest change first", (human.change_text(each) for each in advice.changes)),
        *_list("What would not help", iter(advice.useless)),
        *_list("Notes", iter(advice.notes)),
    ]
    return "\n".join(part for part in parts if part)


def _bottleneck(advice: WorkloadAdvice) -> str:
    name = f'<p class="bottleneck">Bottleneck: {_safe(advice.bottleneck or "not known")}</p>' if advice.figures else ""
    return f"{name}<p>{_safe(advice.why)}</p>"


def _figures(advice: WorkloadAdvice) -> str:
    return f"<table>{''.join(map(_figure, advice.figures))}</table>" if advice.figures else ""


def _measured(numbers: tuple[Measured, ...]) -> str:
    """The first of them, which says most to who decides; the others stand below the table."""
    if not numbers:
        return "-"
    number = numbers[0]
    unit, p99 = _safe(number.unit), number.percentiles.get("p99")
    tail = f"<br>p99 {human.amount(p99)} {unit}" if p99 is not None else ""
    return f"{_safe(number.metric)}<br>{human.amount(number.value)} {unit}{tail}"


def _figure(figure: Figure) -> str:
    value = f"{human.amount(figure.value)} {figure.unit}" if figure.value is not None else "-"
    measured = f"<br>measured {human.amount(figure.measured)} {figure.unit}" if figure.measured is not None else ""
    return (
        f"<tr><td>{figure.kind}</td><td>{_safe(figure.metric)}</td>"
        f'<td class="number">{_safe(value)}{measured}</td><td class="basis">{_safe(figure.basis)}</td></tr>'
    )


def _list(title: str, items: Iterable[str]) -> Iterator[str]:
    entries = "".join(f"<li>{_safe(item)}</li>" for item in items)
    if entries:
        yield f"<h3>{title}</h3><ul>{entries}</ul>"


def _plot(advice: WorkloadAdvice) -> str:
    """One bar for each limit, one for the prediction with its band, one for what was measured."""
    if not advice.figures:
        return ""
    compute = advice.figures[0]
    bars = [(name, value, 0.0, 0.0) for name, value in advice.limits]
    if compute.value is not None and compute.unit == "tokens/s":
        bars.append(("predicted", compute.value, compute.low or 0.0, compute.high or 0.0))
    if compute.measured is not None:
        bars.append(("measured", compute.measured, 0.0, 0.0))
    if not bars:
        return ""
    largest = max(max(value, high) for _, value, _, high in bars) or 1.0
    rows = "".join(_bar(*bar, largest=largest, row=row, unit=compute.unit) for row, bar in enumerate(bars))
    height = len(bars) * (_BAR + 8)
    label = _safe(f"{advice.workload}: " + ", ".join(f"{bar[0]} {human.amount(bar[1])}" for bar in bars))
    return (
        f'<svg role="img" aria-label="{label}" width="100%" viewBox="0 0 {_WIDTH + _LABEL + 110} {height}">{rows}</svg>'
    )


def _bar(name: str, value: float, low: float, high: float, *, largest: float, row: int, unit: str) -> str:
    top, scale = row * (_BAR + 8), _WIDTH / largest
    color = {"predicted": "#0969da", "measured": "#1a7f37"}.get(name, "#afb8c1")
    middle = top + _BAR / 2
    band = (
        f'<line x1="{_LABEL + low * scale:.1f}" x2="{_LABEL + high * scale:.1f}" y1="{middle}" y2="{middle}"'
        ' stroke="#1b1f24" stroke-width="2"/>'
        if high
        else ""
    )
    return (
        f'<text x="0" y="{middle + 4}">{_safe(name)}</text>'
        f'<rect x="{_LABEL}" y="{top}" width="{value * scale:.1f}" height="{_BAR}" fill="{color}"/>{band}'
        f'<text x="{_LABEL + max(value, high) * scale + 6:.1f}" y="{middle + 4}">{human.amount(value)} {unit}</text>'
    )


def _usd(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _milliseconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1e3:.0f} ms"


def _safe(words: str) -> str:
    return html.escape(words, quote=True)
