"""Brings WekaClusters to what they declare, one step at each look, and takes them down. EDGE: the API server.

Called by `controllers.weka`. `status` decides, `world` reads and writes.
"""

from __future__ import annotations

import asyncio
import datetime
from typing import Any, Final

from meshctl.lab.pods import api
from meshctl.lab.weka import credentials
from meshctl.lab.weka.api.rest_api import alerts_of
from meshctl.lab.weka.api.system import System
from meshctl.lab.weka.operator import containers, drives, status
from meshctl.lab.weka.operator.containers import Container
from meshctl.lab.weka.operator.world import (
    CLUSTERS,
    CONTAINERS,
    World,
    collection_in,
    containers_of,
    end_container,
    end_pod,
    ensure_container,
    hold,
    key_of,
    release,
    report,
    roll,
    stamp,
)

Object = dict[str, Any]
STEP_S: Final = 0.3  # for which a state stands at least, so that whoever watches sees it
# What its REST API changes (a licence, capacity that is taken) is no change of an object in Kubernetes: the status of
# what runs is read again by itself.
READ_EVERY_S: Final = 2.0
_SECRETS: Final = "/api/v1/secrets"
_NEVER_S: Final = 3600.0


async def step(world: World, cluster: Object) -> float | None:
    """One step. Returns how many seconds to wait for a change at most."""
    if cluster["metadata"].get("deletionTimestamp"):
        return await _end(world, cluster)
    await hold(world, CLUSTERS, cluster)
    wanted = containers.of_cluster(cluster)
    for container in wanted:
        await ensure_container(world, container)
    names = {container.name for container in wanted}
    for present in containers_of(world, "WekaCluster", cluster):
        if present["metadata"]["name"] not in names:
            await end_container(world, present)
    is_rolling = await roll(world, wanted)
    await _report_containers(world, wanted)
    before = (cluster.get("status") or {}).get("status")
    after = await _report(world, cluster, wanted, is_rolling=is_rolling)
    return STEP_S if after != before or after == status.STARTING else READ_EVERY_S


async def _report(world: World, cluster: Object, wanted: list[Container], *, is_rolling: bool) -> str:
    running = [(each, node) for each in wanted if (node := world.node_of(each)) is not None]
    now = status.seen(cluster, running, world.provider)
    state = status.next_state(cluster, now)
    system = world.registry.formed(world.kubernetes_cluster, *key_of(cluster), cluster["metadata"]["uid"])
    if system is None and state != status.INIT:
        system = _form(world, cluster)
    made = status.of_cluster(
        cluster,
        now,
        guid=system.guid if system else "",
        provisioned=system.provisioned_bytes if system else 0,
        alerts=len(alerts_of(system)) if system else 0,
        stamp=stamp(),
    )
    if is_rolling:  # which image is applied shows once the last pod has it
        made.pop("lastAppliedImage", None)
    if system is not None:
        await _keep_up(system, cluster, made, is_rolling=is_rolling)
        for secret in credentials.secrets(cluster, _accounts(cluster, system), world.registry.endpoint(system)):
            await _ensure_secret(world, secret, state)
    await report(world, CLUSTERS, cluster, made)
    return state


def _form(world: World, cluster: Object) -> System:
    spec = cluster["spec"]
    vault = (spec.get("encryption") or {}).get("vault") or {}
    key = "|".join(vault.get(name, "") for name in ("address", "transitPath", "keyName")) if vault else ""
    if ((spec.get("encryption") or {}).get("internal") or {}).get("enabled"):
        key = f"internal|{cluster['metadata']['uid']}"
    namespace, name = key_of(cluster)
    version = spec["image"].rpartition(":")[2]
    uid = cluster["metadata"]["uid"]
    return world.registry.form(world.kubernetes_cluster, namespace, name, uid=uid, version=version, kms=key)


async def _keep_up(system: System, cluster: Object, made: Object, *, is_rolling: bool) -> None:
    """What the REST API knows of the cluster: its capacity, and its version once all containers have it."""
    capacity = made.get("stats", {}).get("capacity", {}).get("totalBytes", 0)
    version = system.version if is_rolling else cluster["spec"]["image"].rpartition(":")[2]

    def write() -> None:
        with system.lock:
            system.capacity_bytes, system.version = capacity, version
            system.save()

    if (system.capacity_bytes, system.version) != (capacity, version):
        await asyncio.to_thread(write)  # an upload may hold the lock for long


def _accounts(cluster: Object, system: System) -> credentials.Accounts:
    return credentials.accounts(cluster["metadata"]["uid"], system.passwords)


async def _ensure_secret(world: World, secret: Object, state: str) -> None:
    """The operator's own as soon as there is a cluster, those for others once it serves."""
    is_own = secret["metadata"]["name"].startswith("weka-operator-")
    if not is_own and state != status.READY:
        return
    collection = collection_in(_SECRETS, secret["metadata"]["namespace"])
    if await api.get(world.client, f"{collection}/{secret['metadata']['name']}") is None:
        await api.ensure(world.client, collection, secret)


async def _report_containers(world: World, wanted: list[Container]) -> None:
    for container in wanted:
        present = world.containers.get((container.namespace, container.name))
        if present is not None:
            node = world.node_of(container)
            state = status.RUNNING if node else status.NOT_RUNNING
            address = world.pods[key_of(present)]["status"].get("podIP", "") if node else ""
            await report(world, CONTAINERS, present, status.of_container(state, node, container, address))


async def _end(world: World, cluster: Object) -> float | None:
    """A cluster that was deleted stays for its grace period, with its pods paused, and goes then with all its data."""
    spec, metadata = cluster["spec"], cluster["metadata"]
    grace_s = status.duration_s(spec.get("gracefulDestroyDuration", "24h"))
    left_s = grace_s - _age_s(metadata["deletionTimestamp"])
    own = containers_of(world, "WekaCluster", cluster)
    if left_s > 0:
        for present in own:
            await end_pod(world, key_of(present))
            if present["spec"].get("state") != "paused":
                await api.patch(world.client, _path(present), {"spec": {"state": "paused"}})
            await report(world, CONTAINERS, present, {"status": status.PAUSED})
        await report(world, CLUSTERS, cluster, {"status": status.GRACE})
        return min(left_s + STEP_S, _NEVER_S)
    await report(world, CLUSTERS, cluster, {"status": status.DESTROYING})
    for present in own:
        await end_container(world, present)
    if own:
        return None
    world.registry.remove(world.kubernetes_cluster, *key_of(cluster))
    await release(world, CLUSTERS, cluster)
    return None


def _path(container: Object) -> str:
    namespace, name = key_of(container)
    return f"{collection_in(CONTAINERS, namespace)}/{name}"


def _age_s(timestamp: str) -> float:
    at = datetime.datetime.fromisoformat(timestamp)
    return (datetime.datetime.now(datetime.UTC) - at).total_seconds()


async def keep_node(world: World, node: Object) -> float | None:
    """The extended resource of a node's drives, which a node that joined again has lost."""
    changed = drives.status_after(node)
    if changed is not None:
        await api.patch(world.client, f"/api/v1/nodes/{node['metadata']['name']}/status", {"status": changed})
    return None
