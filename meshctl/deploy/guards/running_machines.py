"""Node groups that are there keep the machine types that they were made with. PURE.

Called by `running_pods`. A group can't change its types: another list of them would replace it with all of its nodes,
also those that came up after a run had stopped to wait for them.
"""

from __future__ import annotations

from meshctl.model.deployment import Deployment, Pool
from meshctl.model.questions import InPlace


def with_running_machines(deployment: Deployment, in_place: InPlace) -> Deployment:
    """`in_place`: what is there."""
    pools = tuple(_pool(pool, in_place.made_pool(pool.name)) for pool in deployment.pools)
    return deployment.model_copy(update={"pools": pools}) if pools != deployment.pools else deployment


def _pool(pool: Pool, up: Pool | None) -> Pool:
    if up is None or up.machine != pool.machine or up.equal_machines == pool.equal_machines:
        return pool
    return pool.model_copy(update={"equal_machines": up.equal_machines})
