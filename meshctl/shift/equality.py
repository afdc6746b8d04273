"""Whether nodes of one pool can do the work of another: the same hardware and the same fabric. PURE.

Called before nodes are chosen for a shift.
"""

from __future__ import annotations

from meshctl.errors import UsageError
from meshctl.model import equal_pools
from meshctl.model.deployment import Deployment, Pool
from meshctl.model.keys import lending


def pools_of_shift(deployment: Deployment, giving: str, taking: str) -> tuple[Pool, Pool]:
    """The two pools. Raises: UsageError for a pool that does not exist, one pool twice, unequal pools, and pools
    of which Kueue counts the nodes."""
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
                why="Kueue counts the accelerators of its pool by a fixed quota, which a shift does not change",
                hint="remove `lend` from mesh.yaml, then `meshctl up`; or lend more nodes instead of a shift",
            )
    return by_name[giving], by_name[taking]
