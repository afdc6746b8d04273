"""Keeps what a run decides about new pools before it makes the first of them. EDGE (writes the state).

Called by `environment_up`. The platform's answers choose zones, machines of equal shape and what nodes are set up
with, and the program declares them as outputs of the stack at its end. A run that is killed before that has made node
groups that the next one would decide anew: another answer, or none, would replace them. So it writes them into the
state first, where `guards.pools_in_place` finds them. A run without new pools writes nothing.
"""

from __future__ import annotations

from meshctl.deploy.guards import pools_in_place
from meshctl.engine.run import StackRun
from meshctl.model.deployment import Deployment, Pool
from meshctl.model.stack_state import STACK_TYPE, StackState
from meshctl.platforms import registry


def keep(run: StackRun, deployment: Deployment, state: StackState) -> None:
    """Raises: EngineError and its leaves; nothing was made then."""
    if decides(deployment, state):
        run.rewrite(lambda current: current.with_begun(deployment, _stack_urn(deployment)))


def decides(deployment: Deployment, state: StackState) -> bool:
    """Whether the run makes a pool for which something was decided, and the state does not say so yet."""
    if registry.platform(deployment.provider).cluster.made is None:
        return False
    in_place = pools_in_place.in_place(state)
    new = [pool for pool in deployment.pools if not _is_there(pool, in_place.made_pool(pool.name))]
    decided_pools = state.begun.pools if state.begun else ()
    return any(pool not in decided_pools for pool in new)


def _stack_urn(deployment: Deployment) -> str:
    mesh, environment = deployment.mesh, deployment.environment
    return f"urn:pulumi:{environment}::{mesh}::{STACK_TYPE}::{mesh}-{environment}"


def _is_there(pool: Pool, made: Pool | None) -> bool:
    return made is not None and (made.machine, made.reservation) == (pool.machine, pool.reservation)
