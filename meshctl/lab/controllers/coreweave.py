"""CoreWeave NodePools -> nodes, with the conditions that CKS reports. EDGE.

Source of the fields and conditions: docs.coreweave.com, products/cks/reference/node-pool. A fault
`{"operation": "NodePool", "error": "NotSet"}` in `faults.json` plays a missing quota: the pool is accepted and gets no
more nodes. With `"condition": "Capacity", "error": "QueuedAwaitingCapacity"` it waits for capacity.

Of a pool that gets smaller the idle nodes go first (products/cks/nodes/nodes-and-node-pools, "Scaling strategies"), and
of those the ones that the autoscaler has emptied (`cluster_autoscaler`).
"""

from __future__ import annotations

import asyncio
import datetime
import itertools
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

import yaml

from meshctl.catalog import load_catalog
from meshctl.lab.controllers import autoscaling
from meshctl.lab.controllers.changes import following
from meshctl.lab.controllers.nodes import DRAIN_ANNOTATION, GROUP_LABEL, NODES, Group, is_in_the_way, keep
from meshctl.lab.controllers.volumes import storage_class
from meshctl.lab.pods import api
from meshctl.lab.state import Lab
from meshwire.kubernetes.async_client import AsyncClient
from meshwire.kubernetes.errors import ApiError

START_EVERY_S = 0.3
REFUSED_EVERY_S = 2.0
PODS = "/api/v1/pods"
CRD = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
POOLS = "/apis/compute.coreweave.com/v1alpha1/nodepools"
POOL_UID = "compute.coreweave.com/node-pool-uid"  # the label by which a node belongs to a pool
_RACKS = ("gb200-", "gb300-", "verarubin-")  # types that come in racks (products/cks/nodes/autoscaling)


@dataclass(frozen=True)
class Problem:
    """A condition of a pool that is False, with its reason and message."""

    condition: str
    reason: str
    message: str


async def play(lab: Lab, cluster: api.Cluster, client: AsyncClient, stands: Callable[[], None]) -> None:
    """Keep the pools at their targets, for ever."""
    await _install(client)
    await until_served(client)
    stands()
    async with following(client, [POOLS, NODES], [lab.root / "faults.json"]) as changes:
        while True:
            await changes.wait(await _step(lab, cluster, client))


async def _step(lab: Lab, cluster: api.Cluster, client: AsyncClient) -> float | None:
    """Bring the pools one step nearer to their targets. Returns how many seconds to wait for a change at most: a fault
    that is ordered and taken back at once leaves no trace in its file, so that a pool that was refused is looked at
    again."""
    pools = await api.items(client, POOLS)
    problems = {pool["metadata"]["name"]: problem(lab, pool["spec"]) for pool in pools}
    filling = [pool for pool in pools if is_known(pool["spec"])]
    numbers = await _numbers(client, filling, full={name for name, problem in problems.items() if problem})
    nodes = await keep(client, [group_of(pool, cluster.region, numbers[pool["metadata"]["name"]]) for pool in filling])
    for pool in pools:
        name = pool["metadata"]["name"]
        await _report(client, pool, nodes.counts.get(name, 0), problems[name])
    return nodes.look_again_s or (REFUSED_EVERY_S if any(problems.values()) else None)


async def _numbers(
    client: AsyncClient, pools: list[dict[str, Any]], full: Collection[str]
) -> dict[str, tuple[int, ...]]:
    """The numbers of the nodes that each pool is to have. `full`: those that get no more than they have."""
    nodes = await api.items(client, NODES, labelSelector=GROUP_LABEL)
    numbers = {}
    for pool in pools:
        name, target = pool["metadata"]["name"], target_of(pool["spec"])
        own = {_number(node): node for node in nodes if node["metadata"]["labels"][GROUP_LABEL] == name}
        if len(own) <= target:
            free = (number for number in range(target + len(own)) if number not in own)
            more = 0 if name in full else target - len(own)
            numbers[name] = tuple(sorted([*own, *itertools.islice(free, more)]))
        else:
            busy = {pod["spec"].get("nodeName") for pod in await api.items(client, PODS) if is_in_the_way(pod)}
            numbers[name] = staying(own, target, busy)
    return numbers


def staying(own: Mapping[int, dict[str, Any]], target: int, busy: Collection[str]) -> tuple[int, ...]:
    """The numbers of the nodes that stay when a pool gets smaller. `own`: its nodes by number; `busy`: the names of the
    nodes with pods. First goes what goes already, then what the autoscaler has emptied, then what is idle; the higher
    numbers first."""

    def keeps(number: int) -> tuple[bool, bool, bool, int]:
        node = own[number]
        is_going = DRAIN_ANNOTATION in node["metadata"].get("annotations", {})
        return is_going, autoscaling.is_leaving(node), node["metadata"]["name"] not in busy, number

    return tuple(sorted(sorted(own, key=keeps)[:target]))


def _number(node: dict[str, Any]) -> int:
    return int(node["metadata"]["name"].rpartition("-")[2])


async def until_served(client: AsyncClient) -> None:
    """Wait until the API server knows the kind of the pools."""
    while not await _is_served(client):
        await asyncio.sleep(START_EVERY_S)


