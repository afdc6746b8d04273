"""Chooses existing nodes for pools, by their hardware. PURE.

Called by `meshctl.resolve.pools` for the providers kubernetes and onprem once the cluster was looked at (`Facts`). A
node serves one pool; a node that carries a pool's label already stays with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from meshctl.model.deployment import MESH_LABEL, POOL_LABEL, Gap, Rejected
from meshctl.model.observed import Facts, ObservedNode
from meshctl.model.tolerations import Rendered
from meshctl.model.units import format_in_gib
from meshctl.resolve import occupied, slices
from meshctl.resolve.machines import Requirement
from meshctl.resolve.occupied import Occupied

_HEADROOM: Final = 0.97  # a node reports 2-3% less memory than its label says (firmware, reserved by the kernel)


@dataclass
class Chosen:
    """`nodes` per pool, in name order; `rejected` per pool."""

    nodes: dict[str, tuple[ObservedNode, ...]] = field(default_factory=dict)
    rejected: dict[str, tuple[Rejected, ...]] = field(default_factory=dict)
    gaps: list[Gap] = field(default_factory=list)


def model_of(models: tuple[str, ...], nodes: tuple[ObservedNode, ...]) -> str:
    """The accelerator of a pool in the mesh's own words: the wanted name that its nodes answer to, else the first."""
    answered = (model for model in models if nodes and _answers(nodes[0], model))
    return next(answered, models[0] if models else "")


def hardware_name(model: str) -> str:
    """The name by which environments.yaml prices hardware: `gpu-node-h100`, `cpu-node`."""
    return f"gpu-node-{model.lower().replace(' ', '-')}" if model else "cpu-node"


def choose(
    facts: Facts, mesh: str, wanted: dict[str, tuple[int, Requirement]], tolerations: Mapping[str, list[Rendered]]
) -> Chosen:
    """Give each pool as many nodes as it asks for; pools with the fewest candidates choose first.

    Nodes that carry the label of another mesh are left to it. `wanted`: pool name -> (number of nodes, what each must
    have). `tolerations`: of each pool's pods.
    """
    chosen = Chosen()
    candidates: dict[str, list[ObservedNode]] = {}
    kept_out: dict[str, Occupied] = {}
    for pool, (_, requirement) in wanted.items():
        reasons = {node.name: _taken(node, mesh) or _unfit(node, requirement) for node in facts.nodes}
        fitting = [node for node in facts.nodes if not reasons[node.name]]
        for node in fitting:
            reasons[node.name] = occupied.reason(node, pool, tolerations[pool], requirement.gpus)
        kept_out[pool] = occupied.grouped((node for node in fitting if reasons[node.name]), tolerations[pool])
        candidates[pool] = [node for node in fitting if not reasons[node.name]]
        chosen.rejected[pool] = tuple(
            Rejected(machine=name, reason=why) for name, why in sorted(reasons.items()) if why
        )
    held = {node.name: node.labels[POOL_LABEL] for node in facts.nodes if node.labels.get(POOL_LABEL) in wanted}
    taken: set[str] = set()
    for pool in sorted(wanted, key=lambda name: (len(candidates[name]), name)):
        count, requirement = wanted[pool]
        free = [n for n in candidates[pool] if n.name not in taken and held.get(n.name, pool) == pool]
        own = frozenset(node.name for node in free if held.get(node.name) == pool)
        picked = _pick(free, own, count, requirement)
        taken.update(node.name for node in picked)
        chosen.nodes[pool] = picked
        if len(picked) < count:
            elsewhere = _elsewhere(facts, mesh, requirement)
            gap = _shortage(pool, count, requirement, picked, elsewhere, kept_out[pool])
            chosen.gaps.append(slices.explained(gap, facts.nodes, requirement))
    return chosen


def _pick(
    free: list[ObservedNode], own: frozenset[str], count: int, requirement: Requirement
) -> tuple[ObservedNode, ...]:
    """`count` nodes in name order: those the pool has already, then enough of one model, then a mixture of models."""
    free.sort(key=lambda node: _rank(node, requirement, sticky=node.name in own))
    groups = [[node for node in free if _answers(node, model)] for model in requirement.models] or [free]
    groups.sort(key=lambda group: -sum(node.name in own for node in group))  # stable: preference decides a tie
    groups += _by_vendor(free) if requirement.models else [free]
    picked = next((group for group in groups if len(group) >= count), groups[-1]) if len(own) < count else free
    return tuple(sorted(picked[:count], key=lambda node: node.name))


