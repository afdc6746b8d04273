"""How many pods mount each storage of a mesh: a claim each, of blocks. PURE.

Called by `meshctl.resolve`, for what storage costs and whether what exists will do.
"""

from __future__ import annotations

from collections.abc import Callable

from meshctl.model import mesh as mesh_model
from meshctl.resolve.work import workloads


def least(mesh: mesh_model.Mesh) -> dict[str, int]:
    """How many pods mount each storage."""
    return _claims(mesh, lambda workload: workloads.replicas_of(mesh, workload))


def most(mesh: mesh_model.Mesh) -> dict[str, int]:
    """How many pods mount each storage, where load has brought as many as it can."""
    return _claims(
        mesh, lambda workload: max(workloads.replicas_of(mesh, workload), workloads.most_replicas_of(workload))
    )


def _claims(mesh: mesh_model.Mesh, replicas: Callable[[mesh_model.Workload], int]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for workload in mesh.workloads.values():
        for storage in workload.mounts:
            counts[storage] = counts.get(storage, 0) + replicas(workload) * workloads.nodes_per_replica(workload)
    return counts
