"""What becomes of the gangs that lose a node: start again as a whole, go on with fewer ranks, or wait. PURE.

Called by `plan`. All pods of such a gang end, so that what they use is free for those that start again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from meshctl.model.deployment import Deployment, Pool, Workload
from meshctl.model.keys import job_order
from meshctl.model.value import Value
from meshctl.shift.planning.choice import NodeLoad


class Resized(Value):
    """A gang that goes on with fewer ranks. `before`: how many it had when the shift began."""

    workload: str
    before: int
    nodes: int


@dataclass(frozen=True, slots=True)
class Gangs:
    """`restarting`: those that start again with all pods on the other nodes of their pool; `resized`: with fewer;
    `waiting`: those that stop until their nodes are back."""

    restarting: tuple[str, ...] = ()
    resized: tuple[Resized, ...] = ()
    waiting: tuple[str, ...] = ()

    @property
    def starting(self) -> dict[str, int]:
        """How many pods start again of each, where Kubernetes and not a queue decides about it."""
        return {each.workload: each.nodes for each in self.resized}

    def effect(self, workload: str) -> str:
        """What happens to the workload, as in `plan.Disturbed`; "" where it is none of these gangs."""
        effects = {"restarts": self.restarting, "shrinks": tuple(self.starting), "waits": self.waiting}
        return next((effect for effect, names in effects.items() if workload in names), "")


NO_GANGS: Final = Gangs()


def is_gang(workload: Workload) -> bool:
    """Whether all pods of a job work as one, so that none goes on without the others."""
    return workload.kind == "training" and workload.replicas > 1


def decide(deployment: Deployment, pool: Pool, names: Collection[str], rest: Sequence[NodeLoad]) -> Gangs:
    """`names`: the workloads with pods that have to leave; `rest`: the other nodes of the pool. What can't shrink gets
    its room first. A gang in a queue is started by the queue's controller, which knows what is free: it restarts."""
    gangs = sorted((w for w in deployment.workloads if w.name in names and is_gang(w)), key=lambda w: w.name)
    free = _free(deployment, pool, rest, {gang.name for gang in gangs})
    restarting, waiting = [gang.name for gang in gangs if job_order.queue_of(gang)], []
    resized = []
    for gang in sorted((gang for gang in gangs if not job_order.queue_of(gang)), key=lambda gang: gang.is_elastic):
        ranks = _placed(gang, free)
        if ranks == gang.replicas:
            restarting.append(gang.name)
        elif ranks:
            resized.append(Resized(workload=gang.name, before=gang.replicas, nodes=ranks))
        else:
            waiting.append(gang.name)
    return Gangs(tuple(sorted(restarting)), tuple(resized), tuple(sorted(waiting)))


def _free(deployment: Deployment, pool: Pool, rest: Iterable[NodeLoad], ending: Collection[str]) -> list[int]:
    """The accelerators of each node that are not used by a workload of the mesh that stays there."""
    wants = {workload.name: workload.accelerators for workload in deployment.workloads if workload.name not in ending}
    return [max(0, pool.gpus_per_node - sum(wants.get(pod.workload, 0) for pod in load.pods)) for load in rest]


def _placed(gang: Workload, free: list[int]) -> int:
    """How many ranks have room: all, or as many as an elastic gang can work with; 0 where these are too few. Takes
    what they use from `free`. One rank on each node where it asks for no accelerators."""
    places = [count // gang.accelerators if gang.accelerators else 1 for count in free]
    ranks = min(sum(places), gang.replicas)
    if ranks < (gang.least_nodes or gang.replicas):
        return 0
    left = ranks
    for index, count in enumerate(places):
        taken = min(count, left)
        free[index] -= taken * gang.accelerators
        left -= taken
    return ranks
