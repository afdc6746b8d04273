"""Why a mesh can't use nodes of a given cluster that have the hardware: their taints, and pods of others. PURE.

Called by `meshctl.resolve.placement.given.existing` for each node that a pool could have.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from meshctl.model.deployment import POOL_LABEL, Taint
from meshctl.model.observed import ObservedNode
from meshctl.model.pods.tolerations import Rendered, keeping_out
from meshctl.words import pluralize

# Taints that Kubernetes sets and takes away itself: a toleration would put pods on nodes that can't serve them.
# https://kubernetes.io/docs/reference/labels-annotations-taints/
_SET_BY_KUBERNETES: Final = "node.kubernetes.io/"
_CORDONED: Final = f"{_SET_BY_KUBERNETES}unschedulable"


@dataclass
class Occupied:
    """Nodes with the hardware that a pool wants and can't have, by what keeps its pods out."""

    tainted: dict[tuple[Taint, ...], list[str]] = field(default_factory=dict)
    used: list[str] = field(default_factory=list)

    @property
    def words(self) -> list[str]:
        """`6 nodes have the taint team=vision:NoSchedule`."""
        parts = [
            f"{pluralize(len(names), 'node')} {'has' if len(names) == 1 else 'have'} {_taint_texts(taints)}"
            for taints, names in self.tainted.items()
        ]
        return parts + ([f"on {pluralize(len(self.used), 'node')} pods of others have GPUs"] if self.used else [])

    @property
    def hints(self) -> list[str]:
        hints = _taint_hints(self.tainted)
        if self.used:
            seen = f"kubectl get pods -A -o wide --field-selector spec.nodeName={self.used[0]}"
            hints.append(f"`{seen}` shows the pods of others")
        return hints


def reason(node: ObservedNode, pool: str, tolerations: Iterable[Rendered], gpus: int) -> str:
    """Why the pods of a pool can't run on a node; "" when they can. `gpus`: how many the pool wants of it.

    A node that the pool has already stays with it: what pods of others use of it is subtracted when the mesh's pods are
    counted.
    """
    taints = _keeping_off(node, pool, tolerations)
    if taints:
        return f"has {_taint_texts(taints)}"
    if node.labels.get(POOL_LABEL) != pool and node.gpu_count - node.taken.gpus < gpus:
        return f"pods of others have {node.taken.gpus} of its {node.gpu_count} x {node.gpu_model}, wanted {gpus}"
    return ""


def notes(pool: str, nodes: Iterable[ObservedNode], tolerations: Iterable[Rendered]) -> list[str]:
    """Notes on nodes that the pool already has and that were tainted since."""
    texts = []
    all_tolerations = list(tolerations)
    for node in nodes:
        taints = keeping_out(node.taints, all_tolerations)
        if taints:
            texts.append(
                f"pool/{pool}: its node {node.name} has {_taint_texts(taints)}: the pods that run there stay, but no"
                f" new ones start there; {'; or '.join(_taint_hints({taints: [node.name]}))}"
            )
    return texts


def grouped(nodes: Iterable[ObservedNode], pool: str, tolerations: Iterable[Rendered]) -> Occupied:
    """Groups the nodes that can't be used. `nodes`: those for which `reason` returned something."""
    occupied, all_tolerations = Occupied(), list(tolerations)
    for node in nodes:
        taints = _keeping_off(node, pool, all_tolerations)
        if taints:
            occupied.tainted.setdefault(taints, []).append(node.name)
        else:
            occupied.used.append(node.name)
    return occupied


def crowding(node: ObservedNode) -> float:
    """How much of a node pods of others have, in tenths: what DaemonSets ask for makes no difference."""
    cpu = node.taken.cpu / node.cpu_cores if node.cpu_cores else 0
    memory = node.taken.memory_gib / node.memory_gib if node.memory_gib else 0
    return round(max(cpu, memory), 1)


def taint_key(taint: Taint) -> str:
    """A taint as the toleration that environments.yaml wants: `{key: team, value: vision}`."""
    return f"{{key: {taint.key}{f', value: {taint.value}' if taint.value else ''}}}"


def _keeping_off(node: ObservedNode, pool: str, tolerations: Iterable[Rendered]) -> tuple[Taint, ...]:
    """The taints for which the pool can't have a node. Pods that run there already stay in spite of NoSchedule."""
    taints = keeping_out(node.taints, tolerations)
    has_it_already = node.labels.get(POOL_LABEL) == pool
    return tuple(taint for taint in taints if taint.effect == "NoExecute") if has_it_already else taints


def _taint_hints(nodes_by_taints: Mapping[tuple[Taint, ...], list[str]]) -> list[str]:
    first_nodes: dict[Taint, str] = {}
    for taints, names in nodes_by_taints.items():
        for taint in taints:
            first_nodes.setdefault(taint, names[0])
    hints, tolerable = [], set()
    for taint, node in first_nodes.items():
        if taint.key == _CORDONED:
            hints.append(f"`kubectl uncordon {node}` makes it schedulable again")
        elif taint.key.startswith(_SET_BY_KUBERNETES):
            hints.append(f"`kubectl describe node {node}` shows why Kubernetes keeps pods off it")
        else:
            tolerable.add(taint_key(taint))
    if tolerable:
        hints.append(
            "remove the taint, or let the mesh's pods tolerate it, in the environment of environments.yaml:"
            f" `tolerations: [{', '.join(sorted(tolerable))}]`"
        )
    return list(dict.fromkeys(hints))


def _taint_texts(taints: tuple[Taint, ...]) -> str:
    return f"the taint{'s' * (len(taints) > 1)} {', '.join(map(str, taints))}"
