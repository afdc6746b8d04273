"""What keeps a mesh off nodes of a given cluster that have the hardware: their taints, and pods of others. PURE.

Called by `meshctl.resolve.existing` for each node that a pool could have.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from meshctl.model.deployment import POOL_LABEL, Taint
from meshctl.model.observed import ObservedNode
from meshctl.model.tolerations import Rendered, keeping_out
from meshctl.words import pluralize


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
        hints = []
        if self.tainted:
            keys = sorted({taint_key(taint) for taints in self.tainted for taint in taints})
            hints.append(
                "remove the taint, or let the mesh's pods tolerate it, in the environment of environments.yaml:"
                f" `tolerations: [{', '.join(keys)}]`"
            )
        if self.used:
            seen = f"kubectl get pods -A -o wide --field-selector spec.nodeName={self.used[0]}"
            hints.append(f"`{seen}` shows the pods of others")
        return hints


def reason(node: ObservedNode, pool: str, tolerations: Iterable[Rendered], gpus: int) -> str:
    """Why the pods of a pool can't run on a node; "" when they can. `gpus`: how many the pool wants of it.

    A node that the pool has already stays with it: what others have of it is missing when pods are pluralize.
    """
    taints = keeping_out(node.taints, tolerations)
    if taints:
        return f"has {_taint_texts(taints)}"
    if node.labels.get(POOL_LABEL) != pool and node.gpu_count - node.taken.gpus < gpus:
        return f"pods of others have {node.taken.gpus} of its {node.gpu_count} x {node.gpu_model}, wanted {gpus}"
    return ""


def grouped(nodes: Iterable[ObservedNode], tolerations: Iterable[Rendered]) -> Occupied:
    """`nodes`: those for which there is a `reason`."""
    occupied = Occupied()
    for node in nodes:
        taints = keeping_out(node.taints, tolerations)
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


def _taint_texts(taints: tuple[Taint, ...]) -> str:
    return f"the taint{'s' * (len(taints) > 1)} {', '.join(map(str, taints))}"
