"""Node objects with the hardware of a machine type, and keeping a group of them at a size. EDGE (`keep`), else PURE.

Used by the controllers of each platform. kwok, which runs beside each control plane, makes the nodes Ready and keeps
them so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx2 as httpx

from meshctl.catalog import Machine
from meshctl.lab.pods import api

GROUP_LABEL = "lab.meshctl.dev/group"  # which group a node was made for
_RESERVED = 0.98  # of the memory on the label, what a node has left for pods (platform facts: 2-3% under)


@dataclass(frozen=True)
class Group:
    """Equal nodes. `name` is unique in its cluster."""

    name: str
    machine: Machine
    count: int
    zone: str
    region: str
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Mapping[str, str], ...] = ()


def manifest(group: Group, name: str) -> dict[str, Any]:
    """A node as its platform would register it."""
    labels = {
        **group.machine.node_labels,
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "topology.kubernetes.io/region": group.region,
        "topology.kubernetes.io/zone": group.zone,
        **group.labels,
        GROUP_LABEL: group.name,
    }
    resources = capacity(group.machine)
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels, "annotations": {"kwok.x-k8s.io/node": "fake"}},
        "spec": {"taints": [dict(taint) for taint in group.taints]} if group.taints else {},
        "status": {"capacity": resources, "allocatable": resources},
    }


def capacity(machine: Machine) -> dict[str, str]:
    """Extended resources included: GPUs, and the fabric's devices under the name of their device plugin."""
    found = {
        "cpu": str(machine.cpu_cores),
        "memory": f"{int(machine.memory_gib * 1024 * _RESERVED)}Mi",
        "ephemeral-storage": f"{int(machine.scratch_gb or 200)}G",
        "hugepages-2Mi": "0",
        "pods": "110",
    }
    if machine.gpu_count:
        found["nvidia.com/gpu"] = str(machine.gpu_count)
    if machine.rdma and machine.rdma.kind == "efa":
        found["vpc.amazonaws.com/efa"] = str(machine.rdma.resource_count)
        found["hugepages-2Mi"] = "10256Mi"  # 5128 pages, as the accelerated EKS images allocate them
    elif machine.rdma:
        found[machine.rdma.resource] = "110"  # a mark of the node, not a count of devices: every pod may have one
    return found


async def keep(client: httpx.AsyncClient, group: Group) -> int:
    """Make or remove nodes until the group has its size and labels; returns how many of them are ready."""
    listing = await client.get("/api/v1/nodes", params={"labelSelector": f"{GROUP_LABEL}={group.name}"})
    nodes = {item["metadata"]["name"]: item for item in listing.raise_for_status().json()["items"]}
    wanted = [f"{group.name}-{number}" for number in range(group.count)]
    missing = [name for name in wanted if name not in nodes]
    await asyncio.gather(*(_create(client, manifest(group, name)) for name in missing))
    surplus = [name for name in nodes if name not in wanted]
    await asyncio.gather(*(client.delete(f"/api/v1/nodes/{name}") for name in surplus))
    stale = [name for name in wanted if name in nodes and _differs(nodes[name], group)]
    await asyncio.gather(*(_renew(client, manifest(group, name)) for name in stale))
    return sum(is_ready(nodes[name]) for name in wanted if name in nodes)


async def _create(client: httpx.AsyncClient, node: dict[str, Any]) -> None:
    answer = await client.post("/api/v1/nodes", json=node)
    if answer.status_code != 409:
        answer.raise_for_status()


def _differs(node: dict[str, Any], group: Group) -> bool:
    labels = node["metadata"].get("labels", {})
    taints = [t for t in node["spec"].get("taints", []) if not t["key"].startswith("node.kubernetes.io/")]
    wanted = [{key: value for key, value in taint.items() if value} for taint in group.taints]
    return any(labels.get(key) != value for key, value in group.labels.items()) or taints != wanted


async def _renew(client: httpx.AsyncClient, node: dict[str, Any]) -> None:
    path = f"/api/v1/nodes/{node['metadata']['name']}"
    spec = {"taints": node["spec"].get("taints", [])}
    await api.patch(client, path, {"metadata": {"labels": node["metadata"]["labels"]}, "spec": spec})


def is_ready(node: dict[str, Any]) -> bool:
    conditions = node.get("status", {}).get("conditions", [])
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)
