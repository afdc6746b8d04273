"""What EKS knows, how it changes by itself, and `ROOT/eks.json`, in which the lab's other parts read it. EDGE.

Every part of the service derives from `Base`. `eks.json`:

    {"clusters": {NAME: {"control_plane", "region", "arn", "status", "version", "issuer", "vpcId",
        "access": [{"access_key", "principalArn", "username", "groups": […], "policies": [ARN of cluster-wide ones…],
            "namespacePolicies": {ARN: [namespace…]}}],
        "nodegroups": {NAME: {"desiredSize", "launched": {TYPE: [number…]}, "instanceTypes": […], "zones": […],
            "subnets": […], "labels": {}, "taints": [{"key", "value", "effect"}], "capacityType", "amiType", "version",
            "status", "placementGroup", "capacityReservation", "efaInterfaces", "hugePages", "metadataHops"}},
        "addons": {NAME: {"version", "configuration"}}}}}

Names and values are the API's own, but that `desiredSize` counts the nodes that there is room for: those of `launched`,
by their numbers. `access` has one entry for each access key that acts as the principal, or one with
an empty key where the lab knows none.

`nodes.json` comes back from the node controller, {"nodegroups": {"CLUSTER/NAME": READY_COUNT}}, and `addons.json` from
that of the add-ons. Where none of these runs, because the API runs alone, the health of add-ons is told from the nodes.
"""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from moto.core import DEFAULT_ACCOUNT_ID

from meshctl.lab.aws import rules
from meshctl.lab.aws.call import Call
from meshctl.lab.aws.ec2 import reservations
from meshctl.lab.aws.ec2.ec2 import Ec2
from meshctl.lab.aws.eks import nodegroup_state
from meshctl.lab.aws.eks.control_plane import ControlPlane, ControlPlanes
from meshctl.lab.aws.eks.nodegroup_state import Nodegroup
from meshctl.lab.aws.errors import ApiError
from meshctl.lab.aws.faults import Faults
from meshctl.lab.aws.iam.credentials import Credentials
from meshctl.lab.aws.quotas import Quotas
from meshctl.lab.aws.rules import Rule
from meshctl.lab.aws.service import Service
from meshctl.lab.state import read_json, write_atomically

log = logging.getLogger(__name__)
CHANGE_S = 0.5  # how long what needs no nodes takes
# aws/containers-roadmap issue 1389: coredns on a cluster whose nodes are all tainted
_NO_REPLICAS = {
    "code": "InsufficientNumberOfReplicas",
    "message": "The add-on is unhealthy because it doesn't have the desired number of replicas.",
    "resourceIds": [],
}


@dataclass
class Update:
    """`done` tells whether what was asked for has been reached."""

    described: dict[str, Any]
    owner: str  # "", "nodegroup/NAME" or "addon/NAME"
    done: Callable[[], bool]
    failed: dict[str, Any] | None = None


@dataclass
class Addon:
    described: dict[str, Any]
    changes_at: float
    failing: dict[str, Any] | None = None
    needs_no_node: bool = True  # it has DaemonSets alone, which want as many pods as there are nodes
    degraded_from: float = 0.0  # until then it waits for its first replicas


@dataclass
class AccessEntry:
    described: dict[str, Any]
    access_key: str = ""  # of the cluster's creator
    policies: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass
class Cluster:
    """`described` is what DescribeCluster answers, here as in the other parts."""

    described: dict[str, Any]
    region: str
    control_plane: str
    plane: Future[ControlPlane]
    changes_at: float
    failing: dict[str, Any] | None = None
    nodegroups: dict[str, Nodegroup] = field(default_factory=dict)
    addons: dict[str, Addon] = field(default_factory=dict)
    entries: dict[str, AccessEntry] = field(default_factory=dict)
    associations: dict[str, dict[str, Any]] = field(default_factory=dict)
    updates: dict[str, Update] = field(default_factory=dict)
    ending: Future[None] | None = None  # the control plane's end
    creator: AccessEntry | None = None  # the administrator of a cluster that has no access entries


def now() -> datetime:
    return datetime.now(UTC)


def soon() -> float:
    return time.monotonic() + CHANGE_S


def log_later(operation: str, rule: Rule, message: str) -> None:
    """A refusal that shows a while after the call was accepted."""
    log.warning("refused %s later: %s (rule %s, source: %s)", operation, message, rule.id, rule.source)


def arn(region: str, resource: str) -> str:
    return f"arn:aws:eks:{region}:{DEFAULT_ACCOUNT_ID}:{resource}"


