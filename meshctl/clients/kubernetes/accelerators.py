"""The accelerators of a node, from its labels and its extended resources. PURE.

Called by `meshctl.clients.kubernetes.clusters` for each node of a given cluster. What the labels and resources are
called is data: `meshctl/catalog/accelerators.yaml`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from meshctl.catalog import vendors
from meshctl.catalog.vendors import Vendor
from meshctl.clients.kubernetes.quantities import quantity


@dataclass(frozen=True, slots=True)
class Accelerators:
    """`count` of them are for pods, under the name `resource`. `parts`: resources by which parts are offered, and how
    many."""

    model: str
    count: int
    memory_gib: float
    resource: str
    parts: dict[str, int]


def of_node(labels: Mapping[str, str], allocatable: Mapping[str, str]) -> Accelerators:
    vendor = _vendor(labels, allocatable)
    parts = {name: int(quantity(count)) for name, count in allocatable.items() if name.startswith(vendor.parts)}
    return Accelerators(
        model=_first(labels, vendor.product_labels),
        count=int(quantity(allocatable.get(vendor.resource, "0"))),
        memory_gib=_gib(_first(labels, vendor.memory_labels)),
        resource=vendor.resource,
        parts={name: count for name, count in sorted(parts.items()) if count > 0},
    )


def _vendor(labels: Mapping[str, str], allocatable: Mapping[str, str]) -> Vendor:
    """By its devices; by its labels, where it has none for pods."""
    supported = vendors.supported()
    offering = (vendor for vendor in supported if quantity(allocatable.get(vendor.resource, "0")) > 0)
    labelled = (vendor for vendor in supported if _first(labels, vendor.product_labels))
    return next(offering, next(labelled, supported[0]))


def _first(labels: Mapping[str, str], names: Iterable[str]) -> str:
    return next((labels[name] for name in names if labels.get(name)), "")


def _gib(text: str) -> float:
    """`81559` is MiB, `192G` is GiB; 0 for anything else."""
    number = re.fullmatch(r"(\d+(?:\.\d+)?)(G?)", text)
    if number is None:
        return 0
    return float(number[1]) if number[2] else float(number[1]) / 1024
