"""What is up stays in its zones, however environments.yaml orders them. PURE.

Called by `running_pods`. The first zone of the list is where a pool or a file system that needs one zone goes, and
subnets get their addresses in the order of the list. Of what is up, another order would make everything anew.
"""

from __future__ import annotations

import ipaddress

from meshctl.model.deployment import AwsNetwork, Deployment, FileSystem, Gap, Pool, Subnet
from meshctl.model.questions import InPlace
from meshctl.resolve.data import existing_file_systems


def with_running_zones(deployment: Deployment, up: Deployment | None, in_place: InPlace) -> Deployment:
    """The deployment with the zones of what is up, as far as environments.yaml still has them. `up`: what the last run
    declared; `in_place`: what of it came up."""
    network = deployment.network
    if network is None:
        return deployment
    declared = up.network if up is not None else None
    deployment = deployment.model_copy(update={"network": _network(network, declared, in_place.subnets)})
    if up is None or declared is None:
        return deployment
    zones = {subnet.zone for subnet in network.subnets}
    systems_up = {system.name: system for system in up.file_systems}
    return deployment.model_copy(
        update={
            "pools": tuple(_pool(pool, in_place.pool(pool.name), zones) for pool in deployment.pools),
            "file_systems": tuple(
                _file_system(system, systems_up.get(system.name), zones) for system in deployment.file_systems
            ),
        }
    )


def gaps(deployment: Deployment, up: Deployment | None) -> tuple[Gap, ...]:
    """File systems of one zone that are adopted now and whose pods stay in another. `deployment`: as
    `with_running_zones` gives it. `resolve` knows the zones of the files alone, and can't see this. What is adopted
    already is left as it is."""
    if up is None:
        return ()
    adopted = {system.name for system in up.file_systems if system.existing is not None}
    newly_adopted = [system for system in deployment.file_systems if system.name not in adopted]
    zone_gaps = existing_file_systems.zone_gaps(newly_adopted, deployment.workloads, deployment.pools)
    return tuple(gap.model_copy(update={"hint": _hint(gap, deployment)}) for gap in zone_gaps)


def _hint(gap: Gap, deployment: Deployment) -> str:
    storage = gap.subject.removeprefix("storage/")
    users = [each.name for each in deployment.workloads if any(mount.storage == storage for mount in each.mounts)]
    return (
        f"pools that are up stay in their zones: give {' and '.join(users)} a new pool that lies in the file system's"
        " zone alone; or name a file system of all zones (Regional)"
    )


def _network(network: AwsNetwork, up: AwsNetwork | None, made: tuple[Subnet, ...]) -> AwsNetwork:
    """Subnets keep their addresses, which can't be changed; a new zone gets those that are free. `up`: as the last run
    declared it; `made`: the subnets that there are, also those that this run deletes: it does so after it has made
    what is new."""
    before = _of_network(network, up, made)
    zones = {subnet.zone for subnet in network.subnets}
    staying = tuple(subnet for subnet in before if subnet.zone in zones)
    # each zone has two: a run may have been killed between them
    present = {(subnet.zone, subnet.public) for subnet in staying}
    new = [subnet for subnet in network.subnets if (subnet.zone, subnet.public) not in present]
    taken = {subnet.cidr for subnet in (*before, *made)}
    return network.model_copy(update={"subnets": (*staying, *_in_free_places(new, taken, network.cidr))})


def _of_network(network: AwsNetwork, up: AwsNetwork | None, made: tuple[Subnet, ...]) -> tuple[Subnet, ...]:
    """The subnets of the network before this run; of a network with other addresses, which is made anew, those that a
    killed run has made already. Where the last run declared a subnet in the place of another one that was still there,
    nothing came of it. A run that was killed has declared nothing, and made subnets all the same."""
    zones_made = {subnet.cidr: subnet.zone for subnet in made}
    declared = up.subnets if up is not None and network.cidr == up.cidr else ()
    staying = [subnet for subnet in declared if zones_made.get(subnet.cidr, subnet.zone) == subnet.zone]
    names = {subnet.name for subnet in staying}
    return (*staying, *(subnet for subnet in _made_inside(network, made) if subnet.name not in names))


def _made_inside(network: AwsNetwork, made: tuple[Subnet, ...]) -> tuple[Subnet, ...]:
    """The made subnets that have a place in the plan of the network's addresses, in its order."""
    blocks = set(_blocks(network.cidr))
    places = {subnet.name: place for place, subnet in enumerate(network.subnets)}
    newest_last = (subnet for subnet in reversed(made) if subnet.cidr in blocks)
    inside = {subnet.name: subnet for subnet in newest_last}
    return tuple(sorted(inside.values(), key=lambda subnet: places.get(subnet.name, len(places))))


def _in_free_places(subnets: list[Subnet], taken: set[str], cidr: str) -> list[Subnet]:
    """Each in the first free place of its half of the network, where the plan of addresses puts its kind."""
    blocks = _blocks(cidr)
    half = len(blocks) // 2
    free = {
        is_public: iter(sorted(blocks[half * is_public :][:half], key=taken.__contains__))
        for is_public in (False, True)
    }
    return [subnet.model_copy(update={"cidr": next(free[subnet.public])}) for subnet in subnets]


def _blocks(cidr: str) -> list[str]:
    """The addresses that subnets may have, as the plan of addresses divides them."""
    return [str(block) for block in ipaddress.IPv4Network(cidr).subnets(prefixlen_diff=4)]


def _pool(pool: Pool, up: Pool | None, zones: set[str]) -> Pool:
    """A node group can't change its zones: another list of them would replace it."""
    is_same = up is not None and (up.machine, up.reservation) == (pool.machine, pool.reservation)
    if up is None or not is_same or not up.zones or not set(up.zones) <= zones:
        return pool
    one_zone = len(pool.zones) == len(up.zones) == 1
    return pool.model_copy(update={"zones": up.zones}) if one_zone or set(up.zones) <= set(pool.zones) else pool


def _file_system(system: FileSystem, up: FileSystem | None, zones: set[str]) -> FileSystem:
    is_there = up is not None and up.service == system.service and up.zone in zones
    return system.model_copy(update={"zone": up.zone}) if up is not None and is_there and system.zone else system