class Base(Service):
    """Clusters by name, and the files that the other parts of the lab read and write."""

    name: ClassVar[str] = "eks"
    invalid: ClassVar[str] = "InvalidParameterException"

    def __init__(self, root: Path, credentials: Credentials, faults: Faults, ec2: Ec2, quotas: Quotas) -> None:
        self.root = root
        self.credentials = credentials
        self.faults = faults
        self.ec2 = ec2
        self.quotas = quotas
        self.planes = ControlPlanes(root)
        self.clusters: dict[str, Cluster] = {}
        self._written = ""
        self.write()

    def cluster(self, call: Call, name: str) -> Cluster:
        """Raises: ApiError when there is none of that name in the call's region."""
        self.settle()
        cluster = self.clusters.get(name)
        if cluster is None or cluster.region != call.region:
            raise ApiError("ResourceNotFoundException", f"No cluster found for name: {name}.", clusterName=name)
        return cluster

    def active(self, call: Call, name: str) -> Cluster:
        """A cluster that can be changed. Raises: ApiError."""
        cluster = self.cluster(call, name)
        status = cluster.described["status"]
        if status in ("CREATING", "DELETING", "FAILED"):
            raise ApiError("InvalidRequestException", f"Cluster '{name}' is not in ACTIVE status", clusterName=name)
        return cluster

    def failing(self, operation: str) -> dict[str, Any] | None:
        """The issue that an accepted call is to end with, when a fault says so."""
        fault = self.faults.take("eks", operation, later=True)
        return {"code": fault.error, "message": fault.message} if fault else None

    def start_update(
        self,
        cluster: Cluster,
        kind: str,
        params: dict[str, Any],
        *,
        operation: str,
        owner: str = "",
        done: Callable[[], bool] | None = None,
        lasts_s: float = 0.0,
    ) -> dict[str, Any]:
        """The update as the API describes it. Raises: ApiError while another one runs on the same thing."""
        for other in cluster.updates.values():
            if other.owner == owner and other.described["status"] == "InProgress":
                raise ApiError(
                    "ResourceInUseException",
                    f"Cannot {kind}: {owner or 'cluster'} currently has update {other.described['id']} in progress",
                    clusterName=cluster.described["name"],
                )
        texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in params.items()}
        update_id = str(uuid.uuid4())
        described: dict[str, Any] = {
            "id": update_id,
            "status": "InProgress",
            "type": kind,
            "params": [{"type": key, "value": text} for key, text in texts.items()],
            "createdAt": now(),
            "errors": [],
        }
        at = time.monotonic() + max(lasts_s, CHANGE_S)
        reached = done or (lambda: True)
        update = Update(described, owner, lambda: time.monotonic() >= at and reached(), self.failing(operation))
        cluster.updates[update_id] = update
        return described

    def free_addresses(self, subnet: Any) -> int:
        """Those that moto counts, less one for each node in the subnet: moto has no instances of node groups."""
        groups = [group for cluster in self.clusters.values() for group in cluster.nodegroups.values()]
        nodes = sum(nodegroup_state.nodes_in(group, subnet.id) for group in groups)
        return int(subnet.available_ip_address_count) - nodes

    # ---- what happens by itself --------------------------------------------------------------------------------------

    def ready_nodes(self) -> dict[str, int]:
        """Ready nodes by `CLUSTER/NODEGROUP`, as the node controller last wrote it."""
        counts: dict[str, int] = read_json(self.root / "nodes.json").get("nodegroups", {})
        return counts

    def settle(self) -> None:
        """Move on whatever was waiting for time or nodes, then write `eks.json` if it says something new."""
        ready = self.ready_nodes()
        replicas: dict[str, dict[str, int]] | None = read_json(self.root / "addons.json").get("addons")
        for name, cluster in list(self.clusters.items()):
            for update in cluster.updates.values():
                _settle_update(update)
            updating = {each.owner for each in cluster.updates.values() if each.described["status"] == "InProgress"}
            for nodegroup_name, nodegroup in list(cluster.nodegroups.items()):
                reservation = (cluster.region, reservations.target_of(nodegroup.template))
                issue = nodegroup_state.lose_nodes(nodegroup, self.ec2.reservations.get(reservation), now())
                if issue is not None:
                    log_later("CreateNodegroup", issue.rule, issue.message)
                nodes = ready.get(f"{name}/{nodegroup_name}", 0)
                if nodegroup_state.settle(nodegroup, nodes, updating=f"nodegroup/{nodegroup_name}" in updating):
                    del cluster.nodegroups[nodegroup_name]
            for addon_name, addon in list(cluster.addons.items()):
                before = addon.described["status"]
                healthy = _is_healthy(f"{name}/{addon_name}", addon, replicas, _untainted(name, cluster, ready))
                if _settled_addon(addon, healthy=healthy):
                    del cluster.addons[addon_name]
                if before != "DEGRADED" == addon.described["status"]:
                    log_later("CreateAddon", rules.ADDON_REPLICAS, f"{addon_name}: {_NO_REPLICAS['message']}")
            if _settled_cluster(cluster):
                self.free(cluster)
                del self.clusters[name]
        self.write()

    def free(self, cluster: Cluster) -> None:
        """What goes with a deleted cluster."""

    def write(self) -> None:
        document = {"clusters": {name: self._summary(cluster) for name, cluster in self.clusters.items()}}
        text = json.dumps(document, indent=2, sort_keys=True)
        if text != self._written:
            write_atomically(self.root / "eks.json", text)
            self._written = text

    def _summary(self, cluster: Cluster) -> dict[str, Any]:
        described = cluster.described
        return {
            "control_plane": cluster.control_plane,
            "region": cluster.region,
            "arn": described["arn"],
            "status": described["status"],
            "version": described["version"],
            "issuer": described["identity"]["oidc"]["issuer"],
            "vpcId": described["resourcesVpcConfig"]["vpcId"],
            "access": [access for entry in _entries(cluster) for access in self._access(entry)],
            "nodegroups": {name: nodegroup_state.entry(nodegroup) for name, nodegroup in cluster.nodegroups.items()},
            "addons": {name: _addon_entry(addon.described) for name, addon in cluster.addons.items()},
        }

    def _access(self, entry: AccessEntry) -> list[dict[str, Any]]:
        who = entry.described["principalArn"]
        keys = {*self.credentials.keys_of(who), entry.access_key} - {""}
        scopes = {arn: policy["accessScope"] for arn, policy in entry.policies.items()}
        return [
            {
                "access_key": key,
                "principalArn": who,
                "username": entry.described["username"],
                "groups": entry.described["kubernetesGroups"],
                "policies": [arn for arn, scope in scopes.items() if scope["type"] == "cluster"],
                "namespacePolicies": {
                    arn: scope["namespaces"] for arn, scope in scopes.items() if scope["type"] == "namespace"
                },
            }
            for key in sorted(keys) or [""]
        ]


