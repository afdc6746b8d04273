"""EKS managed node groups -> nodes in the cluster's control plane; access policies -> roles. EDGE.

The lab's AWS API writes the node groups that it was asked for to `eks.json`; this controller makes the nodes and writes
how many are ready to `nodes.json`, on which the API calls the node group ACTIVE.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from meshctl.catalog import Machine, load_catalog
from meshctl.lab.controllers.changes import following
from meshctl.lab.controllers.nodes import GROUP_LABEL, NODES, Group, keep
from meshctl.lab.pods import api
from meshctl.lab.state import Lab, read_json, write_atomically
from meshctl.lab.token_webhook import POLICY_GROUP
from meshwire.kubernetes.async_client import AsyncClient

GPU, EFA = "nvidia.com/gpu", "vpc.amazonaws.com/efa"
_PAGE_MIB = 2
BINDINGS = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
# EKS access policy -> the ClusterRole that comes nearest (EKS user guide, "Access policy permissions"); the cluster
# administrators' is `system:masters`, which needs none
ROLES = {
    "AmazonEKSAdminPolicy": "admin",
    "AmazonEKSEditPolicy": "edit",
    "AmazonEKSViewPolicy": "view",
    "AmazonEKSAdminViewPolicy": "view",
}
EFFECTS = {"NO_SCHEDULE": "NoSchedule", "NO_EXECUTE": "NoExecute", "PREFER_NO_SCHEDULE": "PreferNoSchedule"}


async def play(lab: Lab, cluster: api.Cluster, client: AsyncClient, stands: Callable[[], None]) -> None:
    """Follow `eks.json` for ever."""
    await _bind_roles(client)
    stands()
    counted: dict[str, int] = {}
    try:
        async with following(client, [NODES], [lab.root / "eks.json"], labelSelector=GROUP_LABEL) as changes:
            while True:
                name, described = _cluster_on(cluster.name, read_json(lab.root / "eks.json"))
                nodes = await keep(client, groups(described, cluster.region))
                counts = {f"{name}/{group}": count for group, count in nodes.counts.items() if name}
                counted = _report(lab, counted, counts)
                await changes.wait(nodes.look_again_s)
    finally:
        _report(lab, counted, {})


async def _bind_roles(client: AsyncClient) -> None:
    for policy, role in ROLES.items():
        body = {
            "metadata": {"name": f"eks:{policy}"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": f"{POLICY_GROUP}{policy}"}],
        }
        await api.ensure(client, BINDINGS, body)


def _cluster_on(plane: str, document: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The EKS cluster that runs on a control plane: its name, and its entry of `eks.json`. Both are empty if there is
    none."""
    clusters: dict[str, dict[str, Any]] = document.get("clusters") or {}
    return next(((name, each) for name, each in clusters.items() if each["control_plane"] == plane), ("", {}))


def _report(lab: Lab, before: dict[str, int], now: dict[str, int]) -> dict[str, int]:
    """Replace what this control plane last said in `nodes.json` (this process alone writes it)."""
    if now != before:
        reported = read_json(lab.root / "nodes.json").get("nodegroups", {})
        of_other_clusters = {key: count for key, count in reported.items() if key not in before}
        write_atomically(lab.root / "nodes.json", json.dumps({"nodegroups": of_other_clusters | now}))
    return now


def groups(cluster: dict[str, Any], region: str) -> list[Group]:
    """The nodes that a cluster of `eks.json` wants; node groups that are being deleted want none."""
    return [
        _group(name, nodegroup, machine, tuple(numbers), region)
        for name, nodegroup in (cluster.get("nodegroups") or {}).items()
        for machine, numbers in _launched(nodegroup)
    ]


def _launched(nodegroup: dict[str, Any]) -> list[tuple[Machine, list[int]]]:
    """The machines that the catalog knows, with the numbers of their nodes; a group may have several types."""
    numbers: dict[str, list[int]] = nodegroup["launched"]
    # without a node it is a group all the same, whose number of nodes is reported
    by_type = numbers or {nodegroup["instanceTypes"][0]: []}
    described = [(load_catalog().machine("aws", each), each) for each in by_type]
    return [(machine, by_type[name]) for machine, name in described if machine is not None]


def _group(name: str, nodegroup: dict[str, Any], machine: Machine, numbers: tuple[int, ...], region: str) -> Group:
    labels = {
        **nodegroup["labels"],
        "eks.amazonaws.com/nodegroup": name,
        "eks.amazonaws.com/capacityType": nodegroup["capacityType"],
    }
    zones = tuple(nodegroup["zones"]) or (f"{region}a",)
    is_going = nodegroup["status"] == "DELETING"
    return Group(
        name=name,
        machine=machine,
        count=0 if is_going else len(numbers),
        # a placement group of strategy `cluster` lies in one zone
        zones=zones[:1] if nodegroup["placementGroup"] else zones,
        region=region,
        labels=labels,
        taints=tuple(_taint(taint) for taint in nodegroup["taints"]),
        extended=_efa(machine, nodegroup["efaInterfaces"]),
        absent=_absent(nodegroup["amiType"], nodegroup["efaInterfaces"]),
        repairs=bool(nodegroup.get("repairs")),
        more_pages_mib=_PAGE_MIB * nodegroup.get("hugePages", 0),
        chosen=() if is_going else numbers,
    )


def _efa(machine: Machine, interfaces: int) -> dict[str, str]:
    """The EFA devices of a node: as many as the launch template has interfaces of that kind, even if the machine type
    could have more."""
    has_efa = machine.rdma is not None and machine.rdma.kind == "efa"
    return {EFA: str(interfaces)} if has_efa and interfaces else {}


def _absent(ami_type: str, efa_interfaces: int) -> frozenset[str]:
    """Resources that the nodes can't offer. With an image without NVIDIA's driver a node shows no GPU, whatever the
    machine has ("Use EKS-optimized accelerated AMIs", EKS user guide). A custom image is taken to have the driver."""
    no_driver = ami_type != "CUSTOM" and "NVIDIA" not in ami_type
    return frozenset({GPU} if no_driver else ()) | frozenset(() if efa_interfaces else {EFA})


def _taint(taint: dict[str, str]) -> dict[str, str]:
    kubernetes_taint = {"key": taint["key"], "value": taint.get("value", ""), "effect": EFFECTS[taint["effect"]]}
    return {key: value for key, value in kubernetes_taint.items() if value}
