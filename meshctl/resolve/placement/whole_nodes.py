"""`resources.accelerators: all`: as many as the nodes have that the pool got here. PURE.

Called by `meshctl.resolve` once the pools are placed. What is rendered is a number, as if the mesh had named it.
"""

from __future__ import annotations

from collections.abc import Iterable

from meshctl.model import mesh as mesh_model
from meshctl.model.deployment import Pool, Workload


def with_all_accelerators(
    workloads: Iterable[Workload], mesh: mesh_model.Mesh, pools: Iterable[Pool]
) -> tuple[Workload, ...]:
    """The workloads, with `all` replaced by the number of accelerators of a node of their pool. A workload whose
    pool has a gap keeps none: the pool's gap is reported instead."""
    counts = {pool.name: pool.gpus_per_node for pool in pools}
    asking = {name for name, workload in mesh.workloads.items() if workload.resources.accelerators == "all"}
    return tuple(
        workload.model_copy(update={"accelerators": counts.get(workload.pool, 0)})
        if workload.name in asking
        else workload
        for workload in workloads
    )
