"""List prices by region from a dated table: machine types, services, storage. PURE.

Called by platforms whose price differs from region to region. The table is what `tools/catalog/aws_prices.py` writes;
a region or a machine that it does not have stays without a price.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from meshctl.catalog import ListPrice, Machine, StoragePrice


@dataclass(frozen=True)
class RegionPriceTable:
    """`document`: as `tools/catalog` writes it."""

    document: Mapping[str, Any]

    def added_to(self, machines: Iterable[Machine]) -> tuple[Machine, ...]:
        """The machines, each with what the table knows of it."""
        return tuple(replace(machine, region_prices=self._prices(machine.name)) for machine in machines)

    def _prices(self, name: str) -> dict[str, ListPrice]:
        by_region = self.document["usd_per_hour"].get(name, {})
        return {region: self._listed(usd, region) for region, usd in by_region.items()}

    def service(self, name: str, region: str) -> ListPrice | None:
        """For one hour of one gateway, load balancer and so on; None where the table has no price."""
        usd = self.document["services_usd_per_hour"].get(name, {}).get(region)
        return None if usd is None else self._listed(usd, region)

    def storage(self, provider: str) -> tuple[StoragePrice, ...]:
        """A row for each service and region."""
        return tuple(
            StoragePrice(provider, service, region, usd, self.document["source"], self.document["date"])
            for service, by_region in self.document["storage_usd_per_gb_month"].items()
            for region, usd in by_region.items()
        )

    def _listed(self, usd: float, region: str) -> ListPrice:
        return ListPrice("on-demand", usd, region, self.document["source"], self.document["date"])
