"""Keeps what a run decides about new pools before it makes the first of them. EDGE (writes the state).

Called by `environment_up`. The platform's answers choose zones, machines of equal shape and what nodes are set up
with, and the program declares them as outputs of the stack at its end. A run that is killed before that has made node
groups that the next one would decide anew: another answer, or none, would replace them. So it writes them into the
state first, where `guards.pools_in_place` finds them. So it does with the layout of a WEKA cluster, which is fixed once
the cluster has formed. A run without either writes nothing, unless the one before it was killed: what that one had
begun with is replaced by what this one decides, network and file systems included.
"""

from __future__ import annotations

from meshctl.deploy.guards.running.pools import pools_in_place
from meshctl.engine.run import StackRun
from meshctl.model.deployment import Deployment, Pool
from meshctl.model.stack_state import STACK_TYPE, StackState, as_begun
from meshctl.platforms import registry


def keep(run: StackRun, deployment: Deployment, state: StackState) -> None:
    """Raises: EngineError and its leaves; nothing was made then."""
    if decides(deployment, state):
        run.rewrite(lambda current: with_decided(current, deployment))


def with_decided(state: StackState, deployment: Deployment) -> StackState:
    """The state with what the run is about to make, where it decides anything."""
    return state.with_begun(deployment, _stack_urn(deployment)) if decides(deployment, state) else state


def decides(deployment: Deployment, state: StackState) -> bool:
    """Whether the run makes a pool for which something was decided, or a WEKA cluster, or goes on from a killed one
    that decided something else, and the state does not say so yet."""
    makes_pools = registry.platform(deployment.provider).cluster.made is not None
    forms_storage = _forms_storage(deployment, state)
    if not makes_pools and not forms_storage:
        return False
    if state.begun is not None:
        return state.begun != as_begun(deployment)
    if forms_storage:
        return True
    in_place = pools_in_place.in_place(state)
    return any(not _is_there(pool, in_place.made_pool(pool.name)) for pool in deployment.pools)


def _forms_storage(deployment: Deployment, state: StackState) -> bool:
    """Whether the run makes a WEKA cluster of which no run has said yet that it made it."""
    up, mesh = state.deployment, deployment.neural_mesh
    is_up = up is not None and up.neural_mesh is not None and up.neural_mesh.joined is None
    return mesh is not None and mesh.joined is None and not is_up


def _stack_urn(deployment: Deployment) -> str:
    mesh, environment = deployment.mesh, deployment.environment
    return f"urn:pulumi:{environment}::{mesh}::{STACK_TYPE}::{mesh}-{environment}"


def _is_there(pool: Pool, made: Pool | None) -> bool:
    return made is not None and (made.machine, made.reservation) == (pool.machine, pool.reservation)
