"""The releases of WEKA that a NeuralMesh is made of by default: `neural_mesh.yaml` as a value. Called by
`meshctl.resolve`.

The EDGE is the reading of the package's file; the value is plain and frozen.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources

import yaml


@dataclass(frozen=True, slots=True)
class Releases:
    """`image`: of WEKA itself, on every node; `source`: where the releases were read, with the date."""

    operator_chart: str
    operator_version: str
    image: str
    source: str


@cache
def releases() -> Releases:
    file = resources.files("meshctl.catalog").joinpath("neural_mesh.yaml")
    document = yaml.load(file.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    return Releases(
        operator_chart=document["operator_chart"],
        operator_version=document["operator_version"],
        image=document["image"],
        source=f"{document['sources'][document['source']]}, {document['date']}",
    )
