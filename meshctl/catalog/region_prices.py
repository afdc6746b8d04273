"""On-demand list prices of machine types by region, from a dated table. EDGE (reads a file of the package).

Called by platforms whose price differs from region to region. The table is what `tools/catalog/aws_prices.py` writes;
a region or a machine that it does not have stays without a price.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from importlib.resources.abc import Traversable
from typing import Any

from meshctl.catalog import ListPrice, Machine


@dataclass(frozen=True)
class RegionPriceTable:
    """`document`: as `tools/catalog` writes it."""

    document: Mapping[str, Any]

    @classmethod
    def read(cls, file: Traversable) -> RegionPriceTable:
        return cls(json.loads(file.read_text(encoding="utf-8")))

    def added_to(self, machines: Iterable[Machine]) -> tuple[Machine, ...]:
        """The machines, each with what the table knows of it."""
        return tuple(replace(machine, region_prices=self._prices(machine.name)) for machine in machines)

    def _prices(self, name: str) -> dict[str, ListPrice]:
        source, date = self.document["source"], self.document["date"]
        by_region = self.document["usd_per_hour"].get(name, {})
        return {region: ListPrice("on-demand", usd, region, source, date) for region, usd in by_region.items()}
