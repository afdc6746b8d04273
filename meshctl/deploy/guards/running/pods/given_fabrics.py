"""Pods that use RDMA on given nodes and are up keep the devices that they came up with. PURE.

Called by `runs` and for migrations. Versions up to 0.1 asked for one RDMA device of a given node, whatever it had,
and called EFA InfiniBand. A newer meshctl is no reason to replace such pods, nor to run a training job anew: they get
all devices once environments.yaml asks for them, and until then `plan` and `up` say so.
"""

from __future__ import annotations

from collections.abc import Iterator

from meshctl.model.deployment import Deployment, Fabric, Pool
from meshctl.model.stack_state import StackState
from meshctl.platforms import registry
from meshctl.resolve.placement.given import given_fabric


def with_running_fabrics(deployment: Deployment, state: StackState) -> Deployment:
    """The deployment with the fabrics of the pools that keep theirs."""
    fabrics = _kept_fabrics(deployment, state)
    if not fabrics:
        return deployment
    pools = (pool.model_copy(update={"fabric": fabrics.get(pool.name, pool.fabric)}) for pool in deployment.pools)
    return deployment.model_copy(update={"pools": tuple(pools)})


def notes(deployment: Deployment, state: StackState) -> tuple[str, ...]:
    """What is kept, and what to write to have the rest; and pods that get another resource."""
    kept_fabrics = _kept_fabrics(deployment, state)
    kept_notes = (
        _kept_note(deployment.environment, pool.name, kept_fabrics[pool.name], pool.fabric)
        for pool in deployment.pools
        if pool.fabric is not None and pool.name in kept_fabrics
    )
    return (*kept_notes, *_other_resources(deployment, state))


def _other_resources(deployment: Deployment, state: StackState) -> Iterator[str]:
    """Versions up to 0.1 took the first resource by name where nodes have several, whichever the file named."""
    before = {pool.name: pool.fabric for pool in state.deployment.pools} if state.deployment else {}
    for pool in deployment.pools:
        old, new = before.get(pool.name), pool.fabric
        if old is not None and new is not None and old.resource and new.resource and old.resource != new.resource:
            why = f"as they ask for {new.resource} and no longer {old.resource}"
            yield f"pool {pool.name}: its pods are replaced, {why}"


def _kept_note(environment: str, pool: str, before: Fabric, now: Fabric) -> str:
    key = "kind: efa" if now.kind == "efa" else f"count: {now.resource_count}"
    return (
        f"pool {pool}: pods keep {before.resource_count} of the {now.resource_count} {now.resource} of a node, as an"
        f" earlier version of meshctl brought them up; to give them all, write `fabric: {{{key}}}` into"
        f" environments.{environment}: the next `up` then replaces these pods, and starts their jobs anew"
    )


def _kept_fabrics(deployment: Deployment, state: StackState) -> dict[str, Fabric]:
    """By the name of the pool."""
    before = state.deployment
    if before is None or registry.platform(deployment.provider).nodes.made_of is not None:
        return {}
    pools_before = {pool.name: pool for pool in before.pools}
    fabrics = {pool.name: _running_fabric(pool, pools_before.get(pool.name)) for pool in deployment.pools}
    return {name: fabric for name, fabric in fabrics.items() if fabric is not None}


def _running_fabric(pool: Pool, pool_before: Pool | None) -> Fabric | None:
    """The pool's fabric as it is up; None where that says the same, or environments.yaml asks for another one."""
    now, before = pool.fabric, pool_before.fabric if pool_before else None
    if now is None or before is None or pool_before is None or now.is_declared or pool_before.machine != pool.machine:
        return None
    is_same = before.resource == now.resource and before.resource_count == 1
    if not is_same or (now.resource_count == 1 and before.kind == now.kind):
        return None
    if now.kind != "efa":
        return now.model_copy(update={"resource_count": 1})
    of_kind = given_fabric.settings(now.resource, now.resource_count).keys() - before.env.keys()
    env = {name: value for name, value in now.env.items() if name not in of_kind}
    return now.model_copy(update={"kind": before.kind, "resource_count": 1, "env": env, "huge_pages_mib": None})
