"""Which program wrote a file, and its results. PURE.

Called by `meshctl bench --from FILE`. A program is told by what only it writes, never by the file's name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from meshctl.errors import ForeignOutputError
from meshctl.measure import dcgm, fio, gemm, nccl, serving
from meshctl.measure.results import Result, Taken


@dataclass(frozen=True, slots=True)
class Program:
    """`marks`: all of them are in each of its outputs."""

    name: str
    marks: tuple[str, ...]
    read: Callable[[str, Taken], tuple[Result, ...]]


PROGRAMS: Final = (
    *(Program(dcgm.PROGRAM, (f'"{head}"',), dcgm.read) for head in dcgm.HEADS),
    Program(gemm.PROGRAM, (f'"{gemm.PROGRAM}"', '"accelerators"'), gemm.read),
    Program(fio.PROGRAM, ('"fio version"', '"jobs"'), fio.read),
    Program(serving.AIPERF, ('"aiperf_version"', '"request_throughput"'), serving.read_aiperf),
    Program(serving.GUIDELLM, ('"benchmarks"', '"request_totals"', '"successful"'), serving.read_guidellm),
    Program(serving.INFERENCE_PERF, ('"load_summary"', '"successes"', '"failures"'), serving.read_inference_perf),
    Program(serving.VLLM, ('"request_throughput"', '"mean_ttft_ms"', '"completed"'), serving.read_vllm),
    Program(nccl.PROGRAM, ("busbw", "algbw"), nccl.read),
)


def read(text: str, taken: Taken) -> tuple[Result, ...]:
    """Raises: ForeignOutputError where no program is known that writes such a text, or the text is damaged."""
    program = next((each for each in PROGRAMS if all(mark in text for mark in each.marks)), None)
    if program is None:
        names = ", ".join(dict.fromkeys(each.name for each in PROGRAMS))
        raise ForeignOutputError(
            f"{taken.source} is no output of a benchmark that meshctl reads",
            why=f"it has the marks of none of these programs: {names}",
            hint="docs/bench.md says how to run each so that its output can be read",
        )
    return program.read(text, taken)
