"""Where a platform offers its machine types, from a dated table. PURE.

Called by platforms whose API differs from region to region and zone to zone. The table says no before anybody is asked;
the API has the last word, as zones get types that they did not have.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from meshctl.catalog import Machine


@dataclass(frozen=True)
class Offers:
    """Of one machine type. `numbers`: by region, the last part of the ids of the zones that have it, as the file writes
    them ("1 6"); `regions`: of all regions of the table, the beginning of their zones' ids and the numbers of all."""

    numbers: Mapping[str, str]
    regions: Mapping[str, tuple[str, str]]
    source: str
    date: str

    def is_region_known(self, region: str) -> bool:
        return region in self.regions

    def zone_ids(self, region: str) -> tuple[str, ...]:
        """The ids are the same in all accounts, other than the letters of zones."""
        return self._ids(region, self.numbers.get(region, ""))

    def all_zone_ids(self, region: str) -> tuple[str, ...]:
        return self._ids(region, self.regions[region][1])

    def _ids(self, region: str, numbers: str) -> tuple[str, ...]:
        return tuple(f"{self.regions[region][0]}-az{number}" for number in numbers.split())

    def regions_beside(self, region: str) -> tuple[str, ...]:
        """The regions that have it, those of the same part of the world first."""
        area = region.partition("-")[0]
        return tuple(sorted(self.numbers, key=lambda name: (name.partition("-")[0] != area, name)))


@dataclass(frozen=True)
class OfferTable:
    """The table of a platform. `document`: as `tools/catalog` writes it."""

    document: Mapping[str, Any]

    @cached_property
    def _regions(self) -> dict[str, tuple[str, str]]:
        zones = self.document["zones"]
        return {region: (prefix, zones[region]) for region, prefix in self.document["regions"].items()}

    def added_to(self, machines: Iterable[Machine]) -> tuple[Machine, ...]:
        """The machines, each with what the table knows of it."""
        return tuple(self._with_offers(machine) for machine in machines)

    def _with_offers(self, machine: Machine) -> Machine:
        row = self.document["types"].get(machine.name)
        if row is None:
            return machine
        offers = Offers(row["offered"], self._regions, self.document["source"], self.document["date"])
        return replace(machine, offers=offers, interface_addresses=row["addresses"])
