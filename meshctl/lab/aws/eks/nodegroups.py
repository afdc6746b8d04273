"""EKS managed node groups. Served through `Eks`; the lab's node controller makes and removes the nodes. EDGE."""

from __future__ import annotations

import uuid
from typing import Any

from meshctl.lab.aws import rules
from meshctl.lab.aws.call import Call
from meshctl.lab.aws.eks import launch_rules, newer, nodegroup_state, rollout
from meshctl.lab.aws.eks.clusters import require_role, subnets_of
from meshctl.lab.aws.eks.launch_rules import Issue
from meshctl.lab.aws.eks.launching import Launching, launch_of
from meshctl.lab.aws.eks.nodegroup_state import Nodegroup
from meshctl.lab.aws.eks.state import Cluster, arn, log_later, now, soon
from meshctl.lab.aws.errors import ApiError
from meshctl.lab.aws.faults import NO_CAPACITY
from meshctl.lab.aws.launches import launch_template
from meshctl.lab.aws.quotas import NODE_GROUPS, NODES
from meshctl.lab.state import read_json

_NO_ROOM = "Couldn't proceed with upgrade process as new nodes are not joining node group"
DEFAULT_SCALING = {"minSize": 1, "maxSize": 2, "desiredSize": 2}


class Nodegroups(Launching):
    def create_nodegroup(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        cluster = self.active(call, given["clusterName"])
        self._refuse_another(cluster, given["clusterName"], given["nodegroupName"])
        self._check_nodes(given.get("scalingConfig", {}), "ResourceLimitExceededException")
        require_role(given["nodeRole"])
        subnets = subnets_of(call.region, given["subnets"])
        if {subnet.vpc_id for subnet in subnets} != {cluster.described["resourcesVpcConfig"]["vpcId"]}:
            raise ApiError("InvalidParameterException", "The node group's subnets must be in the cluster's VPC")
        chosen, template = launch_template(call.region, given.get("launchTemplate"))
        types = given.get("instanceTypes", [])
        if types and template.get("InstanceType"):
            raise ApiError(
                "InvalidRequestException",
                "Cannot specify instance types in launch template and API request",
                rule=rules.TYPES_TWICE,
            )
        described = _describe(call.region, cluster, given, template)
        described["releaseVersion"] = self._release(given, described["version"], described["version"])
        described |= {"launchTemplate": chosen} if chosen else {}
        zones = sorted({str(subnet.availability_zone) for subnet in subnets})
        nodegroup = Nodegroup(described, zones, template, changes_at=soon())
        launch_rules.refuse(launch_of(call.region, nodegroup))
        self._begin(call, nodegroup)
        cluster.nodegroups[given["nodegroupName"]] = nodegroup
        self.write()
        return {"nodegroup": described}

    def _refuse_another(self, cluster: Cluster, cluster_name: str, name: str) -> None:
        """Raises: ApiError where the name is taken, or the cluster has as many as it may have."""
        if name in cluster.nodegroups:
            raise ApiError(
                "ResourceInUseException",
                f"NodeGroup already exists with name {name} and cluster name {cluster_name}",
                nodegroupName=name,
            )
        if len(cluster.nodegroups) >= self.quotas.value(NODE_GROUPS):
            raise ApiError(
                "ResourceLimitExceededException",
                f"The cluster {cluster_name} has as many node groups as it may have",
                clusterName=cluster_name,
                nodegroupName=name,
                rule=rules.NODE_GROUP_QUOTA,
            )

    def _check_nodes(self, scaling: dict[str, int], code: str) -> None:
        """Raises: ApiError with this code, since UpdateNodegroupConfig has another one than CreateNodegroup."""
        if scaling.get("maxSize", 0) > self.quotas.value(NODES):
            raise ApiError(
                code,
                f"maxSize {scaling['maxSize']} is more than the {self.quotas.value(NODES):g} nodes that a node group"
                " may have",
                rule=rules.NODES_QUOTA,
            )

    def _begin(self, call: Call, nodegroup: Nodegroup) -> None:
        """Starts the instances of a new group, unless it is on order that none starts."""
        launch = launch_of(call.region, nodegroup)
        fault = self.faults.take("eks", "CreateNodegroup", later=True)
        if fault is None:
            started, issue = self.start(launch, nodegroup)
        else:
            no_capacity = fault.error == NO_CAPACITY
            ordered = Issue(fault.error, fault.message, rules.ON_ORDER)
            started, issue = [], launch_rules.no_capacity(launch) if no_capacity else ordered
            nodegroup.is_refused = True
        nodegroup_state.grow(nodegroup, started, issue)
        if issue is not None:
            log_later(call.operation, issue.rule, issue.message)

    def describe_nodegroup(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        return {
            "nodegroup": self._nodegroup(self.cluster(call, given["clusterName"]), given["nodegroupName"]).described
        }

    def list_nodegroups(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        return {"nodegroups": list(self.cluster(call, given["clusterName"]).nodegroups)}

    def delete_nodegroup(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        nodegroup = self._nodegroup(self.cluster(call, given["clusterName"]), given["nodegroupName"])
        nodegroup.described["status"] = "DELETING"
        nodegroup.changes_at = soon()
        self.write()
        return {"nodegroup": nodegroup.described}

    def update_nodegroup_config(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        cluster, name = self.active(call, given["clusterName"]), given["nodegroupName"]
        nodegroup = self._changeable(cluster, name)
        scaling = {**nodegroup.described["scalingConfig"], **given.get("scalingConfig", {})}
        _check_scaling(scaling)
        self._check_nodes(scaling, "InvalidParameterException")
        labels = _labels(nodegroup.described["labels"], given.get("labels", {}))
        taints = _taints(nodegroup.described["taints"], given.get("taints", {}))
        more: dict[str, Any] = {key: given[key] for key in ("updateConfig", "nodeRepairConfig") if key in given}
        params = {"DesiredSize": str(scaling["desiredSize"]), "MinSize": str(scaling["minSize"])}
        update = self.start_update(
            cluster,
            "ConfigUpdate",
            {**params, "MaxSize": str(scaling["maxSize"])},
            operation="UpdateNodegroupConfig",
            owner=f"nodegroup/{name}",
            done=lambda: (
                nodegroup.lost is not None
                or self.ready_nodes().get(f"{given['clusterName']}/{name}", 0) == len(nodegroup.nodes)
            ),
        )
        if cluster.updates[update["id"]].failed is None:
            changed = {"scalingConfig": scaling, "labels": labels, "taints": taints, "modifiedAt": now()}
            nodegroup.described |= {**changed, **more}
            self.bring_to_size(call.region, nodegroup)
        self.write()
        return {"update": update}

    def update_nodegroup_version(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        cluster, name = self.active(call, given["clusterName"]), given["nodegroupName"]
        nodegroup = self._changeable(cluster, name)
        chosen, template = launch_template(call.region, given.get("launchTemplate"))
        own = nodegroup.described["version"]
        version = given.get("version", own)  # without one, only the image is renewed
        _check_version(version, cluster.described["version"], own)
        release = self._release(given, version, nodegroup.described["releaseVersion"])
        params = {"Version": version, "ReleaseVersion": release}
        if chosen:
            params["LaunchTemplateVersion"] = chosen["version"]
        update = self.start_update(
            cluster,
            "VersionUpdate",
            params,
            operation="UpdateNodegroupVersion",
            owner=f"nodegroup/{name}",
            lasts_s=self._replacement_s(nodegroup),
        )
        if nodegroup.described["capacityType"] == "CAPACITY_BLOCK" and _desired(nodegroup):
            cluster.updates[update["id"]].failed = {"code": "NodeCreationFailure", "message": _NO_ROOM}
            log_later(call.operation, rules.BLOCK_UPDATE, _NO_ROOM)
        if cluster.updates[update["id"]].failed is None:
            nodegroup.described |= {"version": version, "modifiedAt": now(), "releaseVersion": release}
            if chosen:
                nodegroup.described["launchTemplate"], nodegroup.template = chosen, template
                named = template.get("InstanceType")
                nodegroup.nodes = [named] * len(nodegroup.nodes) if named else nodegroup.nodes
        self.write()
        return {"update": update}

    def _release(self, given: dict[str, Any], version: str, running: str) -> str:
        """The release of the image that is asked for, else the newest. Raises: ApiError for one that does not exist."""
        release = str(given.get("releaseVersion") or newer.image_release(self.root, version))
        if release != running and not newer.is_image_release(self.root, release, version):
            raise ApiError(
                "InvalidParameterException",
                f"Requested release version {release} is not valid for kubernetes version {version}.",
                rule=rules.IMAGE_RELEASE,
            )
        return release

    def _replacement_s(self, nodegroup: Nodegroup) -> float:
        """`account.json` may say how long a batch takes: {"batchS": 60}."""
        nodes = _desired(nodegroup)
        batch_s = float(read_json(self.root / "account.json").get("batchS", rollout.BATCH_S))
        return batch_s * rollout.batches(nodes, nodegroup.described["updateConfig"])

    def _changeable(self, cluster: Cluster, name: str) -> Nodegroup:
        nodegroup = self._nodegroup(cluster, name)
        if nodegroup.described["status"] not in ("ACTIVE", "DEGRADED", "UPDATING"):
            raise ApiError(
                "ResourceInUseException",
                f"Nodegroup cannot be updated as it is currently not in Active State: {nodegroup.described['status']}",
                nodegroupName=name,
            )
        return nodegroup

    def _nodegroup(self, cluster: Cluster, name: str) -> Nodegroup:
        nodegroup = cluster.nodegroups.get(name)
        if nodegroup is None:
            raise ApiError("ResourceNotFoundException", f"No node group found for name: {name}.", nodegroupName=name)
        return nodegroup


def _desired(nodegroup: Nodegroup) -> int:
    return int(nodegroup.described["scalingConfig"]["desiredSize"])


def _check_version(version: str, cluster: str, own: str) -> None:
    """Nodes follow the control plane: to its version, or stay. Raises: ApiError."""
    if version not in (cluster, own):
        raise ApiError(
            "InvalidParameterException",
            f"Nodegroup Kubernetes version should be equal to Cluster kubernetes version {cluster}"
            f" or NodeGroup kubernetes version {own}",
            rule=rules.NODE_VERSION,
        )


def _describe(region: str, cluster: Cluster, given: dict[str, Any], template: dict[str, Any]) -> dict[str, Any]:
    scaling = {**DEFAULT_SCALING, **given.get("scalingConfig", {})}
    _check_scaling(scaling)
    name, id = given["nodegroupName"], uuid.uuid4()  # noqa: A001
    version = given.get("version", cluster.described["version"])
    types = given.get("instanceTypes") or ([] if template.get("InstanceType") else ["t3.medium"])
    described = {
        "nodegroupName": name,
        "nodegroupArn": arn(region, f"nodegroup/{given['clusterName']}/{name}/{id}"),
        "clusterName": given["clusterName"],
        "version": version,
        "createdAt": now(),
        "modifiedAt": now(),
        "status": "CREATING",
        "capacityType": given.get("capacityType", "ON_DEMAND"),
        "scalingConfig": scaling,
        "instanceTypes": types,
        "subnets": given["subnets"],
        "amiType": "CUSTOM" if template.get("ImageId") else given.get("amiType", "AL2023_x86_64_STANDARD"),
        "nodeRole": given["nodeRole"],
        "labels": given.get("labels", {}),
        "taints": given.get("taints", []),
        "resources": {"autoScalingGroups": [{"name": f"eks-{name}-{id}"}]},
        "health": {"issues": []},
        "updateConfig": given.get("updateConfig", {"maxUnavailable": 1}),
        "tags": given.get("tags", {}),
    }
    described |= {key: given[key] for key in ("nodeRepairConfig", "remoteAccess") if key in given}
    if not given.get("launchTemplate"):
        described["diskSize"] = given.get("diskSize", 20)
    return described


def _check_scaling(scaling: dict[str, int]) -> None:
    least, most, desired = scaling["minSize"], scaling["maxSize"], scaling["desiredSize"]
    if not least <= desired <= most:
        raise ApiError(
            "InvalidParameterException",
            f"Minimum capacity {least} can't be greater than desired size {desired}, nor that than maximum {most}",
        )


def _labels(live: dict[str, str], given: dict[str, Any]) -> dict[str, str]:
    remaining = {key: value for key, value in live.items() if key not in given.get("removeLabels", [])}
    return {**remaining, **given.get("addOrUpdateLabels", {})}


def _taints(live: list[dict[str, str]], given: dict[str, Any]) -> list[dict[str, str]]:
    changed = given.get("addOrUpdateTaints", [])
    gone = {(taint.get("key"), taint.get("effect")) for taint in [*given.get("removeTaints", []), *changed]}
    return [*(taint for taint in live if (taint.get("key"), taint.get("effect")) not in gone), *changed]
