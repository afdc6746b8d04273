"""EKS clusters and their updates. Served through `Eks`. EDGE."""

# ruff: noqa: ARG002 (every operation is given the call)

from __future__ import annotations

import secrets
import time
from typing import Any

from moto.core import DEFAULT_ACCOUNT_ID
from moto.core.utils import utcnow
from moto.ec2.exceptions import EC2ClientError
from moto.iam.models import iam_backends

from meshctl.lab.aws import rules
from meshctl.lab.aws.call import Call
from meshctl.lab.aws.ec2.ec2 import backend_of
from meshctl.lab.aws.ec2.zone_letters import zones_with_eks
from meshctl.lab.aws.eks.access import ADMIN_POLICY, new_entry
from meshctl.lab.aws.eks.late_logs import LateLogs
from meshctl.lab.aws.eks.state import AccessEntry, Base, Cluster, arn, log_later, now, soon
from meshctl.lab.aws.eks.versions import DEFAULT_VERSION, VERSIONS
from meshctl.lab.aws.errors import ApiError
from meshctl.lab.aws.iam.credentials import principal
from meshctl.lab.aws.quotas import CLUSTERS

CREATE_S = 1.5
PUBLIC_NETWORKS = 40  # that may reach an API server; not raised on request ("Amazon EKS service quotas")
SUBNET_ADDRESSES = 6  # that EKS wants free in each subnet of a cluster ("VPC and subnet requirements")
AUTHENTICATION_MODES = ("CONFIG_MAP", "API_AND_CONFIG_MAP", "API")
# Nobody listens on the port "discard": nothing of the lab is inside a VPC. AWS gives the name an address of the VPC.
INSIDE_THE_VPC = "https://127.0.0.1:9"
LOG_TYPES = ("api", "audit", "authenticator", "controllerManager", "scheduler")


