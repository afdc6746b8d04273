"""Brings WekaClients to what they declare: a container on each node that they select, and the CSI driver. EDGE.

Called by `controllers.weka`. Names of drivers and topology labels: weka/weka-operator, `doc/operator/deployment/
embedded-csi.md`; a client that is deleted waits for the mounts of its nodes (`Draining`).
"""

from __future__ import annotations

from typing import Any, Final

from meshctl.lab.pods import api
from meshctl.lab.weka.operator import containers, status
from meshctl.lab.weka.operator.containers import CLIENT_LABEL
from meshctl.lab.weka.operator.world import (
    CLIENTS,
    CONTAINERS,
    World,
    containers_of,
    end_container,
    ensure_container,
    hold,
    key_of,
    release,
    report,
    roll,
)

Object = dict[str, Any]
DRIVERS: Final = "/apis/storage.k8s.io/v1/csidrivers"
STAND_ALONE: Final = "csi.weka.io"
DRAIN_S: Final = 0.5
_CLAIMS: Final = "/api/v1/persistentvolumeclaims"
_VOLUMES: Final = "/api/v1/persistentvolumes"


async def step(world: World, client: Object) -> float | None:
    """One step. Returns how many seconds to wait for a change at most."""
    if client["metadata"].get("deletionTimestamp"):
        return await _end(world, client)
    await hold(world, CLIENTS, client)
    wanted = containers.of_client(client, world.nodes.values()) if can_join(world, client) else []
    for container in wanted:
        await ensure_container(world, container)
    names = {container.name for container in wanted}
    for present in containers_of(world, "WekaClient", client):
        if present["metadata"]["name"] not in names and wanted:
            await end_container(world, present)
    await _report_containers(world, wanted)
    is_rolling = await roll(world, wanted)
    running = sum(world.is_running(container) for container in wanted)
    made = status.of_client(running, len(wanted))
    await report(world, CLIENTS, client, made | ({"status": "Upgrading"} if is_rolling else {}))
    await _serve_volumes(world, client, wanted)
    return None


async def _report_containers(world: World, wanted: list[containers.Container]) -> None:
    for container in wanted:
        present = world.containers.get((container.namespace, container.name))
        if present is not None:
            node = world.node_of(container)
            state = status.RUNNING if node else status.NOT_RUNNING
            await report(world, CONTAINERS, present, status.of_container(state, node, container, ""))


def target_of(world: World, client: Object) -> Object | None:
    """The WekaCluster that the client names, if there is one."""
    target = client["spec"].get("targetCluster") or {}
    wanted = (target.get("namespace", ""), target.get("name", ""))
    return next((each for each in world.clusters if key_of(each) == wanted), None)


def can_join(world: World, client: Object) -> bool:
    if client["spec"].get("joinIpPorts"):
        return True
    cluster = target_of(world, client)
    return cluster is not None and (cluster.get("status") or {}).get("status") == status.READY


def driver_of(world: World, client: Object) -> str:
    """The CSI driver that mounts for this client; "" = none. The embedded one needs a target cluster."""
    cluster = target_of(world, client)
    if cluster is None or not world.has_csi:
        return "" if world.has_csi else STAND_ALONE
    group = (cluster["spec"].get("csiConfig") or {}).get("csiGroup", "")
    namespace, name = key_of(cluster)
    return f"{group}.weka.io" if group else f"{name}.{namespace}.weka.io"


def accessible(driver: str) -> str:
    """The label of nodes that can mount; volumes ask for it by their node affinity."""
    return f"topology.{driver}/accessible"


async def _serve_volumes(world: World, client: Object, wanted: list[containers.Container]) -> None:
    """The driver's object, once a container runs, and the label of the nodes whose containers do."""
    driver = driver_of(world, client)
    if not driver:
        return
    nodes = {node["metadata"]["name"] for each in wanted if (node := world.node_of(each)) is not None}
    if nodes and world.has_csi and await api.get(world.client, f"{DRIVERS}/{driver}") is None:
        await api.ensure(world.client, DRIVERS, driver_object(driver))
    label = accessible(driver)
    selected = {container.node for container in wanted}
    for name in selected:
        labels = world.nodes[name]["metadata"].get("labels") or {}
        value = "true" if name in nodes else None
        if labels.get(label) != value:
            await api.patch(world.client, f"/api/v1/nodes/{name}", {"metadata": {"labels": {label: value}}})


def driver_object(driver: str) -> Object:
    spec = {"attachRequired": False, "podInfoOnMount": True, "fsGroupPolicy": "File"}
    return {"apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver", "metadata": {"name": driver}, "spec": spec}


async def _end(world: World, client: Object) -> float | None:
    """Each container goes once no pod of its node has a volume mounted."""
    await report(world, CLIENTS, client, {"status": status.DESTROYING})
    own = containers_of(world, "WekaClient", client)
    driver = driver_of(world, client)
    mounting = await _nodes_with_mounts(world, driver) if own and driver else set()
    waits = False
    for present in own:
        pod = world.pods.get(key_of(present))
        node = pod["spec"].get("nodeName", "") if pod else ""
        if node in mounting:
            waits = True
            await report(world, CONTAINERS, present, {"status": status.DRAINING})
            continue
        if node in world.nodes and driver:
            labels: Object = {accessible(driver): None}
            await api.patch(world.client, f"/api/v1/nodes/{node}", {"metadata": {"labels": labels}})
        await end_container(world, present)
    if not own:
        if driver and not any(driver_of(world, each) == driver for each in world.clients if each is not client):
            await api.delete(world.client, f"{DRIVERS}/{driver}")
        await release(world, CLIENTS, client)
    return DRAIN_S if waits else None


async def _nodes_with_mounts(world: World, driver: str) -> set[str]:
    volumes = {
        each["metadata"]["name"]
        for each in await api.items(world.client, _VOLUMES)
        if (each["spec"].get("csi") or {}).get("driver") == driver
    }
    claims = {
        key_of(each) for each in await api.items(world.client, _CLAIMS) if each["spec"].get("volumeName") in volumes
    }
    return {
        pod["spec"].get("nodeName", "")
        for pod in await api.items(world.client, "/api/v1/pods", labelSelector=f"!{CLIENT_LABEL}")
        if _is_alive(pod) and any((pod["metadata"]["namespace"], name) in claims for name in _claims_of(pod))
    } - {""}


def _is_alive(pod: Object) -> bool:
    return pod.get("status", {}).get("phase") not in ("Succeeded", "Failed")


def _claims_of(pod: Object) -> list[str]:
    volumes = pod["spec"].get("volumes", [])
    return [each["persistentVolumeClaim"]["claimName"] for each in volumes if "persistentVolumeClaim" in each]
