"""What meshctl's own load generator has seen, as results. PURE. Made by `meshctl.bench.load`.

All times count from when a request was due, not from when it was sent: a generator or a server that falls behind must
not make its own latency look better ("coordinated omission", G. Tene, How NOT to Measure Latency).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from meshctl.measure.results import Result, Taken
from meshctl.measure.serving import ITL, KEPT, LATENCY, TTFT, Run, Spread, results

_PERCENTILES: Final = {"p50": 50.0, "p90": 90.0, "p95": 95.0, "p99": 99.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One request. Times in seconds after it was due; None = that moment never came. `failure` "": a whole answer."""

    first_token_s: float | None = None
    end_s: float | None = None
    tokens: int = 0
    failure: str = ""

    @property
    def is_whole(self) -> bool:
        return not self.failure and self.end_s is not None


def percentile(values: Sequence[float], percent: float) -> float:
    """The nearest rank: a value that was measured. `values`: at least one."""
    ordered = sorted(values)
    return ordered[max(math.ceil(percent / 100 * len(ordered)), 1) - 1]


def summarize(
    answers: Iterable[Answer],
    *,
    duration_s: float,
    due_s: float,
    setting: Mapping[str, str],
    versions: Mapping[str, str],
    taken: Taken,
) -> tuple[Result, ...]:
    """`duration_s`: from the first moment that a request was due to the last answer; `due_s`: how long requests were
    due."""
    every = tuple(answers)
    whole = [answer for answer in every if answer.is_whole]
    failures = Counter(answer.failure for answer in every if not answer.is_whole)
    run = Run(
        requests_per_s=len(whole) / duration_s,
        output_tokens_per_s=sum(answer.tokens for answer in whole) / duration_s,
        completed=len(whole),
        failed=len(every) - len(whole),
        latencies={name: spread for name, values in _latencies(whole).items() if (spread := _spread(values))},
        setting=setting,
        versions=versions,
        warnings=tuple(f"{count} x {failure}" for failure, count in failures.most_common(3)),
        kept_rate=not failures and _kept_rate(whole, duration_s, due_s),
    )
    return results(run, taken)


def _kept_rate(answers: Sequence[Answer], duration_s: float, due_s: float) -> bool:
    """Whether answers came as fast as requests were due. The last answer comes one latency after the last request; a
    server that is too slow has a queue by then, whose last request has waited for about twice the median latency."""
    if not answers:
        return False
    median_s = percentile([answer.end_s or 0.0 for answer in answers], 50)
    return duration_s - median_s <= due_s / KEPT


def _latencies(answers: Sequence[Answer]) -> dict[str, list[float]]:
    """In ms. Between tokens: the mean of each answer that has more than one."""
    first = [answer.first_token_s * 1e3 for answer in answers if answer.first_token_s is not None]
    between = [
        (answer.end_s - answer.first_token_s) * 1e3 / (answer.tokens - 1)
        for answer in answers
        if answer.end_s is not None and answer.first_token_s is not None and answer.tokens > 1
    ]
    return {TTFT: first, ITL: between, LATENCY: [answer.end_s * 1e3 for answer in answers if answer.end_s is not None]}


def _spread(values: Sequence[float]) -> Spread | None:
    if not values:
        return None
    table = {name: percentile(values, percent) for name, percent in _PERCENTILES.items()}
    return Spread(sum(values) / len(values), table)
