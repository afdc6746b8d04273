"""The fabrics of the gateway in memory, and what nccl-tests gives on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from meshctl.measure import nccl
from meshctl.measure.results import Result, Taken
from meshctl.model.deployment import Deployment
from meshctl.objects.progress import Stop


@dataclass
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
