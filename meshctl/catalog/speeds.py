"""What accelerators can do at most: `speeds.yaml` as values. Called by `meshctl.advise`.

The EDGE is the reading of the package's file; the values are plain and frozen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final, Literal

from meshctl.catalog import data_files
from meshctl.catalog.vendors import model_words

Precision = Literal["bf16", "fp8", "fp4"]

_CARDS: Final = frozenset({"PCIE", "NVL"})  # slower than the module of the same name, or with other memory


@dataclass(frozen=True, slots=True)
class Accelerator:
    """One GPU. `memory_bytes_per_s`: of its own memory; `flops`: dense operations per second by precision."""

    model: str
    memory_bytes: float
    memory_bytes_per_s: float
    flops: Mapping[str, float]
    source: str
    date: str
    verified: bool


@cache
def accelerators() -> tuple[Accelerator, ...]:
    document = data_files.read_own("speeds.yaml")
    return tuple(
        Accelerator(
            model=row["model"],
            memory_bytes=row["memory_gb"] * 1e9,
            memory_bytes_per_s=row["memory_gbps"] * 1e9,
            flops={precision: tflops * 1e12 for precision, tflops in row["tflops"].items()},
            source=data_files.source_of(row, document),
            date=row["date"],
            verified=row["verified"],
        )
        for row in document["accelerators"]
    )


def of_model(model: str, memory_gb: float) -> Accelerator | None:
    """By the name of a catalog or of a node label (`NVIDIA-H100-80GB-HBM3`); None where nothing is known of it.

    All words of a row's name are in it, and the row with the most words wins: an L40S is no L40, and a GB200 no B200.
    Of two rows with one name, the one whose memory is nearest. A card (`NVIDIA-H100-PCIe`) has its own row, or none.
    """
    words = model_words(model)
    fitting = [row for row in accelerators() if _is_of(row, words)]
    most = max((len(model_words(row.model)) for row in fitting), default=0)
    named = [row for row in fitting if len(model_words(row.model)) == most]
    return min(named, key=lambda row: abs(row.memory_bytes / 1e9 - memory_gb), default=None)


def _is_of(row: Accelerator, words: frozenset[str]) -> bool:
    own_words = model_words(row.model)
    return own_words <= words and own_words & _CARDS == words & _CARDS
