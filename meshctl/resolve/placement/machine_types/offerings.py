"""What the catalog's dated table says of machine types in a region, before anybody asks the platform. PURE.

Called by `resolve`. Platforms add types to regions and zones, so that environments.yaml can name types that the table
does not know of yet; and what is up stays, whatever the table says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Final

from meshctl.catalog import Catalog, Machine
from meshctl.model.deployment import AwsNetwork, Pool, Resolution
from meshctl.model.environment import PlatformEnvironment

# How `machines` says that a machine which fits is not to be had in the region, or not in the pool's market.
_NOT_HAD: Final = ("not offered in ", "not listed in ", "not sold ")


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


def anywhere(catalog: Catalog, provider: str) -> Catalog:
    """The catalog without the table."""
    machines = tuple(replace(_anywhere(each), zones=None) for each in catalog.machines.get(provider, ()))
    return Catalog({provider: machines}, catalog.storage) if machines else catalog


def with_running(catalog: Catalog, provider: str, up: Iterable[Pool]) -> Catalog:
    """The catalog in which the machines of the pools that are up can be had, where and as these pools have them."""
    running = frozenset((pool.machine, pool.market) for pool in up)
    return _with_running(catalog, provider, running) if running else catalog


@lru_cache(maxsize=256)
def _with_running(catalog: Catalog, provider: str, running: frozenset[tuple[str, str]]) -> Catalog:
    types = {machine for machine, _ in running}
    machines = tuple(
        replace(_anywhere(each), zones=None, markets=_markets(each, running)) if each.name in types else each
        for each in catalog.machines[provider]
    )
    return Catalog({provider: machines}, catalog.storage)


def _markets(machine: Machine, running: frozenset[tuple[str, str]]) -> tuple[str, ...]:
    """Reserved capacity is sold as on-demand."""
    added = {"on-demand" if market == "reserved" else market for name, market in running if name == machine.name}
    return tuple(dict.fromkeys((*machine.markets, *sorted(added))))


def depends_on_what_is_up(resolution: Resolution) -> bool:
    """Whether it could be another one if it were known what is up: there are gaps, or a machine was kept out for where
    it is to be had alone."""
    rows = (row for rows in resolution.rejected.values() for row in rows)
    return bool(resolution.gaps) or any(_is_all(row.reason) for row in rows)


def _is_all(reason: str) -> bool:
    """Whether it is the one reason against a machine, or the first against it as one of a pool's alternatives."""
    of_alternative = any(f": {words}" in reason for words in _NOT_HAD)
    return of_alternative or (reason.startswith(_NOT_HAD) and "; " not in reason)


def _is_kept_out(machine: Machine, region: str) -> bool:
    offers = machine.offers
    if offers is not None and offers.is_region_known(region) and not offers.zone_ids(region):
        return True
    return machine.zones is not None and region not in machine.zones


def running_notes(up: Iterable[Pool], environment: PlatformEnvironment, catalog: Catalog) -> Iterator[str]:
    """On pools that are up with machines which the table does not list."""
    region = environment.region or ""
    for pool in up:
        machine = catalog.machine(environment.provider, pool.machine)
        if machine is not None and _is_kept_out(machine, region):
            date = f" of {machine.offers.date}" if machine.offers is not None else ""
            yield (f"pool {pool.name}: {pool.machine} is up in {region}, and stays, although the table{date} lacks it")


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
