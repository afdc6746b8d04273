"""Whether the subnets of an environment have addresses for its nodes. PURE.

Called by `resolve` for notes, as it does not know what is up, and by `deploy.guards.preflight`, which refuses a network
that would be made too small.

Each pod has an address of its node's subnet. The network plugin takes a whole network interface's worth of them for a
node that joins, which is far more than the node itself needs: 50 for one with 8 GPUs. Interfaces that storage has of
its own take one each. Where pods have addresses in blocks, a node takes two of these instead. Half of each subnet is
for blocks alone: with room for two blocks of each node in the whole of it, that half has one for each, and the other
half the single addresses, which are fewer than two blocks of a node.
"""

from __future__ import annotations

import ipaddress
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Final

from meshctl.catalog import Catalog
from meshctl.model.deployment import AwsNetwork, Gap, NeuralMesh, Pool

# The first four and the last address of a subnet are the VPC's own ("Subnet CIDR blocks", VPC user guide); the control
# plane asks for six ("Amazon EKS networking requirements").
_VPC_KEEPS: Final = 5
_CONTROL_PLANE: Final = 6
_LARGEST: Final = 16  # prefix length of the largest VPC
BLOCK: Final = 16  # addresses ("Prefix delegation", README of amazon-vpc-cni-k8s)
_BLOCKS: Final = 2  # of a node: the second one with the twelfth pod


def gaps(
    pools: Iterable[Pool], provider: str, network: AwsNetwork | None, catalog: Catalog, mesh: NeuralMesh | None
) -> Iterator[Gap]:
    """A subnet that is too small for the nodes that are asked for now, with the smallest network that has room."""
    of_each = partial(of_node, provider=provider, catalog=catalog, in_blocks=has_blocks(mesh))
    short = _short_of(tuple(pools), of_each, network, lambda pool: pool.nodes)
    if short is None or network is None:
        return
    needed, free, what = short
    yield Gap(
        subject="network",
        wanted=f"{needed} addresses in a private subnet ({what}; {_CONTROL_PLANE} for the control plane)",
        best=f"{network.cidr} has {free} addresses in each",
        hint=_hint(network, needed),
    )


def notes(
    pools: Iterable[Pool], provider: str, network: AwsNetwork | None, catalog: Catalog, mesh: NeuralMesh | None
) -> Iterator[str]:
    """A subnet that is too small for the nodes that are asked for, or for as many as the mesh allows."""
    pools = tuple(pools)
    for gap in gaps(pools, provider, network, catalog, mesh):
        yield f"network: {gap.best}, and the nodes take {gap.wanted}. A new environment is refused: {gap.hint}"
        return
    of_each = partial(of_node, provider=provider, catalog=catalog, in_blocks=has_blocks(mesh))
    short = _short_of(pools, of_each, network, lambda pool: pool.nodes_max)
    if short is not None and network is not None:
        needed, free, what = short
        yield (
            f"a private subnet of {network.cidr} has {free} addresses: enough for now, and too few for all nodes that"
            f" the mesh allows ({what}; {needed} addresses)"
        )


def has_blocks(mesh: NeuralMesh | None) -> bool:
    return mesh is not None and mesh.has_address_blocks


def of_node(pool: Pool, provider: str, catalog: Catalog, *, in_blocks: bool = False) -> int:
    """Addresses that a node takes when it joins; 0 where the catalog does not know. `in_blocks`: those of its pods."""
    machine = catalog.machine(provider, pool.machine)
    if machine is None or not machine.interface_addresses:
        return 0
    own = 1 + _BLOCKS * BLOCK if in_blocks else machine.interface_addresses
    return own + of_storage(pool)


def of_storage(pool: Pool) -> int:
    """Addresses of a node's interfaces for storage: one more is made than it has cores."""
    interfaces = pool.storage.network_interfaces if pool.storage is not None else 0
    return interfaces + 1 if interfaces else 0


def _short_of(
    pools: tuple[Pool, ...],
    of_each: Callable[[Pool], int],
    network: AwsNetwork | None,
    nodes: Callable[[Pool], int],
) -> tuple[int, int, str] | None:
    """Of the zone that needs the most: the addresses that it needs and has, and for what; None where all have room."""
    if network is None:
        return None
    free = {each.zone: _free(each.cidr) for each in network.subnets if not each.public}
    needed: Counter[str] = Counter()
    words: dict[str, list[str]] = {}
    for pool in pools:
        addresses = of_each(pool)
        zones = [zone for zone in pool.zones if zone in free]
        in_zone = math.ceil(nodes(pool) / len(zones)) if zones else 0
        for zone in zones if addresses and in_zone else ():
            needed[zone] += in_zone * addresses
            words.setdefault(zone, []).append(f"pool {pool.name}: {in_zone} nodes x {addresses}")
    zone, most = max(needed.items(), key=lambda item: item[1], default=("", 0))
    if not zone or most + _CONTROL_PLANE <= free[zone]:
        return None
    return most + _CONTROL_PLANE, free[zone], ", ".join(words[zone])


def _free(cidr: str) -> int:
    return ipaddress.IPv4Network(cidr).num_addresses - _VPC_KEEPS


def _hint(network: AwsNetwork, needed: int) -> str:
    """The smallest network with room: its subnets are as many as those of the plan of addresses."""
    whole = ipaddress.IPv4Network(network.cidr)
    parts = ipaddress.IPv4Network(network.subnets[0].cidr).prefixlen - whole.prefixlen
    prefix = 32 - math.ceil(math.log2(needed + _VPC_KEEPS)) - parts
    if prefix < _LARGEST:
        return "lower `nodes`, spread the pool over more zones, or divide the mesh into several environments"
    larger = ipaddress.IPv4Network(f"{whole.network_address}/{prefix}", strict=False)
    return f"`network: {{cidr: {larger}}}` has room; of an environment that is up the network can't change"
