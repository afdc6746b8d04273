"""Node objects with the hardware of a machine type, and keeping groups of them at their sizes. EDGE.

Used by the controllers of each platform. kwok, which runs beside each control plane, makes the nodes Ready and keeps
them so. A node that has to go is drained first, as the platforms do it.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from meshctl.catalog import Machine
from meshctl.lab.pods import api
from meshctl.lab.weka.operator import drives
from meshwire.kubernetes.async_client import AsyncClient
from meshwire.kubernetes.errors import ApiError

NODES = "/api/v1/nodes"
GROUP_LABEL = "lab.meshctl.dev/group"  # the name of the group that a node was made for
# The labels that the group last gave the node. One that somebody has changed since is left alone, as platforms do.
APPLIED_ANNOTATION = "lab.meshctl.dev/applied"
DRAIN_ANNOTATION = "lab.meshctl.dev/draining-since"
DRAIN_EVERY_S = 0.3
DRAIN_S = 60.0  # after this time a node is deleted with whatever still runs on it
_REPORTED = 0.977  # the share of a machine's memory that its kernel reports: 2000 of 2048 GiB on a p5.48xlarge
_REPORTED_COREWEAVE = 1.0  # for CoreWeave the catalog has what nodes report
_PODS = 110
_USUAL_DRIVE_GB = 3840
# Platforms whose kubelets keep a share for themselves; those of a cluster made with kubeadm's defaults do not.
_RESERVING = ("aws", "coreweave")
_OVER = ("Succeeded", "Failed")
_NOT_READY_TAINT = "node.kubernetes.io/not-ready"


@dataclass(frozen=True)
class Group:
    """Equal nodes, spread over `zones` in turn. `name` is unique in its cluster, but for groups with nodes of several
    machine types, whose numbers are `chosen`."""

    name: str
    machine: Machine
    count: int
    zones: tuple[str, ...]
    region: str
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Mapping[str, str], ...] = ()
    extended: Mapping[str, str] = field(default_factory=dict)  # resources beside those of the machine type
    absent: frozenset[str] = frozenset()  # resources of the machine type that these nodes can't offer
    repairs: bool = False  # whether a node with a broken accelerator is replaced
    more_pages_mib: int = 0  # huge pages that a node sets aside at its start, beside those of its machine type
    chosen: tuple[int, ...] | None = None  # the numbers of its nodes, where these are not the first `count`

    @property
    def numbers(self) -> Sequence[int]:
        return range(self.count) if self.chosen is None else self.chosen

    def node_names(self) -> list[str]:
        return [f"{self.name}-{number}" for number in self.numbers]


def manifest(group: Group, number: int) -> dict[str, Any]:
    """The node `number` of a group as its platform would register it."""
    name = f"{group.name}-{number}"
    labels = {
        **group.machine.node_labels,
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "topology.kubernetes.io/region": group.region,
        "topology.kubernetes.io/zone": group.zones[number % len(group.zones)],
        **group.labels,
        GROUP_LABEL: group.name,
    }
    of_machine = {name: count for name, count in capacity(group.machine).items() if name not in group.absent}
    has = {**of_machine, **group.extended}
    pages_mib = _huge_pages_mib(group.machine) + group.more_pages_mib
    has["hugepages-2Mi"] = f"{pages_mib}Mi"
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": labels,
            "annotations": {"kwok.x-k8s.io/node": "fake", APPLIED_ANNOTATION: _applied(group), **nvme(group.machine)},
        },
        "spec": {"taints": [dict(taint) for taint in group.taints]} if group.taints else {},
        "status": {"capacity": has, "allocatable": {**has, **_left(group.machine, pages_mib)}},
    }


def capacity(machine: Machine) -> dict[str, str]:
    """The node's `status.capacity`, with extended resources: GPUs, and the fabric's devices under the name of their
    device plugin."""
    resources = {
        "cpu": str(machine.cpu_cores),
        "memory": f"{_reported_mib(machine)}Mi",
        "ephemeral-storage": f"{int(machine.scratch_gb or 200)}G",
        "hugepages-2Mi": f"{_huge_pages_mib(machine)}Mi",
        "pods": str(machine.pods or _PODS),
    }
    if machine.gpu_count:
        resources["nvidia.com/gpu"] = str(machine.gpu_count)
    if machine.rdma and machine.rdma.kind == "efa":
        resources["vpc.amazonaws.com/efa"] = str(machine.rdma.resource_count)
    elif machine.rdma:
        resources[machine.rdma.resource] = "110"  # marks the node for InfiniBand; one for each pod that may run on it
    return resources


def nvme(machine: Machine) -> dict[str, str]:
    """The annotation that says which local drives the machine has, for who looks for devices on it. Where the catalog
    does not know their number, they are of a usual size."""
    if not machine.scratch_gb:
        return {}
    count = machine.drives or max(1, round(machine.scratch_gb / _USUAL_DRIVE_GB))
    return {drives.HARDWARE: f"{count}x{machine.scratch_gb / count:g}"}


def _left(machine: Machine, pages_mib: int) -> dict[str, str]:
    """What pods may ask for, where that is less than the node has.

    kube-reserved as the EKS images compute it (awslabs/amazon-eks-ami, nodeadm: 60 millicores of the first core, 10 of
    the second, 5 each of two more, 2.5 of all others; 255 MiB and 11 MiB for each possible pod), the eviction threshold
    of 100 MiB, and huge pages. DaemonSets take theirs as the pods that they are.
    """
    if machine.provider not in _RESERVING:
        return {"memory": f"{_reported_mib(machine) - pages_mib}Mi"}
    milli = sum((60, 10, 5, 5)[: machine.cpu_cores]) + 2.5 * max(machine.cpu_cores - 4, 0)
    kept_mib = 255 + 11 * _possible_pods(machine) + 100 + pages_mib
    return {
        "cpu": f"{int(machine.cpu_cores * 1000 - milli)}m",
        "memory": f"{_reported_mib(machine) - kept_mib}Mi",
    }


def _possible_pods(machine: Machine) -> int:
    """How many pods a node of the machine type can have. Small types have few network interfaces (eni-max-pods.txt: 29
    on g4dn)."""
    fewest = _PODS if machine.cpu_cores >= 30 else 29
    return min(machine.pods or fewest, fewest)


def _reported_mib(machine: Machine) -> int:
    reported = _REPORTED_COREWEAVE if machine.provider == "coreweave" else _REPORTED
    return math.ceil((machine.reported_gib or machine.memory_gib * reported) * 1024)


def _huge_pages_mib(machine: Machine) -> int:
    accelerated = machine.gpu_count > 0 and machine.rdma is not None and machine.rdma.kind == "efa"
    # as a p5.48xlarge and a p4de.24xlarge report it (awsome-distributed-training)
    return 2 * (110 * machine.cpu_cores + 1) if accelerated else 0


@dataclass(frozen=True)
class Kept:
    """`counts`: group's name -> how many of its nodes there are: those that take pods and, while it shrinks, those that
    are still draining. `draining`: whether there are any of those, which need another look before anything changes.
    """

    counts: dict[str, int]
    draining: bool

    @property
    def look_again_s(self) -> float | None:
        """How many seconds to wait for a change at most."""
        return DRAIN_EVERY_S if self.draining else None


async def keep(client: AsyncClient, groups: Iterable[Group]) -> Kept:
    """Bring these groups one step nearer to their sizes: make, renew and remove nodes. Nodes of other groups are
    removed."""
    nodes = {item["metadata"]["name"]: item for item in await api.items(client, NODES, labelSelector=GROUP_LABEL)}
    ready: dict[str, int] = {}
    wanted: set[str] = set()
    repaired: list[dict[str, Any]] = []
    for group in groups:
        names = group.node_names()
        wanted.update(names)
        broken = [nodes[name] for name in names if name in nodes and group.repairs and is_broken(nodes[name])]
        repaired += broken
        missing = [number for number, name in zip(group.numbers, names, strict=True) if name not in nodes]
        await asyncio.gather(*(api.ensure(client, NODES, manifest(group, number)) for number in missing))
        stale = [
            nodes[name]
            for name in names
            if name in nodes and nodes[name] not in broken and _differs(nodes[name], group)
        ]
        await asyncio.gather(*(_renew(client, node, group) for node in stale))
        count = sum(takes_pods(nodes[name]) for name in names if name in nodes)
        ready[group.name] = ready.get(group.name, 0) + count
    surplus = [node for name, node in nodes.items() if name not in wanted]
    await asyncio.gather(*(_remove(client, node) for node in [*surplus, *repaired]))
    for node in surplus:
        name = node["metadata"]["labels"][GROUP_LABEL]
        ready[name] = ready.get(name, 0) + 1
    return Kept(ready, draining=bool(surplus or repaired))


def _applied(group: Group) -> str:
    return json.dumps({"labels": dict(group.labels), "taints": [dict(taint) for taint in group.taints]}, sort_keys=True)


def _differs(node: dict[str, Any], group: Group) -> bool:
    annotations = node["metadata"].get("annotations", {})
    return annotations.get(APPLIED_ANNOTATION) != _applied(group) or DRAIN_ANNOTATION in annotations


async def _renew(client: AsyncClient, node: dict[str, Any], group: Group) -> None:
    """Give the node the labels and taints that its group has now, and put it back into service if it was draining."""
    applied = json.loads(node["metadata"].get("annotations", {}).get(APPLIED_ANNOTATION) or '{"labels": {}}')
    labels = {**dict.fromkeys(applied["labels"]), **group.labels}  # null removes a label
    annotations = {APPLIED_ANNOTATION: _applied(group), DRAIN_ANNOTATION: None}
    conditions = [taint for taint in node["spec"].get("taints", ()) if taint["key"].startswith("node.kubernetes.io/")]
    spec = {"taints": [*conditions, *(dict(taint) for taint in group.taints)], "unschedulable": None}
    path = f"/api/v1/nodes/{node['metadata']['name']}"
    await api.patch(client, path, {"metadata": {"labels": labels, "annotations": annotations}, "spec": spec})


async def _remove(client: AsyncClient, node: dict[str, Any]) -> None:
    """One step towards removing a node: cordon it, evict its pods, and delete it once it is empty or its time is up.
    Pods of DaemonSets stay to the end."""
    name, now = node["metadata"]["name"], datetime.datetime.now(datetime.UTC)
    since = node["metadata"].get("annotations", {}).get(DRAIN_ANNOTATION)
    path = f"/api/v1/nodes/{name}"
    if since is None:
        note = {"annotations": {DRAIN_ANNOTATION: now.isoformat()}}
        await api.patch(client, path, {"metadata": note, "spec": {"unschedulable": True}})
        return
    pods = await api.items(client, "/api/v1/pods", fieldSelector=f"spec.nodeName={name}")
    running = [pod for pod in pods if is_in_the_way(pod)]
    if running and (now - datetime.datetime.fromisoformat(since)).total_seconds() < DRAIN_S:
        await asyncio.gather(*(_evict(client, pod) for pod in running))
        return
    for pod in pods:
        metadata = pod["metadata"]
        place = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"
        await api.delete_now(client, place, metadata["uid"])
    await api.delete(client, path)


def is_in_the_way(pod: dict[str, Any]) -> bool:
    """Whether the pod keeps its node from being idle."""
    owners = {owner["kind"] for owner in pod["metadata"].get("ownerReferences", ())}
    return "DaemonSet" not in owners and pod["status"].get("phase") not in _OVER


async def _evict(client: AsyncClient, pod: dict[str, Any]) -> None:
    """Ask for the eviction of a pod. It is refused with 429 while a PodDisruptionBudget forbids it, and the next step
    asks again."""
    metadata = pod["metadata"]
    if metadata.get("deletionTimestamp"):
        return
    name = {"name": metadata["name"], "namespace": metadata["namespace"]}
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": name}
    with contextlib.suppress(ApiError):
        await api.post(client, f"/api/v1/namespaces/{name['namespace']}/pods/{name['name']}/eviction", body)


def is_broken(node: dict[str, Any]) -> bool:
    """Whether the node has the condition that the node monitoring agent sets when a GPU or EFA device has failed, or
    its driver hangs. EKS replaces such a node after ten minutes (EKS user guide, "Detect node health issues"), the lab
    at once."""
    conditions = node.get("status", {}).get("conditions", [])
    return any(item["type"] == "AcceleratedHardwareReady" and item["status"] == "False" for item in conditions)


def takes_pods(node: dict[str, Any]) -> bool:
    """Whether the node is ready and the node controller has seen it: a new node has the taint from its first moment,
    and loses it seconds later where the machine is busy."""
    taints = {taint["key"] for taint in node["spec"].get("taints", ())}
    return is_ready(node) and _NOT_READY_TAINT not in taints


def is_ready(node: dict[str, Any]) -> bool:
    conditions = node.get("status", {}).get("conditions", [])
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)
