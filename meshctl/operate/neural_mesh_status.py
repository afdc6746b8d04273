"""What `status` says of the WEKA cluster that carries a mesh's file systems. PURE.

Called by `status` with what `clients.weka.weka_clusters` has read.
"""

from __future__ import annotations

from dataclasses import dataclass

from meshctl.model.deployment import NeuralMesh
from meshwire.weka import WekaState


@dataclass(frozen=True)
class NeuralMeshStatus:
    """`phase`: the operator's word; "" where it has not looked yet, or the object can't be seen. `health`: WEKA's own
    word, in lower case; "" without trouble. `text`: all of it in words."""

    name: str
    phase: str
    health: str
    drives: int
    drives_wanted: int
    failed_drives: tuple[str, ...]
    text: str
    joined: bool = False

    @property
    def is_short(self) -> bool:
        """Whether it serves no files. One that rebuilds does, and one that can't be seen may."""
        return bool(self.phase) and self.phase != "Ready"

    def line(self, width: int) -> str:
        return f"  storage   {self.name:<{width}}  {self.text}"


def neural_mesh_status(mesh: NeuralMesh, state: WekaState | None) -> NeuralMeshStatus:
    """`state`: None where it could not be seen."""
    joined = mesh.joined is not None
    if state is None:
        outside = joined and not (mesh.joined and mesh.joined.cluster)
        why = "it is outside this Kubernetes cluster" if outside else "it is gone, or this user may not look at it"
        return NeuralMeshStatus(mesh.name, "", "", 0, 0, (), f"not known: {why}", joined)
    return NeuralMeshStatus(
        mesh.name,
        state.phase,
        state.health,
        state.active_drives,
        state.desired_drives,
        state.failed_drives,
        state.words,
        joined,
    )
