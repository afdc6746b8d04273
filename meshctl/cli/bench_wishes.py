"""What the user of `meshctl bench --what` has said. No logic: see `meshctl.bench`. Called by `cli.bench`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from meshctl.cli import bench_results
from meshctl.cli.advise import lengths_of
from meshctl.errors import UsageError

if TYPE_CHECKING:
    from meshctl.bench.load import Plan
    from meshctl.bench.storage import Size
    from meshctl.measure.rag import Question

_MOST_REQUESTS: Final = 10_000
_LONGEST_S: Final = 600


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What the user has said, besides which kinds. `subject`: of Jobs; `workload`: of what is asked through an
    endpoint; `diagnose`: the level of DCGM's diagnosis; `nodes`: how many measure a fabric. "", None, 0: not said."""

    subject: str
    workload: str
    plan: Plan
    size: Size
    questions: Questions | None
    diagnose: int
    nodes: int


@dataclass(frozen=True)
class Questions:
    """Of a file of the user's, which `name` names."""

    name: str
    entries: tuple[Question, ...]


def wishes(
    *,
    subject: str,
    workload: str,
    size: str,
    rate: float,
    seconds: int,
    tokens: str,
    questions: Path | None,
    diagnose: int,
    nodes: int,
) -> Wishes:
    """Raises: UsageError for a run without bounds, or a size or length that is none."""
    from meshctl.bench import storage

    if not 0 < seconds <= _LONGEST_S:
        raise UsageError(f"{seconds} s is no length of a run", hint=f"at most {_LONGEST_S} s")
    return Wishes(
        subject=subject,
        workload=workload,
        plan=_plan(rate, seconds, tokens),
        size=storage.checked_size(_gib(size), seconds),
        questions=_questions(questions) if questions is not None else None,
        diagnose=diagnose,
        nodes=nodes,
    )


def _questions(path: Path) -> Questions:
    """Raises: UsageError, FileError, ForeignOutputError."""
    from meshctl.measure import rag

    return Questions(path.name, rag.questions(bench_results.text_of(path), path.name))


def _gib(size: str) -> float:
    from meshctl.model.files.units import gib

    try:
        return gib(size)
    except ValueError as error:
        raise UsageError(f"--size {size}: {error}", hint="write it as in --size 1GiB") from error


def _plan(rate: float, seconds: int, tokens: str) -> Plan:
    from meshctl.bench.load import Plan

    sizes = lengths_of(tokens)
    if not 0 < rate <= 1000 or rate * seconds > _MOST_REQUESTS:
        problem = "is too large" if rate > 0 else "is no load"
        raise UsageError(
            f"{rate:g} requests per second for {seconds} s {problem}",
            hint=f"at most {_LONGEST_S} s and {_MOST_REQUESTS} requests; --rate up to 1000",
        )
    return Plan(rate=rate, duration_s=seconds, input_tokens=sizes[0], output_tokens=sizes[1])