def _by_vendor(nodes: list[ObservedNode]) -> list[list[ObservedNode]]:
    """Mixtures of models, each of one vendor: a pool's pods ask for one resource. The largest is the last."""
    resources = dict.fromkeys(node.gpu_resource for node in nodes)
    mixtures = [[node for node in nodes if node.gpu_resource == resource] for resource in resources]
    return sorted(mixtures, key=len) or [[]]


def _elsewhere(facts: Facts, mesh: str, requirement: Requirement) -> str:
    """The nodes that would fit and serve another mesh: `g2, g3 serve mesh other`."""
    owners: dict[str, list[str]] = {}
    for node in sorted(facts.nodes, key=lambda node: node.name):
        if _taken(node, mesh) and not _unfit(node, requirement):
            owners.setdefault(node.labels[MESH_LABEL], []).append(node.name)
    told = (f"{', '.join(n)} serve{'s' * (len(n) == 1)} mesh {owner}" for owner, n in sorted(owners.items()))
    return "; ".join(told)


def _shortage(
    pool: str,
    count: int,
    requirement: Requirement,
    picked: tuple[ObservedNode, ...],
    elsewhere: str,
    kept_out: Occupied,
) -> Gap:
    names = ", ".join(node.name for node in picked)
    best = f"{len(picked)} nodes: {names}" if picked else "nothing"
    others = "; ".join([*([elsewhere] if elsewhere else []), *kept_out.words])
    fewer = "lower the pool's nodes, add nodes to the cluster, or free some from another pool"
    return Gap(
        subject=f"pool/{pool}",
        wanted=f"{count} nodes with {requirement}",
        best=f"{best} ({others})" if others else best,
        hint="; or ".join([*kept_out.hints, fewer]),
    )


def _rank(
    node: ObservedNode, requirement: Requirement, *, sticky: bool
) -> tuple[bool, int, int, int, float, float, str]:
    """Own nodes first, then the preferred model, the smallest that fits, and that with the fewest pods of others."""
    preference = next((i for i, model in enumerate(requirement.models) if _answers(node, model)), 0)
    size = node.gpu_count, node.cpu_cores, node.memory_gib
    return not sticky, preference, *size, occupied.crowding(node), node.name


def _answers(node: ObservedNode, model: str) -> bool:
    return slices.answers(node, model)


def _taken(node: ObservedNode, mesh: str) -> str:
    owner = node.labels.get(MESH_LABEL, mesh)
    return f"serves mesh {owner}" if owner != mesh else ""


def _unfit(node: ObservedNode, want: Requirement) -> str:
    """Why a node can't serve; "" when it can."""
    if not node.ready:
        return "not ready"
    if want.models and not any(_answers(node, model) for model in want.models):
        return slices.why_not(node, want) or f"{node.gpu_model or 'no GPU'}, wanted {' or '.join(want.models)}"
    if not want.models and node.gpu_count:
        return f"has {node.gpu_count} x {node.gpu_model}, no accelerator wanted"
    return "; ".join(_shortcomings(node, want))


def _shortcomings(node: ObservedNode, want: Requirement) -> Iterator[str]:
    """Of a node with the wanted accelerator: all of them, as whoever mends one wants to know of the next."""
    if node.gpu_count < want.gpus:
        yield f"{node.gpu_count} x {node.gpu_model}, wanted {want.gpus}{slices.offered(node)}"
    if 0 < node.gpu_memory_gib < want.gpu_memory_gib * _HEADROOM:
        yield f"{format_in_gib(node.gpu_memory_gib)} per GPU, wanted {format_in_gib(want.gpu_memory_gib)}"
    if node.arch != want.arch:
        yield f"{node.arch}, wanted {want.arch}"
    if node.cpu_cores < want.cpu_cores:
        yield f"{node.cpu_cores} cores, wanted {want.cpu_cores}"
    if node.memory_gib < want.memory_gib * _HEADROOM:
        yield f"{format_in_gib(node.memory_gib)} memory, wanted {format_in_gib(want.memory_gib)}"
    if 0 < node.scratch_gb < want.scratch_gb:
        yield f"{node.scratch_gb:g} GB scratch, wanted {want.scratch_gb:g} GB"
    if want.rdma and not node.rdma_count:
        yield "no RDMA resource"
