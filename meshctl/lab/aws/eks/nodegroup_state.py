"""A managed node group as EKS keeps it: what becomes of it by itself, and its entry in `eks.json`. PURE.

Called by `state`, whose docstring lists the entry's keys.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from meshctl.lab.aws.ec2 import reservations
from meshctl.lab.aws.eks import launch_rules
from meshctl.lab.aws.eks.launch_rules import Issue


@dataclass
class Nodegroup:
    described: dict[str, Any]
    zones: list[str]
    template: dict[str, Any]
    issues: list[dict[str, Any]] = field(default_factory=list)  # why its instances do not launch
    changes_at: float = 0.0
    lost: dict[str, Any] | None = None  # why those that it had are gone, as health has it


def settle(nodegroup: Nodegroup, ready: int, *, updating: bool = False) -> bool:
    described = nodegroup.described
    if time.monotonic() < nodegroup.changes_at:
        return False
    if described["status"] == "CREATING" and nodegroup.issues:
        described["status"] = "CREATE_FAILED"
        described["health"] = {"issues": [{**issue, "resourceIds": described["subnets"]} for issue in nodegroup.issues]}
    elif described["status"] == "CREATING" and ready >= described["scalingConfig"]["desiredSize"]:
        described["status"] = "ACTIVE"
    elif described["status"] in ("ACTIVE", "DEGRADED", "UPDATING"):
        described["status"] = "UPDATING" if updating else "DEGRADED" if nodegroup.lost else "ACTIVE"
        described["health"] = {"issues": [{**nodegroup.lost, "resourceIds": []}] if nodegroup.lost else []}
    return bool(described["status"] == "DELETING" and ready == 0)


def lose_nodes(nodegroup: Nodegroup, reservation: Mapping[str, Any] | None, now: datetime) -> Issue | None:
    """Takes the nodes of a block whose time is not now, or gives them back. The issue, where it is a new one. A group
    that has lost nodes so, and is emptied then, keeps its issue: nothing started in it that would show it well."""
    was_lost, issue = nodegroup.lost is not None, None
    if reservation is not None and (was_lost or nodegroup.described["scalingConfig"]["desiredSize"]):
        issue = launch_rules.taken_back(reservation, now)
    nodegroup.lost = issue.described if issue else None
    return None if was_lost else issue


def nodes_in(nodegroup: Nodegroup, subnet_id: str) -> int:
    """Its nodes in a subnet, spread evenly, the first subnets having one more."""
    subnets = nodegroup.described["subnets"]
    if subnet_id not in subnets:
        return 0
    each, more = divmod(int(nodegroup.described["scalingConfig"]["desiredSize"]), len(subnets))
    return each + int(subnets.index(subnet_id) < more)


def entry(nodegroup: Nodegroup) -> dict[str, Any]:
    described, template = nodegroup.described, nodegroup.template
    return {
        # where there is no capacity no node comes, not even for a moment
        "desiredSize": 0 if nodegroup.issues or nodegroup.lost else described["scalingConfig"]["desiredSize"],
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
