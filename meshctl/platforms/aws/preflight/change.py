"""What a run would add to what is up on AWS: nodes, addresses, a network, file systems, buckets. PURE.

Called by `preflight` and the modules beside it, which ask AWS about what is added, and about nothing else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from meshctl.catalog import Machine
from meshctl.model.deployment import Deployment, Pool
from meshctl.model.questions import InPlace
from meshctl.platforms.aws.preflight import vcpu_quotas

_ADDRESS: Final = "meshaws:ec2:Address"
_VPC: Final = "meshaws:ec2:Vpc"
_CLUSTER: Final = "meshaws:eks:Cluster"


@dataclass(frozen=True)
class Change:
    """What a run would add to what is up. `machines`: the catalog by the names of the types."""

    wanted: Deployment
    in_place: InPlace
    machines: Mapping[str, Machine]

    @cached_property
    def new_pools(self) -> tuple[Pool, ...]:
        """Pools that are not up, or that get other machines or another reservation."""
        return tuple(pool for pool in self.wanted.pools if not self._is_up(pool))

    def _is_up(self, pool: Pool) -> bool:
        before = self.in_place.pool(pool.name)
        return before is not None and (before.machine, before.reservation) == (pool.machine, pool.reservation)

    @cached_property
    def pools_to_make(self) -> tuple[Pool, ...]:
        """New pools that no run has begun. One that gets another machine has its launch template already, which gets a
        new version."""
        return tuple(pool for pool in self.new_pools if self.in_place.made_pool(pool.name) is None)

    @cached_property
    def growing_pools(self) -> tuple[Pool, ...]:
        """Pools that a run would give more nodes than they have, new pools among them."""
        return tuple(pool for pool in self.wanted.pools if self.more_nodes(pool) > 0)

    def more_nodes(self, pool: Pool) -> int:
        before = self.in_place.pool(pool.name)
        if before is None or not self._is_up(pool):
            return pool.nodes
        return pool.nodes - (before.nodes if before.has_ended else before.nodes_now)

    def is_own(self, tags: Mapping[str, str]) -> bool:
        """Whether the tags of a resource are those of this environment, of which an interrupted run may have made it
        without the state knowing."""
        own = {"meshctl.dev/mesh": self.wanted.mesh, "meshctl.dev/environment": self.wanted.environment}
        return own.items() <= tags.items()

    def missing(self, resource_type: str, wanted: int) -> int:
        """How many resources of a type a run would make. Those that an interrupted run has left are counted as made."""
        return max(wanted - self.in_place.counts.get(resource_type, 0), 0)

    @property
    def zones(self) -> tuple[str, ...]:
        """The zones that have subnets, in the order of environments.yaml."""
        network = self.wanted.network
        return tuple(dict.fromkeys(subnet.zone for subnet in network.subnets)) if network else ()

    @property
    def missing_addresses(self) -> int:
        """Elastic IPs that a run would allocate, one for each NAT gateway."""
        return self.missing(_ADDRESS, len(self.wanted.network.nat_zones) if self.wanted.network else 0)

    @property
    def missing_vpcs(self) -> int:
        return self.missing(_VPC, 1 if self.wanted.network else 0)

    @property
    def makes_cluster(self) -> bool:
        return self.missing(_CLUSTER, 1) > 0

    def quota(self, pool: Pool) -> str:
        """The code of the quota that the pool's nodes count for; "" for capacity blocks, which have none, and for spot
        instances whose quota is not known."""
        if pool.market == "capacity-block":
            return ""
        if pool.market == "spot":
            return vcpu_quotas.spot(pool.machine)
        machine = self.machines.get(pool.machine)
        return (machine.quota_code if machine else "") or vcpu_quotas.on_demand(pool.machine) or vcpu_quotas.STANDARD

    @cached_property
    def growing_quotas(self) -> tuple[str, ...]:
        """The codes of the quotas of which the mesh would use more than it does now."""
        now, before = self.vcpus(self.wanted.pools), self.vcpus(self.in_place.pools)
        return tuple(sorted(code for code in now if now[code] > before[code]))

    def vcpus(self, pools: Iterable[Pool], *, at_most: bool = False) -> Counter[str]:
        """vCPUs by quota. `at_most`: count as many nodes as the mesh allows, instead of those that it asks for now."""
        total: Counter[str] = Counter()
        for pool in pools:
            nodes = pool.nodes_max if at_most else pool.nodes_now
            if self.quota(pool):
                total[self.quota(pool)] += nodes * pool.cpu_cores
        return total