async def _is_served(client: AsyncClient) -> bool:
    """Whether the API server knows the pools' kind already."""
    try:
        await api.items(client, POOLS)
    except ApiError:
        return False
    return True


async def _install(client: AsyncClient) -> None:
    definition = yaml.safe_load(resources.files(__package__).joinpath("nodepool-crd.yaml").read_text())
    await api.ensure(client, CRD, definition)
    await storage_class(client, "shared-vast", "vast.coreweave.lab", waits=False)


def target_of(spec: dict[str, Any]) -> int:
    """Nodes: `targetNodes`, or `targetRacks` of the machine type's size."""
    machine = load_catalog().machine("coreweave", spec["instanceType"])
    if "targetRacks" in spec and machine is not None:
        return int(spec["targetRacks"]) * max(machine.rack_nodes, 1)
    return int(spec.get("targetNodes", 0))


def is_known(spec: dict[str, Any]) -> bool:
    return load_catalog().machine("coreweave", spec["instanceType"]) is not None


def is_rack(instance_type: str) -> bool:
    return instance_type.startswith(_RACKS)


def group_of(pool: dict[str, Any], region: str, numbers: tuple[int, ...] | None = None) -> Group:
    """A pool's nodes, labelled as CKS does. `numbers`: which these are; None for the first ones. Raises: KeyError for
    an instance type that the catalog hasn't."""
    spec, name = pool["spec"], pool["metadata"]["name"]
    machine = load_catalog().machine("coreweave", spec["instanceType"])
    if machine is None:
        raise KeyError(spec["instanceType"])
    labels = {
        **spec.get("nodeLabels", {}),
        "compute.coreweave.com/node-pool": name,
        POOL_UID: pool["metadata"]["uid"],
        "node.coreweave.cloud/class": "gpu" if machine.gpu_count else "cpu",
        "node.coreweave.cloud/state": "production",
        "node.coreweave.cloud/type": machine.name,
    }
    if machine.rdma and machine.rdma.kind == "infiniband":
        labels |= {"backend.coreweave.cloud/flavor": "infiniband", "backend.coreweave.cloud/fabric": "fabric-1"}
    taints = tuple({key: value for key, value in taint.items() if value} for taint in spec.get("nodeTaints") or ())
    count = target_of(spec) if numbers is None else len(numbers)
    return Group(name, machine, count, (region,), region, labels, taints, chosen=numbers)


def problem(lab: Lab, spec: dict[str, Any]) -> Problem | None:
    """What keeps a pool from filling."""
    if not is_known(spec):
        return Problem("Validated", "Invalid", f"unknown instance type {spec['instanceType']!r}")
    if ("targetRacks" in spec) == ("targetNodes" in spec):
        return Problem("Validated", "Invalid", "exactly one of targetNodes and targetRacks must be set")
    if spec.get("autoscaling") and is_rack(spec["instanceType"]):
        return Problem("Validated", "Invalid", f"autoscaling is not supported for {spec['instanceType']}")
    for fault in _faults(lab):
        if fault.get("operation") == "NodePool":
            message = fault.get("message") or f"no quota for {spec['instanceType']} in this zone"
            return Problem(fault.get("condition", "Quota"), str(fault.get("error", "NotSet")), message)
    return None


def _faults(lab: Lab) -> list[dict[str, Any]]:
    try:
        faults: list[dict[str, Any]] = json.loads((lab.root / "faults.json").read_text())
    except (OSError, ValueError):
        return []
    return faults


async def _report(client: AsyncClient, pool: dict[str, Any], ready: int, trouble: Problem | None) -> None:
    """Write the status that CKS would: the five conditions and the counts."""
    target, live = target_of(pool["spec"]), pool.get("status", {})
    reached = trouble is None and ready == target
    held_by = trouble.condition if trouble else ""
    states = {
        "Validated": (held_by != "Validated", "Valid"),
        "Quota": (held_by not in ("Validated", "Quota"), "Under"),
        "Capacity": (trouble is None, "Sufficient"),
        "AtTarget": (reached, "TargetMet" if reached else "ScalingUp" if ready < target else "ScalingDown"),
        "Ready": (reached, "Ready" if reached else "NotReady"),
    }
    before = {item["type"]: item for item in live.get("conditions", [])}
    conditions = []
    for name, (true, reason) in states.items():
        status, text = "True" if true else "False", f"{ready} of {target} nodes"
        if trouble is not None and name == held_by:
            reason, text = trouble.reason, trouble.message
        previous = before.get(name, {})
        since = previous.get("lastTransitionTime") if previous.get("status") == status else None
        stamp = since or datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        conditions.append(
            {"type": name, "status": status, "reason": reason, "message": text, "lastTransitionTime": stamp}
        )
    status_now = {
        "currentNodes": ready,
        "queuedNodes": target - ready if held_by == "Capacity" else 0,
        "inProgress": max(target - ready, 0) if trouble is None else 0,
        "conditions": conditions,
        "observedGeneration": pool["metadata"].get("generation", 1),
    }
    if live != status_now:
        await api.patch(client, f"{POOLS}/{pool['metadata']['name']}/status", {"status": status_now})
