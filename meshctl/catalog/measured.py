"""What others have measured: `measured.yaml` as values. Called by `meshctl.advise`, and by `resolve` for storage.

A number is given for its own setting alone: the bus bandwidth of two nodes says nothing of that of sixty. The EDGE is
the reading of the package's file; the values are plain and frozen.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from meshctl.catalog import data_files


@dataclass(frozen=True, slots=True)
class AllReduce:
    """`nvlink`: "rack" where the nodes of a rack shared NVLink, else "": as in a mesh's fabric."""

    machine: str
    nodes: int
    ranks: int
    size_bytes: int
    bytes_per_s: float
    source: str
    nvlink: str = ""


@dataclass(frozen=True, slots=True)
class Serving:
    """`tokens_per_s`: output tokens per GPU; None where the source says another number, see `incomparable`."""

    accelerator: str
    memory_gb: float
    model: str
    precision: str
    gpus: int
    input_tokens: int
    output_tokens: int
    tokens_per_s: float | None
    incomparable: str
    source: str


@dataclass(frozen=True, slots=True)
class StorageNodes:
    """`cores`: of the storage itself on each node."""

    service: str
    machine: str
    nodes: int
    cores: int
    read_bytes_per_s: float
    write_bytes_per_s: float
    source: str


@dataclass(frozen=True, slots=True)
class Product:
    """Of BF16 matrices, dense; the best of many shapes."""

    accelerator: str
    tflops: float
    source: str


@cache
def products() -> tuple[Product, ...]:
    return tuple(Product(row["accelerator"], row["tflops"], _source(row)) for row in _document()["gemm"])


def all_reduce(machine: str, nodes: int, size_bytes: float, nvlink: str = "") -> AllReduce | None:
    """Of the nearest size; None where this machine was not measured with so many nodes. `nvlink`: as in `AllReduce`."""
    rows = [row for row in all_reduces() if (row.machine, row.nodes, row.nvlink) == (machine, nodes, nvlink)]
    return min(rows, key=lambda row: abs(row.size_bytes - size_bytes), default=None)


def nodes_measured(machine: str, nvlink: str = "") -> tuple[int, ...]:
    """With how many nodes of this machine an all-reduce was measured."""
    return tuple(sorted({row.nodes for row in all_reduces() if (row.machine, row.nvlink) == (machine, nvlink)}))


@cache
def all_reduces() -> tuple[AllReduce, ...]:
    return tuple(
        AllReduce(
            machine=row["machine"],
            nodes=row["nodes"],
            ranks=row["ranks"],
            size_bytes=row["size_bytes"],
            bytes_per_s=row["gbps"] * 1e9,
            source=_source(row),
            nvlink=row.get("nvlink", ""),
        )
        for row in _document()["fabric"]
    )


@cache
def servings() -> tuple[Serving, ...]:
    return tuple(
        Serving(
            accelerator=row["accelerator"],
            memory_gb=row["memory_gb"],
            model=row["model"],
            precision=row["precision"],
            gpus=row["gpus"],
            input_tokens=row.get("input", 0),
            output_tokens=row.get("output", 0),
            tokens_per_s=row.get("tokens_per_s"),
            incomparable=row.get("incomparable", ""),
            source=_source(row),
        )
        for row in _document()["serve"]
    )


@cache
def storage_nodes() -> tuple[StorageNodes, ...]:
    return tuple(
        StorageNodes(
            service=row["service"],
            machine=row["machine"],
            nodes=row["nodes"],
            cores=row["cores"],
            read_bytes_per_s=row["read_mbps"] * 1e6,
            write_bytes_per_s=row["write_mbps"] * 1e6,
            source=_source(row),
        )
        for row in _document()["storage"]
    )


def _source(row: dict[str, Any]) -> str:
    return f"{data_files.source_of(row, _document())}, {row['date']}"


@cache
def _document() -> dict[str, Any]:
    return data_files.read_own("measured.yaml")
