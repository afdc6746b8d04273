"""Carries out WekaPolicies and WekaManualOperations: drives are signed or blocked, nodes get interfaces. EDGE.

Called by `controllers.weka`. Rules: weka/weka-operator, `doc/operator/operations/drive-signing.md` (no image of one's
own), `block-drives.md`, `driver-distribution.md`; `weka.io/weka-nics`: weka/weka-eks, README of the HyperPod variant.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from meshctl.catalog import load_catalog
from meshctl.lab.pods import api
from meshctl.lab.weka.operator import drives, machines
from meshctl.lab.weka.operator.containers import INTERFACES, selects
from meshctl.lab.weka.operator.drives import PolicyError
from meshctl.lab.weka.operator.world import OPERATIONS, POLICIES, World, key_of, report, stamp

Object = dict[str, Any]
DONE, ERROR, WAITING = "Done", "Error", "Waiting"
_WITHOUT_IMAGE: Final = ("sign-drives",)
_LOCAL_DRIVERS: Final = "enable-local-drivers-distribution"
_PREFIX: Final = "10.0.0.0/24"


async def step_policy(world: World, policy: Object) -> float | None:
    spec = policy["spec"]
    if policy["metadata"].get("deletionTimestamp"):
        return None
    done = {each["metadata"]["name"] for each in world.policies if (each.get("status") or {}).get("status") == DONE}
    waits = [name for name in spec["payload"].get("waitForPolicies", []) if name not in done]
    if waits:
        await _report(world, POLICIES, policy, WAITING, f"waits for {', '.join(waits)}")
        return None
    state, result = await _carry_out(world, spec.get("type", ""), spec)
    await _report(world, POLICIES, policy, state, result)
    if spec.get("type") == _LOCAL_DRIVERS:
        namespace, name = key_of(policy)
        url = f"https://{name}-dist.{namespace}.svc.cluster.local:60002"
        await report(world, POLICIES, policy, {"typedStatus": {"distService": {"serviceUrl": url}}})
    return None


async def step_operation(world: World, operation: Object) -> float | None:
    """Once: what is done is not done again."""
    if (operation.get("status") or {}).get("status") in (DONE, ERROR):
        return None
    state, result = await _carry_out(world, operation["spec"]["action"], operation["spec"])
    status = {"status": state, "result": result, "completedAt": stamp()}
    await report(world, OPERATIONS, operation, status)
    return None


async def _carry_out(world: World, kind: str, spec: Mapping[str, Any]) -> tuple[str, str]:
    payload = spec["payload"]
    try:
        if kind in _WITHOUT_IMAGE and spec.get("image"):
            raise PolicyError(f"spec.image is set: {kind} has an image of its own")
        if kind == "sign-drives":
            return DONE, await _sign(world, payload.get("signDrivesPayload") or {})
        if kind == "ensure-nics":
            return DONE, await _ensure_interfaces(world, payload.get("ensureNICsPayload") or {})
        if kind == "block-drives":
            return DONE, await _block(world, payload.get("blockDrivesPayload") or {})
    except PolicyError as error:
        return ERROR, str(error)
    return DONE, ""


async def _sign(world: World, payload: Object) -> str:
    if not payload:
        raise PolicyError("signDrivesPayload is missing")
    signed = 0
    nodes = _selected(world, payload)
    for node in nodes:
        serials = drives.to_sign(node, payload, world.provider)
        metadata = drives.metadata_after(node, serials)
        signed += len(serials)
        if metadata is not None:
            await api.patch(world.client, f"/api/v1/nodes/{node['metadata']['name']}", {"metadata": metadata})
    return f"{signed} drives on {len(nodes)} nodes"


async def _block(world: World, payload: Object) -> str:
    node = world.nodes.get(payload.get("node", ""))
    if node is None:
        raise PolicyError(f"there is no node {payload.get('node', '')}")
    metadata = drives.metadata_blocked(node, payload.get("serialIDs", []))
    await api.patch(world.client, f"/api/v1/nodes/{node['metadata']['name']}", {"metadata": metadata})
    return f"Successfully blocked {len(payload['serialIDs'])} drives on node {node['metadata']['name']}"


async def _ensure_interfaces(world: World, payload: Object) -> str:
    if payload.get("type") != "aws":
        raise PolicyError(f"ensureNICsPayload.type: {payload.get('type')} is not supported")
    if world.provider != "eks":
        raise PolicyError("the nodes are no machines of EC2")
    count = int(payload.get("dataNICsNumber") or 1)
    nodes = _selected(world, payload)
    machines.check(world.registry.root, world.kubernetes_cluster, nodes)
    for node in nodes:
        most = most_interfaces(node)
        if most and count + 1 > most:
            name = node["metadata"]["name"]
            raise PolicyError(f"node {name} can have {most} interfaces, its own among them: {count} more are too many")
        await _give_interfaces(world, node, count)
    return f"{count} interfaces on {len(nodes)} nodes"


def most_interfaces(node: Object) -> int:
    """Of the node's machine type; 0 = not known."""
    name = (node["metadata"].get("labels") or {}).get("node.kubernetes.io/instance-type", "")
    machine = load_catalog().machine("aws", name)
    return machine.interfaces if machine else 0


async def _give_interfaces(world: World, node: Object, count: int) -> None:
    name = node["metadata"]["name"]
    path = f"/api/v1/nodes/{name}"
    if len(json.loads((node["metadata"].get("annotations") or {}).get(INTERFACES, "[]"))) != count:
        made = [
            {"mac_address": _mac(name, number), "primary_ip": f"10.0.0.{number + 10}", "subnet_cidr_block": _PREFIX}
            for number in range(count)
        ]
        await api.patch(world.client, path, {"metadata": {"annotations": {INTERFACES: json.dumps(made)}}})
    shown = {section: {INTERFACES: str(count)} for section in ("capacity", "allocatable")}
    if any(node["status"].get(section, {}).get(INTERFACES) != str(count) for section in shown):
        await api.patch(world.client, f"{path}/status", {"status": shown})


def _mac(node: str, number: int) -> str:
    digest = hashlib.sha256(f"{node}/{number}".encode()).hexdigest()
    return ":".join(["02", *(digest[at : at + 2] for at in range(0, 10, 2))])


def _selected(world: World, payload: Object) -> list[Object]:
    return [node for node in world.nodes.values() if selects(payload.get("nodeSelector") or {}, node)]


async def _report(world: World, collection: str, item: Object, state: str, result: str) -> None:
    """`lastRunTime` changes with the result alone: a policy that runs every minutes would wake everybody."""
    present = item.get("status") or {}
    if (present.get("status"), present.get("result")) != (state, result):
        await report(world, collection, item, {"status": state, "result": result, "lastRunTime": stamp()})
