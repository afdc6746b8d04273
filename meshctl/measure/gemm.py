"""What `templates/bench/gemm.py` prints: products of matrices and copies of memory on each accelerator of a node. PURE.

A gang is as fast as its slowest accelerator, so that one is the result; the others are in the setting and the warnings.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from meshctl.measure.foreign import mapping, number, parsed, sequence
from meshctl.measure.results import Result, Taken

PROGRAM: Final = "meshctl gemm"
PRODUCT: Final = "BF16 matrix product"
COPY: Final = "memory copy"
_TOLERATED: Final = 0.9  # of the median of its node


def read(text: str, taken: Taken) -> tuple[Result, ...]:
    """Dense TFLOPS, and GB/s that are read and written, of the slowest. Raises: ForeignOutputError."""
    document = parsed(PROGRAM, text)
    rows = [
        mapping(PROGRAM, each, "an accelerator")
        for each in sequence(PROGRAM, document.get("accelerators"), "accelerators")
    ]
    names = sorted({str(row.get("name", "")) for row in rows})
    memory_gb = min(number(PROGRAM, row.get("memory_gb"), "memory_gb") for row in rows)
    made: dict[str, Any] = {
        "what": "gpu",
        "taken": taken,
        "setting": {
            "accelerator": ", ".join(names),
            "memory_gb": f"{memory_gb:g}",
            "accelerators": str(len(rows)),
        },
        "versions": {"torch": str(document["torch"])} if document.get("torch") else {},
    }
    return tuple(
        Result(metric=metric, value=min(values), unit=unit, warnings=tuple(_slow(values, metric)), **made)
        for metric, unit, key in ((PRODUCT, "TFLOPS", "bf16_tflops"), (COPY, "GB/s", "copy_gbps"))
        for values in [_values(rows, key)]
    )


def _values(rows: Sequence[Mapping[str, Any]], key: str) -> list[float]:
    return [number(PROGRAM, row.get(key), key) for row in rows]


def _slow(values: Sequence[float], metric: str) -> Iterator[str]:
    median = statistics.median(values)
    for index, value in enumerate(values):
        if value < _TOLERATED * median:
            yield f"GPU {index} has {value / median:.0%} of the {metric} of the others on its node"
