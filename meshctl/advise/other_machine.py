"""Another machine type for the pool of a model server, where its tokens cost clearly less there. PURE. Called by
`inference`.

Nodes are bought whole, and all workloads of a pool run on the same machines: what is compared is the price of the pool,
as `resolve` has it for the mesh with the change written in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from meshctl.advise import edits
from meshctl.advise.edits import Declared, Edit
from meshctl.advise.figures import Change
from meshctl.advise.situation import Situation, accelerator_of
from meshctl.catalog import Machine
from meshctl.catalog.speeds import Accelerator
from meshctl.model.deployment import Pool, Workload
from meshctl.resolve.placement import packing
from meshctl.resolve.work import workloads

_CHEAPER: Final = 0.9  # another machine is named only where a token costs clearly less


@dataclass(frozen=True, slots=True)
class _Offer:
    """`pool` and its price: as they are then. `more_usd_per_hour`: of the whole environment. `replica`: output tokens
    per second."""

    pool: Pool
    usd_per_hour: float
    more_usd_per_hour: float | None
    replica: float
    edits: tuple[Edit, ...]

    @property
    def usd_per_token(self) -> float:
        """In proportion: the number of replicas stays the same."""
        return self.usd_per_hour / self.replica


def cheaper(situation: Situation, replica: float, predict: Callable[[Accelerator], float | None]) -> Change | None:
    """The machine of this platform whose tokens cost least, where that is clearly less than now. `replica`: output
    tokens per second of one replica now; `predict`: the same on another accelerator, None where it can't be said."""
    pool, declared = situation.pool, situation.declared
    usd = pool.price.usd_per_hour
    if declared is None or not usd or _must_stay(pool):
        return None
    offers = _offers(situation, declared, predict)
    best = min(offers, key=lambda offer: offer.usd_per_token, default=None)
    share = best.usd_per_token / (usd / replica) if best is not None else 1.0
    if best is None or share > _CHEAPER:
        return None
    replicas = situation.workload.at_least
    neighbours = [each.name for each in situation.on_pool if each.accelerators and each != situation.workload]
    return Change(
        what=f"{best.pool.gpu_model} instead of {pool.gpu_model} ({best.pool.machine})",
        effect=f"{replica * replicas:,.0f} -> {best.replica * replicas:,.0f} tokens/s, each token at {share:.0%} of"
        " its price",
        gain=best.replica / replica - 1,
        usd_per_hour=best.more_usd_per_hour,
        how=edits.lines(best.edits),
        plan="nodes made anew",
        caution=f"{', '.join(neighbours)} would run on them, too" if neighbours else "",
    )


def _must_stay(pool: Pool) -> bool:
    """Whether its machines are reserved, or have a file system on their drives."""
    return bool(pool.reservation) or (pool.storage is not None and pool.storage.drives > 0)


def _offers(
    situation: Situation, declared: Declared, predict: Callable[[Accelerator], float | None]
) -> Iterator[_Offer]:
    for machine in _candidates(situation):
        accelerator = accelerator_of(machine.gpu_model, machine.gpu_memory_gib)
        replica = predict(accelerator) if accelerator is not None else None
        offer = _offer(situation, declared, machine, replica) if replica else None
        if offer is not None:
            yield offer


def _candidates(situation: Situation) -> Iterator[Machine]:
    """One of each model, count and memory: which of those that have them is taken, `resolve` decides."""
    pool, seen = situation.pool, set()
    for machine in situation.catalog.machines.get(situation.deployment.provider, ()):
        key = (machine.gpu_model, machine.gpu_count, machine.gpu_memory_gib)
        is_whole = machine.gpu_model != "" and machine.gpu_fraction >= 1 and machine.arch == pool.arch
        if is_whole and key != (pool.gpu_model, pool.gpus_per_node, pool.gpu_memory_gib) and key not in seen:
            seen.add(key)
            yield machine


def _offer(situation: Situation, declared: Declared, machine: Machine, replica: float) -> _Offer | None:
    """The pool on such machines; None where they don't carry its workloads, have no price, or leave accelerators
    without work: as many accelerators as now must be whole nodes."""
    pool = situation.pool
    nodes, left = divmod(pool.nodes * pool.gpus_per_node, machine.gpu_count)
    if left or not _has_room(situation, machine.gpu_count, nodes):
        return None
    written = tuple(_edits(situation, declared, machine, nodes))
    changed = situation.with_edits(written)
    if changed is None:
        return None
    then, usd = changed.pool(pool.name), changed.pool(pool.name).price.usd_per_hour
    is_as_meant = (then.gpu_model, then.gpus_per_node) == (machine.gpu_model, machine.gpu_count)
    if usd is None or not is_as_meant:
        return None
    return _Offer(then, usd, situation.more_usd_per_hour(changed), replica, written)


def _has_room(situation: Situation, gpus_per_node: int, nodes: int) -> bool:
    """Whether the accelerators of all pods of the pool fit; of what else they ask for `resolve` knows."""
    pods = tuple(workloads.pods_of(each, situation.pool) for each in situation.on_pool if each.accelerators)
    node = (float(gpus_per_node), *[math.inf] * (len(pods[0].wants) - 1))
    return nodes > 0 and packing.placeable(pods, ((node, nodes),)) == sum(kind.count for kind in pods)


def _edits(situation: Situation, declared: Declared, machine: Machine, nodes: int) -> Iterator[Edit]:
    """A pod that has `all` accelerators of a node would have another number of them on another machine."""
    mesh, pool = declared.mesh, situation.pool
    yield edits.accelerator_of_pool(pool.name, machine.gpu_model, machine.gpu_count)
    if nodes != pool.nodes:
        yield edits.pool_nodes(mesh, pool.name, nodes)
    if machine.gpu_count != pool.gpus_per_node:
        for workload in filter(_fills_nodes(declared), situation.on_pool):
            yield edits.accelerators_of_pod(mesh, workload.name, workload.accelerators)


def _fills_nodes(declared: Declared) -> Callable[[Workload], bool]:
    written = declared.mesh.workloads
    return lambda workload: workload.name in written and written[workload.name].resources.accelerators == "all"
