"""What the catalog's dated table says of machine types in a region, before anybody asks the platform. PURE.

Called by `resolve`. Platforms add types to regions and zones, so that environments.yaml can name types that the table
does not know of yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import lru_cache

from meshctl.catalog import Catalog, Machine
from meshctl.model.deployment import AwsNetwork, Pool
from meshctl.model.environment import PlatformEnvironment


def in_environment(catalog: Catalog, environment: PlatformEnvironment) -> Catalog:
    """The catalog as it holds in the environment: without what its table says of the types that the environment names
    as offered."""
    types = frozenset(environment.offered_types)
    return _without_offers(catalog, environment.provider, types) if types else catalog


@lru_cache(maxsize=256)
def _without_offers(catalog: Catalog, provider: str, types: frozenset[str]) -> Catalog:
    machines = tuple(_anywhere(each) if each.name in types else each for each in catalog.machines[provider])
    return Catalog({provider: machines}, catalog.storage)  # of the other platforms nobody asks it


def _anywhere(machine: Machine) -> Machine:
    return replace(machine, offers=None)


def notes(
    pools: Iterable[Pool], environment: PlatformEnvironment, network: AwsNetwork | None, catalog: Catalog
) -> Iterator[str]:
    """On pools whose machine may be in none of the environment's zones, and on types that environments.yaml names as
    offered and that the catalog does not have. Which letter a zone has is an account's own, so that only numbers can be
    compared."""
    for name in environment.offered_types:
        if catalog.machine(environment.provider, name) is None:
            yield f"offered: {name} is no machine type of the catalog, and changes nothing"
    region = environment.region or ""
    zones = {subnet.zone for subnet in network.subnets} if network else set()
    for pool in pools:
        machine = catalog.machine(environment.provider, pool.machine)
        if machine is None or machine.offers is None or not machine.offers.is_region_known(region) or not zones:
            continue
        offered, every = machine.offers.zone_ids(region), machine.offers.all_zone_ids(region)
        if len(zones) + len(offered) <= len(every):
            yield (
                f"pool {pool.name}: {pool.machine} is in {len(offered)} of the {len(every)} zones of {region}"
                f" ({', '.join(offered)}) as of {machine.offers.date}, which may be none of the environment's:"
                " `meshctl check --online` asks which letter they have in your account"
            )
