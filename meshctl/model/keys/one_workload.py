"""The part of a mesh that one workload needs: what `expand` brings up in a second environment. PURE.

Called by `meshctl.project`; the mesh that it returns is resolved like any other.
"""

from __future__ import annotations

from meshctl.errors import UsageError
from meshctl.model.keys import gateways
from meshctl.model.mesh import Endpoint, Mesh


def mesh_of_workload(mesh: Mesh, name: str) -> Mesh:
    """The mesh with this workload alone: its pool, its fabric, what it mounts, and the endpoints that lead to it.

    Raises: UsageError when there is no such workload, or when an endpoint leads to it and to another one.
    """
    workload = mesh.workloads.get(name)
    if workload is None:
        names = ", ".join(sorted(mesh.workloads)) or "none"
        raise UsageError(f'no workload named "{name}" in the mesh', hint=f"the mesh has: {names}")
    endpoints = {each: endpoint for each, endpoint in mesh.endpoints.items() if name in targets(endpoint)}
    for each, endpoint in endpoints.items():
        others = sorted(targets(endpoint) - {name})
        if others:
            raise UsageError(
                f"endpoint {each} leads to {name} and to {', '.join(others)}",
                why="a share of its requests would need all of them in both environments",
                hint=f"give {name} an endpoint with a host name of its own",
            )
    pool = mesh.pools[workload.pool]
    stores = set(workload.mounts) | ({workload.checkpoint.storage} if workload.checkpoint else set())
    return mesh.model_copy(
        update={
            "pools": {workload.pool: pool},
            "fabrics": {key: fabric for key, fabric in mesh.fabrics.items() if key == pool.fabric},
            "storage": {key: storage for key, storage in mesh.storage.items() if key in stores},
            "workloads": {name: workload.model_copy(update={"after": ()})},
            "endpoints": endpoints,
        }
    )


def targets(endpoint: Endpoint) -> set[str]:
    """The workloads that an endpoint leads to."""
    routed = {gateways.split(target)[0] for target in (endpoint.routes or {}).values()}
    return routed | ({endpoint.workload} if endpoint.workload else set())
