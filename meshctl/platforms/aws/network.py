"""Address plan of an AWS environment: one public and one private subnet for each zone. PURE.

Part of the platform (`meshctl.platforms.aws`); declared by `stacks.aws`.
"""

from __future__ import annotations

import ipaddress
from typing import Final

from meshctl.model.deployment import AwsNetwork, Subnet

MAX_ZONES: Final = 8


def plan(cidr: str, region: str, zones: tuple[str, ...], *, one_nat: bool = False) -> AwsNetwork:
    """Split `cidr` in sixteen: blocks 0-7 are private, 8-15 public, by the zone's place in the list.

    A zone added at the end therefore moves no subnet that exists.
    """
    blocks = list(ipaddress.IPv4Network(cidr).subnets(prefixlen_diff=4))
    subnets: list[Subnet] = []
    for index, zone in enumerate(zones[:MAX_ZONES]):
        suffix = zone.removeprefix(region).strip("-") or zone
        public, private = blocks[MAX_ZONES + index], blocks[index]
        subnets.append(Subnet(name=f"public-{suffix}", zone=zone, cidr=str(public), public=True))
        subnets.append(Subnet(name=f"private-{suffix}", zone=zone, cidr=str(private), public=False))
    return AwsNetwork(cidr=cidr, subnets=tuple(subnets), one_nat=one_nat)
