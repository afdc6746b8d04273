"""What advice is made of: three figures for a workload, what would help, and what would not. PURE.

Made by `inference` and `training`; shown by `human` and `page`, and as JSON.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["compute", "fabric", "storage"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One number. `value` None: `basis` says why there is none, or why none is needed. `low`, `high`: where a
    measurement is expected, by the error of the formula; `measured`: what `bench` has found for the same."""

    kind: Kind
    metric: str
    unit: str
    basis: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    measured: float | None = None
    measured_source: str = ""

    @property
    def is_below(self) -> bool:
        """Whether a measured rate is less than the band allows. Of times it says nothing."""
        is_rate = self.unit.endswith("/s")
        return is_rate and self.measured is not None and self.low is not None and self.measured < self.low


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One number that is measured and never predicted. `percentiles`: by name, in `unit`. `source`: under which load,
    by which run, and when. `warnings`: what makes it doubtful."""

    metric: str
    value: float
    unit: str
    percentiles: dict[str, float]
    source: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Something that helps. `gain`: 0.25 = a quarter more of what the bottleneck limits; `usd_per_hour`: more than now,
    None = no price known. `plan`: what becomes of what is up, "" = nothing of it is the mesh's. `how`: what to write.
    """

    what: str
    effect: str
    gain: float
    usd_per_hour: float | None
    how: str
    plan: str = ""
    caution: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadAdvice:
    """`bottleneck` "": none can be named; `why` says it in either case. `changes`: the smallest first. `useless`: what
    would not help, and why. `limits`: what each part alone would allow, by name, for the plot. `first_token_s`,
    `token_s`: inferred; `latencies`, `accuracy`: as they were measured."""

    workload: str
    workload_kind: str
    pool: str
    machine: str
    setting: str
    figures: tuple[Figure, ...]
    bottleneck: str
    why: str
    changes: tuple[Change, ...] = ()
    useless: tuple[str, ...] = ()
    usd_per_hour: float | None = None
    usd_per_million_tokens: float | None = None
    first_token_s: float | None = None
    token_s: float | None = None
    latencies: tuple[Measured, ...] = ()
    accuracy: tuple[Measured, ...] = ()
    limits: tuple[tuple[str, float], ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """Of one environment. `left_out`: workloads without accelerators that don't answer from documents."""

    mesh: str
    environment: str
    workloads: tuple[WorkloadAdvice, ...]
    left_out: tuple[str, ...]
    sources: tuple[str, ...]


def smallest_first(changes: list[Change]) -> tuple[Change, ...]:
    """By price, then by gain; without a known price last."""
    return tuple(
        sorted(changes, key=lambda each: (each.usd_per_hour is None, each.usd_per_hour or 0, -each.gain, each.what))
    )
