"""Another machine type for the pool of a model server, where its tokens cost clearly less there. PURE. Called by
`inference`.

Nodes are bought whole, and all workloads of a pool run on the same machines: what is compared is the price of the pool,
as `resolve` has it for the mesh with the change written in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
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
from meshctl.resolve.placement.machine_types import prices
from meshctl.resolve.work import workloads

_CHEAPER: Final = 0.9  # another machine is named only where a token costs clearly less


@dataclass(frozen=True, slots=True)
class _Candidate:
    """`nodes`: as many as have the pool's number of accelerators. `replica`: output tokens per second.
    `least_usd_per_token`: in proportion, as of `_Offer`."""

    machine: Machine
    nodes: int
    replica: float
    least_usd_per_token: float


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
    if declared is None or not usd or _must_stay(pool, _rates(situation, declared)):
        return None
    now = usd / replica
    best = _best(situation, declared, _candidates(situation, declared, predict), _CHEAPER * now)
    if best is None:
        return None
    replicas = situation.workload.at_least
    neighbours = [each.name for each in situation.on_pool if each.accelerators and each != situation.workload]
    return Change(
        what=f"{best.pool.gpu_model} instead of {pool.gpu_model} ({best.pool.machine})",
        effect=f"{replica * replicas:,.0f} -> {best.replica * replicas:,.0f} tokens/s, each token at"
        f" {best.usd_per_token / now:.0%} of its price",
        gain=best.replica / replica - 1,
        usd_per_hour=best.more_usd_per_hour,
        how=edits.lines(best.edits),
        plan="nodes made anew",
        caution=f"{', '.join(neighbours)} would run on them, too" if neighbours else "",
    )


def _must_stay(pool: Pool, rates: Mapping[str, float]) -> bool:
    """Whether its machines are reserved, have a rate of a contract that names the pool and so none of another machine,
    or have a file system on their drives."""
    has_drives = pool.storage is not None and pool.storage.drives > 0
    return bool(pool.reservation) or pool.name in rates or has_drives


def _rates(situation: Situation, declared: Declared) -> dict[str, float]:
    return declared.environments.environments[situation.deployment.environment].prices


def _best(situation: Situation, declared: Declared, candidates: list[_Candidate], most: float) -> _Offer | None:
    """The one whose tokens cost least, and no more than `most`. To resolve a mesh takes a while, so that nothing is
    tried that can't be cheaper any more."""
    best: _Offer | None = None
    for candidate in sorted(candidates, key=lambda each: each.least_usd_per_token):
        if candidate.least_usd_per_token > (best.usd_per_token if best is not None else most):
            break
        offer = _offer(situation, declared, candidate)
        if offer is not None and offer.usd_per_token <= (best.usd_per_token if best is not None else most):
            best = offer
    return best


def _candidates(
    situation: Situation, declared: Declared, predict: Callable[[Accelerator], float | None]
) -> list[_Candidate]:
    """One of each model, count and memory, at the least that such nodes cost: which of those that have them is taken,
    `resolve` decides."""
    pool, cheapest = situation.pool, dict[tuple[str, int, float], _Candidate]()
    for machine in situation.catalog.machines.get(situation.deployment.provider, ()):
        key = (machine.gpu_model, machine.gpu_count, machine.gpu_memory_gib)
        is_whole = machine.gpu_model != "" and machine.gpu_fraction >= 1 and machine.arch == pool.arch
        usd, nodes = _usd_per_node(situation, declared, machine), _nodes(pool, machine.gpu_count)
        if not is_whole or usd is None or not nodes or key == (pool.gpu_model, pool.gpus_per_node, pool.gpu_memory_gib):
            continue
        accelerator = accelerator_of(machine.gpu_model, machine.gpu_memory_gib)
        replica = predict(accelerator) if accelerator is not None else None
        if replica and (key not in cheapest or usd * nodes / replica < cheapest[key].least_usd_per_token):
            cheapest[key] = _Candidate(machine, nodes, replica, usd * nodes / replica)
    return [each for each in cheapest.values() if _has_room(situation, each.machine.gpu_count, each.nodes)]


def _usd_per_node(situation: Situation, declared: Declared, machine: Machine) -> float | None:
    pool, deployment = situation.pool, situation.deployment
    rates = _rates(situation, declared)
    return prices.of_machine("", pool.name, 1, machine, pool.market, deployment.region, rates).usd_per_hour


def _nodes(pool: Pool, gpus_per_node: int) -> int:
    """With as many accelerators as now, in whole nodes; 0 where some would be left without work."""
    nodes, left = divmod(pool.nodes * pool.gpus_per_node, gpus_per_node or 1)
    return 0 if left else nodes


def _offer(situation: Situation, declared: Declared, candidate: _Candidate) -> _Offer | None:
    """The pool on such machines; None where they don't carry its workloads, or have no price."""
    pool, machine = situation.pool, candidate.machine
    written = tuple(_edits(situation, declared, machine, candidate.nodes))
    changed = situation.with_edits(written)
    if changed is None:
        return None
    then, usd = changed.pool(pool.name), changed.pool(pool.name).price.usd_per_hour
    is_as_meant = (then.gpu_model, then.gpus_per_node) == (machine.gpu_model, machine.gpu_count)
    if usd is None or not is_as_meant:
        return None
    return _Offer(then, usd, situation.more_usd_per_hour(changed), candidate.replica, written)


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
