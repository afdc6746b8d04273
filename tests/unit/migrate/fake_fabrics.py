"""The fabrics of the gateway in memory, and what nccl-tests gives on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

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


@dataclass(kw_only=True)
class FakeFabrics:
    """The part of `Gateway` that measures; the rest of the world is in `FakeGateway`."""

    wanted: dict[str, float] = field(default_factory=dict)  # by fabric: what the mesh's files want now
    fabric_gbytes: float = 50.0  # what nccl-tests gives between nodes
    measured: list[tuple[str, str]] = field(default_factory=list)  # environment and pool

    def moment(self) -> None:
        raise NotImplementedError

    def tick(self) -> None:
        raise NotImplementedError

    def ask(self, *names: str) -> None:
        raise NotImplementedError

    def running(self, environment: str, workload: str) -> bool:
        raise NotImplementedError

    def wanted_of_fabric(self, fabric: str) -> float | None:
        return self.wanted.get(fabric)

    def measure_fabric(
        self, deployment: Deployment, pool: str, stop: Stop, say: Callable[[str], None]
    ) -> Sequence[Result]:
        self.moment()
        stop.check()
        name = deployment.environment
        self.ask(name)
        accelerated = [each.name for each in deployment.workloads if each.pool == pool and each.accelerators]
        using = [each for each in accelerated if self.running(name, each)]
        assert not using, f"the accelerators of {pool} are in use by {using}"
        self.measured.append((name, pool))
        self.tick()
        self.moment()
        taken = Taken(machine=deployment.pool(pool).machine, date="2026-11-29", source="in memory")
        size = {"size_bytes": str(2**33)}
        rate = self.fabric_gbytes
        return [Result(what="fabric", metric=nccl.ALL_REDUCE, value=rate, unit="GB/s", taken=taken, setting=size)]
