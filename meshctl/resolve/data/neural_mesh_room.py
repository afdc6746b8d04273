"""What is left for pods of a node of which a NeuralMesh takes a share. PURE.

Called by `meshctl.resolve`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from meshctl.model.neural_mesh import NeuralMesh, NodeShare
from meshctl.model.observed import ObservedNode
from meshctl.resolve.data import neural_mesh_notes
from meshctl.resolve.placement.allocatable import Usable

_MIB: Final = 1024


def without_shares(usable: Mapping[str, Usable], value: NeuralMesh | None) -> dict[str, Usable]:
    """By pool of which storage takes a share: what is left for pods of a node. 0 stays what is not known."""
    shares = value.shares if value is not None else {}
    return {pool: _without_share(usable[pool], share) for pool, share in shares.items()}


def _without_share(usable: Usable, share: NodeShare) -> Usable:
    """Nodes that were seen have told of what they set aside; of all others it goes off the memory."""
    memory_gib = share.memory_gib if usable.nodes else share.memory_gib + share.set_aside_mib / _MIB
    return replace(
        usable,
        cpu_cores=_less(usable.cpu_cores, share.cpu_cores),
        memory_gib=_less(usable.memory_gib, memory_gib),
        nodes=tuple(_node_without(node, share) for node in usable.nodes),
        storage_takes=neural_mesh_notes.takes(share),
    )


def _less(has: float, taken: float) -> float:
    """Something tiny for nothing, as 0 means that it is not known."""
    return max(has - taken, 1e-6) if has else 0


def _node_without(node: ObservedNode, share: NodeShare) -> ObservedNode:
    memory = node.allocatable_memory_gib or node.memory_gib
    update = {
        "allocatable_cpu": _less(node.allocatable_cpu or node.cpu_cores, share.cpu_cores),
        "allocatable_memory_gib": _less(memory, share.memory_gib),
    }
    return node.model_copy(update=update)