class Clusters(Base):
    def __init__(self, *arguments: Any) -> None:
        self.late_logs = LateLogs()
        super().__init__(*arguments)

    def settle(self) -> None:
        super().settle()
        self.late_logs.settle()

    def create_cluster(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        self.settle()
        name = given["name"]
        if name in self.clusters:
            raise ApiError("ResourceInUseException", f"Cluster already exists with name: {name}", clusterName=name)
        role = require_role(given["roleArn"])
        version = given.get("version", DEFAULT_VERSION)
        if version not in VERSIONS:
            raise ApiError(
                "InvalidParameterException",
                f"unsupported Kubernetes version {version}",
                clusterName=name,
                rule=rules.KUBERNETES_VERSION,
            )
        in_region = sum(cluster.region == call.region for cluster in self.clusters.values())
        if in_region >= self.quotas.value(CLUSTERS):
            raise ApiError(
                "ResourceLimitExceededException",
                "The account has as many clusters as it may have",
                clusterName=name,
                rule=rules.CLUSTER_QUOTA,
            )
        network = _network(call.region, given["resourcesVpcConfig"])
        _require_zones(call.region, name, network["subnetIds"])
        failing = self._creation_issue(call, network["subnetIds"])
        network["clusterSecurityGroupId"] = _security_group(call.region, name, network["vpcId"])
        described = _describe(call.region, given, version, network)
        taken = {cluster.control_plane for cluster in self.clusters.values()}
        plane_name, plane = self.planes.take(name, call.region, taken)
        ready_at = time.monotonic() + CREATE_S
        cluster = Cluster(described, call.region, plane_name, plane, ready_at, failing)
        # EKS acts with the role in its own region (IAM API reference, RoleLastUsed)
        role.last_used, role.last_used_region = utcnow(), call.region
        self._admit_creator(call, cluster)
        self.late_logs.begin(call.region, described)
        self.clusters[name] = cluster
        self.write()
        return {"cluster": described}

    def _creation_issue(self, call: Call, subnet_ids: list[str]) -> dict[str, Any] | None:
        """Why a new cluster is going to fail: what is on order, or a subnet without room for its control plane."""
        subnets = subnets_of(call.region, subnet_ids)
        full = [subnet.id for subnet in subnets if self.free_addresses(subnet) < SUBNET_ADDRESSES]
        if not full:
            return self.failing("CreateCluster")
        message = f"The subnet(s) {', '.join(full)} must have at least {SUBNET_ADDRESSES} free IP addresses"
        log_later("CreateCluster", rules.CLUSTER_ADDRESSES, message)
        return {"code": "InsufficientFreeAddresses", "message": message, "resourceIds": full}

    def describe_cluster(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        return {"cluster": seen_from_outside(self.cluster(call, given["name"]).described)}

    def list_clusters(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        self.settle()
        return {"clusters": [name for name, cluster in self.clusters.items() if cluster.region == call.region]}

    def delete_cluster(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        cluster = self.cluster(call, given["name"])
        if cluster.nodegroups:
            raise ApiError(
                "ResourceInUseException", "Cluster has nodegroups attached", clusterName=cluster.described["name"]
            )
        if cluster.described["status"] == "CREATING":
            raise ApiError("ResourceInUseException", "Cluster is being created", clusterName=given["name"])
        if cluster.described.get("deletionProtection"):
            raise ApiError("InvalidRequestException", "Cluster has deletion protection enabled")
        if cluster.described["status"] != "DELETING":
            cluster.described["status"] = "DELETING"
            cluster.changes_at = soon()
            cluster.ending = self.planes.give_back(cluster.control_plane)
            self.late_logs.end(call.region, cluster.described)
        self.write()
        return {"cluster": cluster.described}

    def free(self, cluster: Cluster) -> None:
        """The cluster's security group goes with it."""
        ec2 = backend_of(cluster.region)
        group = cluster.described["resourcesVpcConfig"]["clusterSecurityGroupId"]
        try:
            ec2.delete_security_group(group_id=group)
        except EC2ClientError:  # deleted by its owner meanwhile
            return
        ec2.tags.pop(group, None)

    # ---- updates -----------------------------------------------------------------------------------------------------

    def update_cluster_version(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        cluster = self.active(call, given["name"])
        old, new = cluster.described["version"], given["version"]
        if old == new:
            raise ApiError("InvalidParameterException", "Cluster is already at the desired configuration")
        if new not in VERSIONS or int(new[2:]) != int(old[2:]) + 1:
            raise ApiError(
                "InvalidParameterException",
                f"Unsupported Kubernetes minor version update from {old} to {new}",
                rule=rules.KUBERNETES_VERSION,
            )
        update = self.start_update(cluster, "VersionUpdate", {"Version": new}, operation="UpdateClusterVersion")
        if cluster.updates[update["id"]].failed is None:
            cluster.described["version"] = new
        return {"update": update}

    def update_cluster_config(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        cluster = self.active(call, given["name"])
        requested = {key: value for key, value in given.items() if key not in ("name", "clientRequestToken")}
        if len(requested) != 1:
            raise ApiError("InvalidParameterException", "Only one type of update can be allowed")
        key, value = next(iter(requested.items()))
        kind = "VpcConfigUpdate" if key == "resourcesVpcConfig" else f"{key[0].upper()}{key[1:]}Update"
        live = cluster.described.get(key) or {}
        if key == "accessConfig":
            _refuse_mode(live["authenticationMode"], value.get("authenticationMode"))
        if key == "resourcesVpcConfig":
            new: Any = {**live, **_changed_network(call.region, live, value)}
        elif key == "logging":
            new = _logging(value, live)
        else:
            new = {**live, **value} if isinstance(value, dict) else value
        if new == live:
            raise ApiError("InvalidParameterException", f"No changes needed for the {key} config provided")
        update = self.start_update(cluster, kind, {key: value}, operation="UpdateClusterConfig")
        if cluster.updates[update["id"]].failed is None:
            cluster.described[key] = new
        return {"update": update}

    def describe_update(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        cluster = self.cluster(call, given["name"])
        update = cluster.updates.get(given["updateId"])
        if update is None:
            raise ApiError("ResourceNotFoundException", f"No update found for ID: {given['updateId']}")
        return {"update": update.described}

    def list_updates(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        cluster = self.cluster(call, given["name"])
        kinds = {"nodegroup": given.get("nodegroupName"), "addon": given.get("addonName")}
        owner = next((f"{kind}/{name}" for kind, name in kinds.items() if name), "")
        return {"updateIds": [id for id, update in cluster.updates.items() if update.owner == owner]}  # noqa: A001

    def _admit_creator(self, call: Call, cluster: Cluster) -> None:
        config = cluster.described["accessConfig"]
        if not config["bootstrapClusterCreatorAdminPermissions"]:
            return
        entry = new_entry(cluster, principal(call.access_key), {})
        creator = AccessEntry(entry, call.access_key, {ADMIN_POLICY: _admin()})
        cluster.creator = creator
        if config["authenticationMode"] != "CONFIG_MAP":
            cluster.entries[entry["principalArn"]] = creator


def seen_from_outside(described: dict[str, Any]) -> dict[str, Any]:
    """The cluster; the endpoint of a private one does not answer outside its VPC ("Cluster API server endpoint", EKS
    user guide)."""
    is_private = "endpoint" in described and not described["resourcesVpcConfig"]["endpointPublicAccess"]
    return {**described, "endpoint": INSIDE_THE_VPC} if is_private else described


def _admin() -> dict[str, Any]:
    scope = {"type": "cluster", "namespaces": []}
    return {"policyArn": ADMIN_POLICY, "accessScope": scope, "associatedAt": now(), "modifiedAt": now()}


def require_role(role_arn: str) -> Any:
    """The role as moto has it. Raises: ApiError, as EKS does when it can't assume the role."""
    for role in iam_backends[DEFAULT_ACCOUNT_ID]["aws"].roles.values():
        if role.arn == role_arn:
            return role
    raise ApiError(
        "InvalidParameterException",
        f"Role with arn: {role_arn}, could not be assumed because it does not exist or"
        " the trusted entity is not correct",
    )


def subnets_of(region: str, ids: list[str]) -> list[Any]:
    """Raises: ApiError when one doesn't exist."""
    subnets_by_id = {id: subnet for zone in backend_of(region).subnets.values() for id, subnet in zone.items()}  # noqa: A001
    for id in ids:  # noqa: A001
        if id not in subnets_by_id:
            raise ApiError("InvalidParameterException", f"The subnet ID '{id}' does not exist")
    return [subnets_by_id[id] for id in ids]  # noqa: A001


def zones_of(region: str, ids: list[str]) -> set[str]:
    return {subnet.availability_zone for subnet in subnets_of(region, ids)}


def _network(region: str, given: dict[str, Any]) -> dict[str, Any]:
    subnets = subnets_of(region, given.get("subnetIds", []))
    if len({subnet.availability_zone for subnet in subnets}) < 2:
        raise ApiError(
            "InvalidParameterException",
            "Subnets specified must be in at least two different AZs",
            status=400,
            rule=rules.CLUSTER_ZONES,
        )
    if len({subnet.vpc_id for subnet in subnets}) != 1:
        raise ApiError("InvalidParameterException", "Subnets specified must be in the same VPC")
    _require_groups(region, given.get("securityGroupIds", []))
    networks = given.get("publicAccessCidrs", ["0.0.0.0/0"])
    if len(networks) > PUBLIC_NETWORKS:
        raise ApiError(
            "ResourceLimitExceededException",
            f"The maximum number of public access CIDRs is {PUBLIC_NETWORKS}, and {len(networks)} were given",
            rule=rules.PUBLIC_NETWORKS,
        )
    return {
        "subnetIds": given["subnetIds"],
        "securityGroupIds": given.get("securityGroupIds", []),
        "vpcId": subnets[0].vpc_id,
        "endpointPublicAccess": given.get("endpointPublicAccess", True),
        "endpointPrivateAccess": given.get("endpointPrivateAccess", False),
        "publicAccessCidrs": networks,
    }


def _require_zones(region: str, cluster: str, subnet_ids: list[str]) -> None:
    """Raises: ApiError where a subnet lies in a zone that has no control planes."""
    with_eks = zones_with_eks(region)
    without = sorted(zones_of(region, subnet_ids) - set(with_eks))
    if without:
        raise ApiError(
            "UnsupportedAvailabilityZoneException",
            f"Cannot create cluster '{cluster}' because {without[0]}, the targeted availability zone, does not"
            " currently have sufficient capacity to support the cluster. Retry and choose from these availability"
            f" zones: {', '.join(with_eks)}",
            rule=rules.CONTROL_PLANE_ZONES,
            clusterName=cluster,
            validZones=with_eks,
        )


def _changed_network(region: str, live: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    requested = {**live, **given}
    before, after = (zones_of(region, each["subnetIds"]) for each in (live, requested))
    if before != after:
        raise ApiError(
            "InvalidParameterException",
            f"Provided subnets must be in the AZs that the cluster was created with: {', '.join(sorted(before))}",
        )
    return {key: value for key, value in _network(region, requested).items() if key in given}


def _require_groups(region: str, ids: list[str]) -> None:
    for id in ids:  # noqa: A001
        if backend_of(region).get_security_group_from_id(id) is None:
            raise ApiError("InvalidParameterException", f"The security group '{id}' does not exist")


def _security_group(region: str, cluster: str, vpc_id: str) -> str:
    """The cluster's own group: all traffic between its members."""
    ec2 = backend_of(region)
    name = f"eks-cluster-sg-{cluster}-{secrets.randbelow(10**9):09d}"
    tags = {"Name": name, "aws:eks:cluster-name": cluster, f"kubernetes.io/cluster/{cluster}": "owned"}
    text = "EKS created security group applied to ENI that is attached to EKS Control Plane master nodes"
    group = ec2.create_security_group(name, f"{text}, as well as any managed workloads.", vpc_id=vpc_id, tags=tags)
    ec2.authorize_security_group_ingress(
        group.id, "-1", None, None, [], source_groups=[{"GroupId": group.id}], vpc_id=vpc_id
    )
    return str(group.id)


def _refuse_mode(live: str, requested: str | None) -> None:
    """EKS goes from one mode to the next, one step at a time and never back ("Managing cluster access" in the EKS
    workshop), with these words (pulumi/pulumi-eks issue 1493). Raises: ApiError."""
    if requested is not None and AUTHENTICATION_MODES.index(requested) != AUTHENTICATION_MODES.index(live) + 1:
        message = f"Unsupported authentication mode update from {live} to {requested}"
        raise ApiError("InvalidParameterException", message)


def _logging(given: dict[str, Any], live: dict[str, Any]) -> dict[str, Any]:
    on = {kind for setup in live.get("clusterLogging", []) if setup["enabled"] for kind in setup["types"]}
    for setup in given.get("clusterLogging", []):
        kinds = set(setup.get("types", []))
        on = on | kinds if setup.get("enabled") else on - kinds
    log_types = [
        {"types": [kind for kind in LOG_TYPES if kind in on], "enabled": True},
        {"types": [kind for kind in LOG_TYPES if kind not in on], "enabled": False},
    ]
    return {"clusterLogging": [setup for setup in log_types if setup["types"]]}


def _describe(region: str, given: dict[str, Any], version: str, network: dict[str, Any]) -> dict[str, Any]:
    name = given["name"]
    access = given.get("accessConfig", {})
    kubernetes = given.get("kubernetesNetworkConfig", {})
    optional = ("encryptionConfig", "deletionProtection", "zonalShiftConfig", "computeConfig", "storageConfig")
    return {
        "name": name,
        "arn": arn(region, f"cluster/{name}"),
        "createdAt": now(),
        "version": version,
        "roleArn": given["roleArn"],
        "resourcesVpcConfig": network,
        "kubernetesNetworkConfig": {"serviceIpv4Cidr": "172.20.0.0/16", "ipFamily": "ipv4", **kubernetes},
        "logging": _logging(given.get("logging", {}), {}),
        "identity": {"oidc": {"issuer": f"https://oidc.eks.{region}.amazonaws.com/id/{secrets.token_hex(16).upper()}"}},
        "status": "CREATING",
        "platformVersion": "eks.1",
        "tags": given.get("tags", {}),
        "health": {"issues": []},
        "accessConfig": {
            "authenticationMode": access.get("authenticationMode", "CONFIG_MAP"),
            "bootstrapClusterCreatorAdminPermissions": access.get("bootstrapClusterCreatorAdminPermissions", True),
        },
        "upgradePolicy": given.get("upgradePolicy", {"supportType": "EXTENDED"}),
        **{key: given[key] for key in optional if key in given},
    }
