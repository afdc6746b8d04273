"""A managed node group as EKS keeps it: what becomes of it by itself, and its entry in `eks.json`. PURE but
for the clock and the ids of nodes that are missing.

Called by `state`, whose docstring lists the entry's keys.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from meshctl.lab.aws.ec2 import reservations
from meshctl.lab.aws.eks import launch_rules
from meshctl.lab.aws.eks.launch_rules import Issue

# How long EKS takes to show in the health of a group that is up that its machines do not start; minutes on AWS
HEALTH_S: Final = 1.5
_NOT_JOINED: Final = "Instances failed to join the kubernetes cluster"


@dataclass
class Nodegroup:
    """`nodes`: the machine type of each of its nodes, which have numbers in this order. `issues`: why others do not
    start. `is_refused`: none of them ever will, as a fault was ordered for it. `degraded`: the issues that health
    shows of a group that is up. `lost`: why those that it had are gone, as health has it."""

    described: dict[str, Any]
    zones: list[str]
    template: dict[str, Any]
    issues: list[dict[str, Any]] = field(default_factory=list)
    changes_at: float = 0.0
    lost: dict[str, Any] | None = None
    nodes: list[str] = field(default_factory=list)
    is_refused: bool = False
    degraded: list[dict[str, Any]] = field(default_factory=list)
    short_since: float | None = None


def settle(nodegroup: Nodegroup, ready: int, *, updating: bool = False) -> bool:
    """Whether it is gone now. `ready`: how many of its nodes are."""
    described = nodegroup.described
    if time.monotonic() < nodegroup.changes_at:
        return False
    if described["status"] == "CREATING" and nodegroup.issues:
        described["status"] = "CREATE_FAILED"
        described["health"] = {"issues": _of_creation(nodegroup)}
    elif described["status"] == "CREATING" and ready >= described["scalingConfig"]["desiredSize"]:
        described["status"] = "ACTIVE"
    elif described["status"] in ("ACTIVE", "DEGRADED", "UPDATING"):
        issues = [{**nodegroup.lost, "resourceIds": []}] if nodegroup.lost else _of_group(nodegroup)
        described["status"] = "UPDATING" if updating else "DEGRADED" if issues else "ACTIVE"
        described["health"] = {"issues": issues}
    return bool(described["status"] == "DELETING" and ready == 0)


def grow(nodegroup: Nodegroup, started: list[str], issue: Issue | None) -> bool:
    """Takes over the nodes that have started, and why no more have. Whether that reason is a new one.

    A group that was degraded is well again once it has grown as far as it was to, and by nothing else: one that is made
    smaller stays degraded (containers-roadmap issue 2326).
    """
    nodegroup.nodes = [*nodegroup.nodes, *started]
    before, nodegroup.issues = nodegroup.issues, [issue.described] if issue else []
    if issue is None:
        nodegroup.degraded, nodegroup.short_since = [], None
    elif nodegroup.short_since is None:
        nodegroup.short_since = time.monotonic()
    return nodegroup.issues != before


def shrink(nodegroup: Nodegroup, desired: int) -> None:
    """The newest nodes go, and nothing is missing any more."""
    nodegroup.nodes = nodegroup.nodes[:desired]
    if nodegroup.described["status"] != "CREATING":  # a new one may be refused although it is to have no node
        nodegroup.issues, nodegroup.short_since = [], None


def _of_group(nodegroup: Nodegroup) -> list[dict[str, Any]]:
    """What health shows of a group that is up: a while after its machines did not start."""
    since = nodegroup.short_since
    if nodegroup.issues and since is not None and time.monotonic() >= since + HEALTH_S:
        nodegroup.degraded = [{**issue, "resourceIds": _auto_scaling(nodegroup)} for issue in nodegroup.issues]
    return nodegroup.degraded


def _of_creation(nodegroup: Nodegroup) -> list[dict[str, Any]]:
    """Of machines that do not start EKS says two things: that, and that they have not joined, with ids that stand for
    no instance (eksctl issue 4732)."""
    shown: list[dict[str, Any]] = []
    for issue in nodegroup.issues:
        is_launch = issue["code"] == "AsgInstanceLaunchFailures"
        subject = _auto_scaling(nodegroup) if is_launch else nodegroup.described["subnets"]
        shown.append({**issue, "resourceIds": subject})
        if is_launch:
            missing = int(nodegroup.described["scalingConfig"]["desiredSize"]) - len(nodegroup.nodes)
            ids = [f"DUMMY_{uuid.uuid4()}" for _ in range(missing)]
            shown.append({"code": "NodeCreationFailure", "message": _NOT_JOINED, "resourceIds": ids})
    return shown


def _auto_scaling(nodegroup: Nodegroup) -> list[str]:
    return [group["name"] for group in nodegroup.described.get("resources", {}).get("autoScalingGroups", [])]


def lose_nodes(nodegroup: Nodegroup, reservation: Mapping[str, Any] | None, now: datetime) -> Issue | None:
    """Takes the nodes of a block whose time is not now, or gives them back. The issue, where it is a new one. A group
    that has lost nodes so, and is emptied then, keeps its issue: nothing started in it that would show it well."""
    was_lost, issue = nodegroup.lost is not None, None
    if reservation is not None and (was_lost or nodegroup.described["scalingConfig"]["desiredSize"]):
        issue = launch_rules.taken_back(reservation, now)
    nodegroup.lost = issue.described if issue else None
    if issue is not None:
        nodegroup.nodes = []
        if nodegroup.described["status"] != "CREATING":  # that a group can't be made is told as it was
            nodegroup.issues, nodegroup.short_since = [], None
    return None if was_lost else issue


def nodes_in(nodegroup: Nodegroup, subnet_id: str) -> int:
    """Its nodes in a subnet, spread evenly, the first subnets having one more."""
    subnets = nodegroup.described["subnets"]
    if subnet_id not in subnets:
        return 0
    each, more = divmod(len(nodegroup.nodes), len(subnets))
    return each + int(subnets.index(subnet_id) < more)


def entry(nodegroup: Nodegroup) -> dict[str, Any]:
    described, template = nodegroup.described, nodegroup.template
    return {
        # where there is no capacity no node comes, not even for a moment
        "desiredSize": len(nodegroup.nodes),
        "launched": _numbers(nodegroup.nodes),
        "instanceTypes": described["instanceTypes"] or [template.get("InstanceType", "t3.medium")],
        "zones": nodegroup.zones,
        "subnets": described["subnets"],
        "labels": described["labels"],
        "taints": described["taints"],
        "capacityType": described["capacityType"],
        "amiType": described["amiType"],
        "version": described["version"],
        "status": described["status"],
        "efaInterfaces": launch_rules.efa_interfaces(template),
        "hugePages": launch_rules.huge_pages(template),
        "metadataHops": launch_rules.metadata_hops(template),
        "placementGroup": (template.get("Placement") or {}).get("GroupName", ""),
        "capacityReservation": reservations.target_of(template),
        "repairs": bool((described.get("nodeRepairConfig") or {}).get("enabled")),
    }


def _numbers(nodes: list[str]) -> dict[str, list[int]]:
    """The numbers of the nodes of each machine type."""
    numbers: dict[str, list[int]] = {}
    for number, machine in enumerate(nodes):
        numbers.setdefault(machine, []).append(number)
    return numbers
