"""What the nodes of a new pool are set up with at their start; nodes that are up are not replaced for it. PURE.

Called by `running_pods`. It is for what pods on these nodes rely on and an image may or may not bring.
"""

from __future__ import annotations

from meshctl.deploy.guards.running.pools import pools_in_place
from meshctl.model.deployment import Deployment, NodeSetup, Pool
from meshctl.model.stack_state import StackState

_LUSTRE = "fsx-lustre"


def with_setup(deployment: Deployment, state: StackState) -> Deployment:
    """The deployment whose pools say it. A pool that was made without keeps to that, until
    its nodes are replaced by other machines or for another Kubernetes version."""
    if not any(pool.ami_type for pool in deployment.pools):
        return deployment  # nodes that nobody tells anything
    in_place = pools_in_place.in_place(state)
    pools = []
    for pool in deployment.pools:
        before = in_place.made_pool(pool.name)
        stays = before is not None and before.machine == pool.machine and not _is_upgraded(deployment, pool, state)
        setup = before.setup if before is not None and stays else _needed(deployment, pool)
        pools.append(pool.model_copy(update={"setup": setup}))
    return deployment.model_copy(update={"pools": tuple(pools)})


def _is_upgraded(deployment: Deployment, pool: Pool, state: StackState) -> bool:
    """Whether its nodes are replaced for the Kubernetes version that environments.yaml asks for."""
    versions = {each.outputs.get("version") for each in state.of_subject(f"pool/{pool.name}")} - {None}
    return deployment.cluster.version_asked and bool(versions - {deployment.cluster.version})


def _needed(deployment: Deployment, pool: Pool) -> tuple[NodeSetup, ...]:
    has_efa = pool.fabric is not None and pool.fabric.kind == "efa" and pool.gpus_per_node > 0
    lustre = {system.name for system in deployment.file_systems if system.service == _LUSTRE}
    mounts = (mount.storage for each in deployment.workloads if each.pool == pool.name for mount in each.mounts)
    has_lustre = not lustre.isdisjoint(mounts)
    pages: tuple[NodeSetup, ...] = ("huge-pages",) if has_efa else ()
    client: tuple[NodeSetup, ...] = ("lustre-client",) if has_lustre else ()
    ports: tuple[NodeSetup, ...] = ("storage-ports",) if pool.storage is not None else ()
    return (*pages, *client, *ports)
