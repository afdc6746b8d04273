"""One workload in its environment, with everything that advice on it may ask. PURE.

Made by `advice`; read by `inference`, `training` and `storage`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from meshctl.advise.edits import Declared, Edit
from meshctl.catalog import Catalog, Machine, speeds
from meshctl.catalog.speeds import Accelerator
from meshctl.measure.results import Result
from meshctl.model.deployment import Block, Deployment, FileSystem, ObjectStore, Pool, Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """`results`: measured in this environment. `input_tokens`, `output_tokens`: of a request that is assumed.
    `declared`: what the user has written, into which changes are to be written; None where none are asked for."""

    deployment: Deployment
    workload: Workload
    catalog: Catalog
    results: tuple[Result, ...]
    input_tokens: int
    output_tokens: int
    declared: Declared | None = None

    @property
    def pool(self) -> Pool:
        return self.deployment.pool(self.workload.pool)

    @property
    def machine(self) -> Machine | None:
        """The catalog's row; None for nodes that are given."""
        return self.catalog.machine(self.deployment.provider, self.pool.machine)

    @property
    def accelerator(self) -> Accelerator | None:
        """What is known of the pool's accelerators; None also for slices of one, which have a part of everything."""
        return None if self.pool.share else accelerator_of(self.pool.gpu_model, self.pool.gpu_memory_gib)

    @property
    def gpus(self) -> int:
        """Of one replica, or of a whole gang."""
        nodes = self.workload.replicas if self.workload.kind == "training" else self.workload.nodes_per_replica
        return self.workload.accelerators * nodes

    @property
    def nodes(self) -> int:
        """Over which they are spread."""
        return self.workload.replicas if self.workload.kind == "training" else self.workload.nodes_per_replica

    @property
    def usd_per_hour(self) -> float | None:
        """The part of the pool's price that this workload's accelerators are."""
        per_node, on_node = self.pool.node_usd_per_hour, self.pool.gpus_per_node
        if per_node is None or not on_node:
            return None
        return per_node * self.workload.accelerators * self.workload.pods / on_node

    @property
    def node_bytes_per_s(self) -> float | None:
        """What the network of one node can take at most; None where it isn't known."""
        gbps = self.machine.network_gbps if self.machine is not None else None
        return gbps * 1e9 / 8 if gbps else None

    def measured(self, metric: str, subject: str) -> list[Result]:
        """What `bench` has found here for a subject like "storage/data"."""
        return [
            row
            for row in self.results
            if row.metric == metric and row.setting.get("subject") == subject and self.is_measured_here(row)
        ]

    def is_measured_here(self, result: Result) -> bool:
        """On the workload's machine type, and no recording of another place. A result without a machine type, as those
        of storage are, is of here by its subject."""
        return result.taken.origin == "measured" and result.taken.machine in ("", self.pool.machine)

    def free_accelerators(self) -> int:
        """Of the pool's nodes, which no workload asks for."""
        return self.pool.nodes * self.pool.gpus_per_node - sum(
            each.accelerators * each.pods for each in self.on_pool if each.runs
        )

    @property
    def makes_nodes(self) -> bool:
        """Whether they are machines of the catalog, so that a changed mesh can be resolved without a cluster."""
        return self.machine is not None

    def with_edits(self, edits: Iterable[Edit]) -> Deployment | None:
        """The environment once they are written; None where it can't be, or where only its cluster knows."""
        if self.declared is None or not self.makes_nodes:
            return None
        return self.declared.deployed(self.deployment.environment, self.catalog, edits)

    def more_usd_per_hour(self, changed: Deployment) -> float | None:
        """Of all that differs; None where the price of something that differs is not known."""
        now, then = _by_subject(self.deployment), _by_subject(changed)
        more = 0.0
        for subject in now | then:
            if now.get(subject) == then.get(subject):
                continue
            before, after = _usd(now.get(subject)), _usd(then.get(subject))
            if before is None or after is None:
                return None
            more += after - before
        return round(more, 2)

    @property
    def on_pool(self) -> tuple[Workload, ...]:
        """All workloads that run on the same nodes, and this one."""
        return tuple(each for each in self.deployment.workloads if each.pool == self.workload.pool)


_Priced = Pool | ObjectStore | FileSystem | Block


def _by_subject(deployment: Deployment) -> dict[str, _Priced]:
    things: tuple[_Priced, ...] = (
        *deployment.pools,
        *deployment.object_stores,
        *deployment.file_systems,
        *deployment.blocks,
    )
    return {thing.price.subject: thing for thing in things}


def _usd(thing: _Priced | None) -> float | None:
    return thing.price.usd_per_hour if thing is not None else 0.0


def accelerator_of(model: str, memory_gib: float) -> Accelerator | None:
    return speeds.of_model(model, memory_gib) if model else None


def best_of_newest(results: Iterable[Result]) -> Result | None:
    """Of rates: of the newest date the largest, whichever job of a file or step of a sweep it is of."""
    return max(results, key=lambda each: (each.taken.date, each.value), default=None)


def origin(result: Result) -> str:
    """Where a measured number is from."""
    return f"{result.taken.source}, {result.taken.date}"
