"""Chooses existing nodes for pools, by their hardware. PURE.

Called by `meshctl.resolve.placement.pools` for the providers kubernetes and onprem once the cluster was looked at
(`Facts`). A node serves one pool; a node that carries a pool's label already stays with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from meshctl.model.deployment import MESH_LABEL, POOL_LABEL, Gap, Rejected
from meshctl.model.files.units import format_in_gib
from meshctl.model.observed import Facts, ObservedNode
from meshctl.model.pods.tolerations import Rendered
from meshctl.resolve.placement import node_rules, slices
from meshctl.resolve.placement.given import occupied
from meshctl.resolve.placement.given.occupied import Occupied
from meshctl.resolve.placement.machine_types import alternatives, racks
from meshctl.resolve.placement.machine_types.alternatives import Alternatives
from meshctl.resolve.placement.machine_types.machines import Requirement

_HEADROOM: Final = 0.97  # a node reports 2-3% less memory than its label says (firmware, reserved by the kernel)
ANY_MODEL: Final = "accelerators"  # the model of a pool that names none, until its nodes are known


@dataclass(frozen=True, slots=True)
class Wanted:
    """How many nodes a pool wants, and what each must have. All of its nodes must fit the same alternative.

    `pods`: what environments.yaml adds to the pods of each of its workloads. `labels`: those that its nodes get.
    """

    nodes: int
    alternatives: Alternatives
    pods: tuple[Mapping[str, Any], ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)

    def unusable_for(self, node: ObservedNode) -> int:
        """How many of the pool's workloads can't have their pods on the node."""
        return sum(not node_rules.allows(pod, node, self.labels) for pod in self.pods)


@dataclass
class Chosen:
    """By pool: its `nodes`, in name order, which of the alternatives they are for, and which nodes are `rejected`.
    `notes`: on pools that don't get the alternative that they prefer, and on their nodes that have got a taint."""

    nodes: dict[str, tuple[ObservedNode, ...]] = field(default_factory=dict)
    requirements: dict[str, Requirement] = field(default_factory=dict)
    rejected: dict[str, tuple[Rejected, ...]] = field(default_factory=dict)
    gaps: list[Gap] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Candidates:
    """The nodes that fit an alternative of a pool, the reasons against the others, and those that only taints or pods
    of others keep the pool from."""

    requirement: Requirement
    nodes: tuple[ObservedNode, ...]
    reasons: dict[str, str]
    kept_out: Occupied


@dataclass(frozen=True, slots=True)
class _Picked:
    """Nodes for an alternative of a pool. `own`: how many nodes that fit it the pool has already."""

    nodes: tuple[ObservedNode, ...]
    own: int


def model_of(requirement: Requirement, nodes: tuple[ObservedNode, ...]) -> str:
    """The accelerator of a pool in the mesh's own words: the wanted name that its nodes answer to, else the first. Its
    nodes' own where the mesh names none."""
    if requirement.gpus and not requirement.models:
        return nodes[0].gpu_model if nodes else ANY_MODEL
    answered = (model for model in requirement.models if nodes and _answers(nodes[0], model))
    return next(answered, requirement.models[0] if requirement.models else "")


def hardware_name(model: str, share: str = "") -> str:
    """The name by which environments.yaml prices hardware: `gpu-node-h100`, `gpu-node-a100-mig-3g.20gb`, `cpu-node`."""
    part = f"-{share}" if share else ""
    if model == ANY_MODEL:
        return f"gpu-node{part}"
    return f"gpu-node-{model.lower().replace(' ', '-')}{part}" if model else "cpu-node"


