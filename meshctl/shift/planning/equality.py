"""Whether nodes of one pool can do the work of another: the same hardware and the same fabric. PURE.

Called before nodes are chosen for a shift.
"""

from __future__ import annotations

from meshctl.errors import UsageError
from meshctl.model import equal_pools
from meshctl.model.deployment import Deployment, Pool
from meshctl.model.keys import lending


def pools_of_shift(deployment: Deployment, giving: str, taking: str) -> tuple[Pool, Pool]:
    """The two pools. Raises: UsageError for a pool that does not exist, one pool twice, unequal pools, pools of
    which the nodes are counted for lending, and nodes that storage needs or lacks."""
    by_name = {pool.name: pool for pool in deployment.pools}
    for name in (giving, taking):
        if name not in by_name:
            raise UsageError(f"{deployment.environment} has no pool {name}", hint=f"its pools: {', '.join(by_name)}")
    if giving == taking:
        raise UsageError("a shift needs two different pools", hint="name another pool with --to")
    differences = list(equal_pools.differences(by_name[giving], by_name[taking]))
    if differences:
        raise UsageError(
            f"nodes of pool {giving} can't do the work of pool {taking}",
            why="; ".join(differences),
            hint="shift between pools with the same accelerators and the same fabric",
        )
    for pool in lending.pools(deployment):
        if pool.name in (giving, taking):
            raise UsageError(
                f"pool {pool.name} lends nodes or borrows them, and can't take part in a shift",
                why=f"{lending.counter(deployment)} counts the accelerators of its pool by a fixed quota, which a shift"
                " does not change",
                hint="remove `lend` from mesh.yaml, then `meshctl up`; or lend more nodes instead of a shift",
            )
    _check_storage(deployment, giving, taking)
    return by_name[giving], by_name[taking]


def _check_storage(deployment: Deployment, giving: str, taking: str) -> None:
    """Raises: UsageError where the nodes carry drives of a NeuralMesh, and where they lack what its pods need."""
    mesh = deployment.neural_mesh
    if mesh is None:
        return
    if giving == mesh.pool:
        raise UsageError(
            f"nodes of pool {giving} carry the drives of the mesh's file systems, and can't be given away",
            why=f"the WEKA cluster has {mesh.nodes} of them and needs at least {mesh.least_nodes}: with fewer it loses"
            " data or stands still, and data is not moved off a node first",
            hint="shift nodes of another pool, or raise the nodes of this one for good in mesh.yaml",
        )
    if taking == mesh.pool:
        raise UsageError(
            f"pool {taking} carries the drives of the mesh's file systems, and takes no nodes of another pool",
            why=f"the drives of nodes of pool {giving} would be signed for storage for as long as they exist",
            hint=f"raise the nodes of pool {taking} for good in mesh.yaml",
        )
    if taking in mesh.client_pools and giving not in mesh.client_pools:
        raise UsageError(
            f"nodes of pool {giving} can't mount the file systems that pods of pool {taking} need",
            why="no WEKA client runs on them, and they have set no huge pages aside for one",
            hint=f"mount one of these file systems in a workload of pool {giving}, and `meshctl up` first",
        )
