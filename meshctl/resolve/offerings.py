"""Machine types that a region has in few zones: said before anybody asks the platform. PURE. Called by `resolve`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from meshctl.catalog import Catalog
from meshctl.model.deployment import AwsNetwork, Pool
from meshctl.model.environment import PlatformEnvironment


def notes(
    pools: Iterable[Pool], environment: PlatformEnvironment, network: AwsNetwork | None, catalog: Catalog
) -> Iterator[str]:
    """Of pools whose machine may be in none of the environment's zones. Which letter a zone has is an account's own,
    so that only numbers can be compared."""
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