def choose(
    facts: Facts, mesh: str, wanted: Mapping[str, Wanted], tolerations: Callable[[str, Requirement], list[Rendered]]
) -> Chosen:
    """Give each pool as many nodes as it asks for; pools with the fewest candidates choose first.

    Nodes that carry the label of another mesh are left to it. A pool gets the first of its alternatives for which there
    are enough nodes; one whose nodes it has already comes before all. `tolerations`: of a pool's pods, by what they
    want.
    """
    chosen = Chosen()
    candidates = {
        pool: [_candidates(facts, mesh, pool, each, tolerations(pool, each)) for each in want.alternatives]
        for pool, want in wanted.items()
    }
    pool_labels = {node.name: node.labels[POOL_LABEL] for node in facts.nodes if node.labels.get(POOL_LABEL) in wanted}
    taken: set[str] = set()
    for pool in sorted(wanted, key=lambda name: (_number_of_nodes(candidates[name]), name)):
        count = wanted[pool].nodes
        picks = [_picked(each, pool, wanted[pool], taken, pool_labels) for each in candidates[pool]]
        order = sorted(range(len(picks)), key=lambda i: -picks[i].own)  # stable: preference decides a tie
        enough = next((i for i in order if len(picks[i].nodes) >= count), None)
        index = max(order, key=lambda i: len(picks[i].nodes)) if enough is None else enough
        taken.update(node.name for node in picks[index].nodes)
        chosen.nodes[pool], chosen.requirements[pool] = picks[index].nodes, wanted[pool].alternatives[index]
        tried = order if enough is None else order[: order.index(enough) + 1]
        chosen.rejected[pool] = alternatives.rejected(
            [(each.requirement, each.reasons) for each in (candidates[pool][i] for i in tried)]
        )
        if enough is None:
            chosen.gaps.append(_gap(facts, mesh, pool, count, list(zip(candidates[pool], picks, strict=True))))
            continue
        chosen.notes += occupied.notes(pool, picks[enough].nodes, tolerations(pool, wanted[pool].alternatives[enough]))
        has_nodes_of_it = order[0] == enough and picks[enough].own > 0
        chosen.notes += alternatives.note(pool, wanted[pool].alternatives[: enough + 1], is_up=has_nodes_of_it)
    return chosen


def _candidates(
    facts: Facts, mesh: str, pool: str, requirement: Requirement, tolerations: list[Rendered]
) -> _Candidates:
    nodes = slices.counted_as(facts.nodes, requirement.share)
    reasons = {node.name: _taken(node, mesh) or _unfit(node, requirement) for node in nodes}
    fitting = [node for node in nodes if not reasons[node.name]]
    for node in fitting:
        reasons[node.name] = occupied.reason(node, pool, tolerations, requirement.gpus)
    return _Candidates(
        requirement,
        tuple(node for node in fitting if not reasons[node.name]),
        {name: why for name, why in sorted(reasons.items()) if why},
        occupied.grouped((node for node in fitting if reasons[node.name]), pool, tolerations),
    )


def _number_of_nodes(candidates: list[_Candidates]) -> int:
    """How many nodes the alternatives of a pool have together."""
    return len({node.name for each in candidates for node in each.nodes})


def _picked(
    candidates: _Candidates, pool: str, wanted: Wanted, taken: set[str], pool_labels: Mapping[str, str]
) -> _Picked:
    """The nodes for one pool. `taken`: nodes that other pools already got. `pool_labels`: the pool that each node is
    labelled for."""
    free = [n for n in candidates.nodes if n.name not in taken and pool_labels.get(n.name, pool) == pool]
    own = frozenset(node.name for node in free if pool_labels.get(node.name) == pool)
    return _Picked(_pick(free, own, wanted, candidates.requirement), len(own))


def _pick(
    free: list[ObservedNode], own: frozenset[str], wanted: Wanted, requirement: Requirement
) -> tuple[ObservedNode, ...]:
    """As many as wanted in name order: those the pool has already, then enough of one model, then a mixture of models.
    Among equals, first those that the pods of all workloads can run on."""
    count = wanted.nodes
    free.sort(key=lambda node: (node.name not in own, wanted.unusable_for(node), _rank(node, requirement)))
    any_model = requirement.gpus and not requirement.models
    models = dict.fromkeys(node.gpu_model for node in free) if any_model else requirement.models
    groups = [[node for node in free if _answers(node, model)] for model in models] or [free]
    if requirement.placement == "cluster" or requirement.nvlink:
        groups = [nodes for group in groups for nodes in (*racks.by_nvlink_domain(group), group)]
    groups.sort(key=lambda group: -sum(node.name in own for node in group))  # stable: preference decides a tie
    groups += _by_resource(free) if requirement.gpus else [free]
    if requirement.share:  # some nodes have a resource for it, and some show slices as GPUs
        groups = [nodes for group in groups for nodes in _by_resource(group)]
    picked = next((group for group in groups if len(group) >= count), groups[-1]) if len(own) < count else free
    return tuple(sorted(picked[:count], key=lambda node: node.name))


