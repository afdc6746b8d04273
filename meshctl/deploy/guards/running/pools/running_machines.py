"""Node groups that are there keep the machine types that they were made with. PURE.

Called by `running_pods`. A group can't change its types: another list of them would replace it with all of its nodes,
also those that came up after a run had stopped to wait for them.
"""

from __future__ import annotations

from meshctl.model.deployment import Deployment, Pool
from meshctl.model.questions import InPlace


def with_running_machines(deployment: Deployment, in_place: InPlace) -> Deployment:
    """`in_place`: what is there."""
    pools = tuple(_pool(pool, _staying(pool, in_place)) for pool in deployment.pools)
    return deployment.model_copy(update={"pools": pools}) if pools != deployment.pools else deployment


def _staying(pool: Pool, in_place: InPlace) -> Pool | None:
    """The pool as it is there. One whose nodes did not come up may go to other zones, where its group is made anew."""
    up, made = in_place.pool(pool.name), in_place.made_pool(pool.name)
    return up or (made if made is not None and made.zones == pool.zones else None)


def _pool(pool: Pool, up: Pool | None) -> Pool:
    if up is None or up.machine != pool.machine or up.equal_machines == pool.equal_machines:
        return pool
    return pool.model_copy(update={"equal_machines": up.equal_machines})
