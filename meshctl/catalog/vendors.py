"""Who makes an accelerator, and how Kubernetes shows it on nodes that are given: `accelerators.yaml` as a value.

Called by `meshctl.resolve` with models' names, and by `meshctl.clients` with what a node shows. The EDGE is the reading
of the package's file; the values are plain and frozen.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from meshctl.catalog import data_files


@dataclass(frozen=True, slots=True)
class WholeLabel:
    """A node label that tells whole accelerators, by one of `values`, from parts. `word`: by which a mesh asks for the
    parts; "" = by the value itself."""

    label: str
    values: tuple[str, ...]
    word: str


@dataclass(frozen=True, slots=True)
class Vendor:
    """See the head of accelerators.yaml for each field."""

    name: str
    resource: str
    words: tuple[str, ...]
    product_labels: tuple[str, ...]
    memory_labels: tuple[str, ...]
    part_words: frozenset[str]
    whole: tuple[WholeLabel, ...]
    parts: tuple[str, ...]
    slices: str
    user_note: str

    def makes(self, model: str) -> bool:
        return any(re.fullmatch(word, part) for part in model_words(model) for word in self.words)


def model_words(model: str) -> frozenset[str]:
    """The words of an accelerator's name: `NVIDIA-H100-80GB-HBM3`, `AMD_Instinct_MI300X_OAM`, `RTX PRO 6000`."""
    return frozenset(re.split(r"[-_\s]+", model.upper().strip("-_ "))) - {""}


@cache
def vendors() -> tuple[Vendor, ...]:
    """All vendors, in file order: the first one makes whatever no other is known for."""
    document = data_files.read_own("accelerators.yaml")
    return tuple(_vendor(name, row) for name, row in document["vendors"].items())


def supported() -> tuple[Vendor, ...]:
    """Those whose accelerators pods can ask for."""
    return tuple(vendor for vendor in vendors() if vendor.resource)


@cache
def of_model(model: str) -> Vendor:
    return next((vendor for vendor in vendors() if vendor.makes(model)), vendors()[0])


def of_resource(resource: str) -> Vendor:
    """Of whole accelerators or of parts."""
    makers = (each for each in supported() if each.resource == resource or resource.startswith(each.parts))
    return next(makers, vendors()[0])


def _vendor(name: str, row: Mapping[str, Any]) -> Vendor:
    return Vendor(
        name=name,
        resource=row["resource"],
        words=tuple(row["words"]),
        product_labels=tuple(row.get("product", ())),
        memory_labels=tuple(row.get("memory", ())),
        part_words=frozenset(row.get("part_words", ())),
        whole=tuple(
            WholeLabel(each["label"], tuple(each["values"]), each.get("word", "")) for each in row.get("whole", ())
        ),
        parts=tuple(row.get("parts", ())),
        slices=row.get("slices", ""),
        user_note=row.get("user_note", ""),
    )