def _by_resource(nodes: list[ObservedNode]) -> list[list[ObservedNode]]:
    """Mixtures of models, each of one resource, as a pool's pods ask for one. The largest is the last."""
    resources = dict.fromkeys(node.gpu_resource for node in nodes)
    mixtures = [[node for node in nodes if node.gpu_resource == resource] for resource in resources]
    return sorted(mixtures, key=len) or [[]]


def _elsewhere(facts: Facts, mesh: str, requirement: Requirement) -> str:
    """The nodes that would fit and serve another mesh: `g2, g3 serve mesh other`."""
    owners: dict[str, list[str]] = {}
    for node in sorted(slices.counted_as(facts.nodes, requirement.share), key=lambda node: node.name):
        if _taken(node, mesh) and not _unfit(node, requirement):
            owners.setdefault(node.labels[MESH_LABEL], []).append(node.name)
    texts = (f"{', '.join(n)} serve{'s' * (len(n) == 1)} mesh {owner}" for owner, n in sorted(owners.items()))
    return "; ".join(texts)


def _gap(facts: Facts, mesh: str, pool: str, count: int, rows: list[tuple[_Candidates, _Picked]]) -> Gap:
    """`rows`: the candidates for each alternative, and what the pool would get of them."""
    listed = tuple(candidates.requirement for candidates, _ in rows)
    gaps = []
    for candidates, picked in rows:
        requirement = candidates.requirement
        elsewhere = _elsewhere(facts, mesh, requirement)
        gap = _shortage(pool, count, requirement, picked.nodes, elsewhere, candidates.kept_out)
        gaps.append(slices.explained(gap, facts.nodes, requirement))
    return alternatives.joined(listed, gaps, f"{count} nodes with {alternatives.wanted(listed)}")


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
    not_counted = "; ".join([*([elsewhere] if elsewhere else []), *kept_out.words])
    fewer = "lower the pool's nodes, add nodes to the cluster, or free some from another pool"
    return Gap(
        subject=f"pool/{pool}",
        wanted=f"{count} nodes with {requirement}",
        best=f"{best} ({not_counted})" if not_counted else best,
        hint="; or ".join([*kept_out.hints, fewer]),
    )


def _rank(node: ObservedNode, requirement: Requirement) -> tuple[int, int, int, float, float, str]:
    """The preferred model first, then the smallest that fits, and that with the fewest pods of others."""
    preference = next((i for i, model in enumerate(requirement.names) if _answers(node, model)), 0)
    # a node with slices is not for pods without accelerators, where there is another
    size = node.gpu_count or len(node.gpu_parts), node.cpu_cores, node.memory_gib
    return preference, *size, occupied.crowding(node), node.name


def _answers(node: ObservedNode, model: str) -> bool:
    return slices.answers(node, model)


def _taken(node: ObservedNode, mesh: str) -> str:
    owner = node.labels.get(MESH_LABEL, mesh)
    return f"serves mesh {owner}" if owner != mesh else ""


def _unfit(node: ObservedNode, want: Requirement) -> str:
    """Why a node can't serve; "" when it can."""
    if not node.ready:
        return "not ready"
    if want.gpus and not any(_answers(node, model) for model in want.names):
        return slices.why_not(node, want) or f"{node.gpu_model or 'no GPU'}, wanted {want.accelerator}"
    if not want.gpus and node.gpu_count:
        return f"has {node.gpu_count} x {node.gpu_model}, no accelerator wanted"
    return "; ".join(_shortcomings(node, want))


def _shortcomings(node: ObservedNode, want: Requirement) -> Iterator[str]:
    """Of a node with the wanted accelerator: all of them, as whoever mends one wants to know of the next."""
    if node.gpu_count < want.gpus and want.share:
        yield f"{node.gpu_count} x {want.share}, wanted {want.gpus}{slices.offered(node)}"
    elif node.gpu_count < want.gpus:
        yield f"{node.gpu_count} x {node.gpu_model}, wanted {want.gpus}{slices.offered(node)}"
    if want.gpu_memory_gib and not want.models and not node.gpu_memory_gib:
        yield f"memory per GPU not known, wanted {format_in_gib(want.gpu_memory_gib)}"
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