def _entries(cluster: Cluster) -> list[AccessEntry]:
    entries = list(cluster.entries.values())
    if cluster.creator is not None and cluster.creator.described["principalArn"] not in cluster.entries:
        entries.append(cluster.creator)
    return entries


def _settled_cluster(cluster: Cluster) -> bool:
    """Whether it is gone now."""
    status = cluster.described["status"]
    if time.monotonic() < cluster.changes_at:
        return False
    if status == "CREATING" and cluster.plane.done():
        _settle_creation(cluster)
    return bool(status == "DELETING" and cluster.ending is not None and cluster.ending.done())


def _settle_creation(cluster: Cluster) -> None:
    error = cluster.plane.exception()
    failing = cluster.failing or ({"code": "Other", "message": str(error)} if error else None)
    cluster.described["status"] = "FAILED" if failing else "ACTIVE"
    cluster.described["health"] = {"issues": [failing] if failing else []}
    if error is None:
        plane = cluster.plane.result()
        cluster.described |= {"endpoint": plane.endpoint, "certificateAuthority": {"data": plane.ca_data}}


def _untainted(name: str, cluster: Cluster, ready: dict[str, int]) -> int:
    """Ready nodes that take pods without tolerations."""
    groups = cluster.nodegroups.items()
    return sum(ready.get(f"{name}/{group}", 0) for group, each in groups if not each.described["taints"])


def _is_healthy(key: str, addon: Addon, replicas: dict[str, dict[str, int]] | None, untainted: int) -> bool | None:
    """Whether an add-on has the replicas that it wants; None while it still waits for its first ones."""
    if replicas is None:
        return addon.needs_no_node or untainted > 0
    count = replicas.get(key)
    if count is not None and count["ready"] >= count["wanted"]:
        return True
    is_new = addon.described["status"] == "CREATING" and time.monotonic() < addon.degraded_from
    return None if is_new else False


def _settled_addon(addon: Addon, *, healthy: bool | None) -> bool:
    if time.monotonic() < addon.changes_at:
        return False
    status = addon.described["status"]
    if status == "CREATING" and addon.failing:
        addon.described |= {"status": "CREATE_FAILED", "health": {"issues": [addon.failing]}}
    elif status in ("CREATING", "ACTIVE", "DEGRADED") and healthy is not None:
        issues = [] if healthy else [_NO_REPLICAS]
        addon.described |= {"status": "DEGRADED" if issues else "ACTIVE", "health": {"issues": issues}}
    return bool(addon.described["status"] == "DELETING")


def _settle_update(update: Update) -> None:
    if update.described["status"] != "InProgress":
        return
    if update.failed:
        update.described["status"] = "Failed"
        issue = {"errorCode": update.failed["code"], "errorMessage": update.failed["message"], "resourceIds": []}
        update.described["errors"] = [issue]
    elif update.done():
        update.described["status"] = "Successful"


def _addon_entry(described: dict[str, Any]) -> dict[str, str]:
    return {"version": described["addonVersion"], "configuration": described.get("configurationValues", "")}
