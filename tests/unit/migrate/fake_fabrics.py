"""The fabrics of the gateway in memory, and what nccl-tests gives on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from meshctl.measure import nccl
from meshctl.measure.results import Result, Taken
from meshctl.model.deployed_pools import Fabric
from meshctl.model.deployment import Deployment
from meshctl.objects.progress import Stop

FABRIC = Fabric(name="backend", kind="infiniband", bandwidth_gbps=400, placement="any", expect=0.8)


def on_fabric(plain: Deployment, *on_accelerators: str) -> Deployment:
    """Its pools have 400 Gbps, so 50 GB/s; these workloads have the accelerators of pool `train`."""
    pools = tuple(pool.model_copy(update={"fabric": FABRIC}) for pool in plain.pools)
    workloads = tuple(
        each.model_copy(update={"pool": "train", "accelerators": 8}) if each.name in on_accelerators else each
        for each in plain.workloads
    )
    return plain.model_copy(update={"pools": pools, "workloads": workloads})


class World(Protocol):
    """What a measurement asks of the environments around the fabrics: `FakeGateway`."""

    def moment(self) -> None: ...

    def tick(self) -> None: ...

    def ask(self, *names: str) -> None: ...

    def running(self, environment: str, workload: str) -> bool: ...


@dataclass
class FakeFabrics:
    """The fabrics of all environments, and each measurement of one."""

    wanted: dict[str, float] = field(default_factory=dict)  # by fabric: what the mesh's files want now
    gbytes_per_s: float = 50.0  # what nccl-tests gives between nodes
    measured: list[tuple[str, str]] = field(default_factory=list)  # environment and pool

    def measure(self, world: World, deployment: Deployment, pool: str, stop: Stop) -> Sequence[Result]:
        world.moment()
        stop.check()
        name = deployment.environment
        world.ask(name)
        accelerated = [each.name for each in deployment.workloads if each.pool == pool and each.accelerators]
        using = [each for each in accelerated if world.running(name, each)]
        assert not using, f"the accelerators of {pool} are in use by {using}"
        self.measured.append((name, pool))
        world.tick()
        world.moment()
        taken = Taken(machine=deployment.pool(pool).machine, date="2026-11-29", source="in memory")
        size = {"size_bytes": str(2**33)}
        rate = self.gbytes_per_s
        return [Result(what="fabric", metric=nccl.ALL_REDUCE, value=rate, unit="GB/s", taken=taken, setting=size)]
