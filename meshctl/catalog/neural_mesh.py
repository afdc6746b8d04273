"""The releases of WEKA that a NeuralMesh is made of by default, and the machines that its vendor names: values of
`neural_mesh.yaml`. Called by `meshctl.resolve`.

The EDGE is the reading of the package's file; the value is plain and frozen.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from meshctl.catalog import data_files


@dataclass(frozen=True, slots=True)
class Releases:
    """`image`: of WEKA itself, on every node; `source`: where the releases were read, with the date."""

    operator_chart: str
    operator_version: str
    image: str
    source: str


@cache
def _document() -> dict[str, Any]:
    return data_files.read_own("neural_mesh.yaml")


@cache
def releases() -> Releases:
    document = _document()
    return Releases(
        operator_chart=document["operator_chart"],
        operator_version=document["operator_version"],
        image=document["image"],
        source=f"{data_files.source_of(document, document)}, {document['date']}",
    )


def is_named(provider: str, machine: str) -> bool:
    """Whether the vendor names the machine for WEKA's drives. Of providers without a list nothing is known: true."""
    listed = _document()["backends"].get(provider)
    return listed is None or any(map(partial(_is_of, machine), listed["machines"]))


def _is_of(machine: str, row: str) -> bool:
    return machine.startswith(row) if row.endswith(".") else machine == row
