"""What an Auto Scaling group does for a managed node group: it starts the instances that are missing, again and again,
and ends those that are too many. EDGE.

A part of the EKS service. `ROOT/capacity.json` says how many machines EC2 has of a type, {"m6i.xlarge": 2}, those that
run among them; types that are not in it are never scarce. It may change while the lab runs. Source: "Set
scaling limits for your Auto Scaling group", EC2 Auto Scaling user guide; containers-roadmap issue 2326.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from meshctl.lab.aws.ec2 import instance_types, instances
from meshctl.lab.aws.ec2.ec2 import backend_of
from meshctl.lab.aws.ec2.reservations import BLOCK
from meshctl.lab.aws.eks import launches, node_instances, nodegroup_state
from meshctl.lab.aws.eks.clusters import subnets_of
from meshctl.lab.aws.eks.launch_rules import Issue, Launch
from meshctl.lab.aws.eks.launches import Room
from meshctl.lab.aws.eks.nodegroup_state import Nodegroup
from meshctl.lab.aws.eks.state import Base, log_later
from meshctl.lab.aws.errors import ApiError
from meshctl.lab.aws.iam.service_roles import has_spot_role
from meshctl.lab.state import read_json

CAPACITY: Final = "capacity.json"
_SETTLED: Final = ("CREATE_FAILED", "DELETING", "DELETE_FAILED")  # nothing is started any more


class Launching(Base):
    def settle(self) -> None:
        for cluster in self.clusters.values():
            for nodegroup in cluster.nodegroups.values():
                self.bring_to_size(cluster.region, nodegroup)
        super().settle()

    def bring_to_size(self, region: str, nodegroup: Nodegroup) -> None:
        """Starts what is missing, as far as there is room, and ends what is too much, the newest first."""
        if nodegroup.described["status"] in _SETTLED or nodegroup.lost or nodegroup.is_refused:
            return
        desired = int(nodegroup.described["scalingConfig"]["desiredSize"])
        missing = desired - len(nodegroup.nodes)
        if missing <= 0:
            nodegroup_state.shrink(nodegroup, desired)
            return
        started, issue = self.start(replace(launch_of(region, nodegroup), nodes=missing), nodegroup)
        if nodegroup_state.grow(nodegroup, started, issue) and issue is not None:
            operation = "CreateNodegroup" if nodegroup.described["status"] == "CREATING" else "UpdateNodegroupConfig"
            log_later(operation, issue.rule, issue.message)

    def start(self, launch: Launch, nodegroup: Nodegroup) -> tuple[list[str], Issue | None]:
        """The types of the instances that start, and why no more do."""
        try:
            subnets = subnets_of(launch.region, nodegroup.described["subnets"])
        except ApiError:  # somebody has deleted one: those that are left
            subnets = []
        return launches.start(launch, self._room(launch.region, sum(self.free_addresses(each) for each in subnets)))

    def _room(self, region: str, free_addresses: int) -> Room:
        groups = list(self._nodegroups(region))
        running = Counter(machine for group in groups for machine in group.nodes)
        reservations = self._reservations(region, groups)
        capacity: dict[str, int] = read_json(self.root / CAPACITY)
        security_groups = (each for by_id in backend_of(region).groups.values() for each in by_id.values())
        return Room(
            security_groups=frozenset(each.id for each in security_groups),
            free_addresses=free_addresses,
            reservations=reservations,
            vcpus=self._vcpus_in_use(region, reservations),
            quota=lambda code: self.quotas.value(code) if code else math.inf,
            machines={machine: count - running[machine] for machine, count in capacity.items()},
            has_spot_role=has_spot_role(),
        )

    def instances(self, region: str) -> list[dict[str, Any]]:
        """The nodes of the region's node groups, as EC2 describes instances."""
        return [
            instance
            for name, cluster in self.clusters.items()
            if cluster.region == region
            for group in cluster.nodegroups.values()
            for instance in node_instances.of(name, group)
        ]

    def _vcpus_in_use(self, region: str, reservations: Mapping[str, Mapping[str, Any]]) -> Counter[str]:
        """By the code of their quota: those of instances that run, and those that reservations on demand have free."""
        vcpus: Counter[str] = Counter()
        for instance in (*instances.own(region), *self.instances(region)):
            vcpus[instances.quota(instance)] += instances.vcpus(instance)
        for each in reservations.values():
            if each["ReservationType"] != BLOCK and each["State"] == "active":
                machine = each["InstanceType"]
                free = max(each["AvailableInstanceCount"], 0)
                vcpus[instance_types.vcpu_quota(machine)] += free * instance_types.vcpus(machine)
        return vcpus

    def _nodegroups(self, region: str) -> Iterator[Nodegroup]:
        for cluster in self.clusters.values():
            if cluster.region == region:
                yield from cluster.nodegroups.values()

    def _reservations(self, region: str, groups: list[Nodegroup]) -> dict[str, dict[str, Any]]:
        """The capacity reservations of the region by id, with what the node groups have left of them."""
        used: Counter[str] = Counter()
        for group in groups:
            used[launch_of(region, group).reservation_id] += len(group.nodes)
        return {
            name: {**reservation, "AvailableInstanceCount": reservation["TotalInstanceCount"] - used[name]}
            for name, reservation in self.ec2.reservations_of(region).items()
        }

    def auto_scaling_groups(self, region: str) -> Iterator[dict[str, Any]]:
        """As DescribeAutoScalingGroups has them (EC2 Auto Scaling API reference)."""
        for nodegroup in self._nodegroups(region):
            described = nodegroup.described
            for group in described.get("resources", {}).get("autoScalingGroups", []):
                yield _auto_scaling_group(group["name"], described["clusterName"], nodegroup)


def _auto_scaling_group(name: str, cluster: str, nodegroup: Nodegroup) -> dict[str, Any]:
    scaling = nodegroup.described["scalingConfig"]
    members = [
        {
            "InstanceId": each["InstanceId"],
            "InstanceType": each["InstanceType"],
            "AvailabilityZone": each["Placement"]["AvailabilityZone"],
            "LifecycleState": "InService",
            "HealthStatus": "Healthy",
            "ProtectedFromScaleIn": False,
        }
        for each in node_instances.of(cluster, nodegroup)
    ]
    return {
        "AutoScalingGroupName": name,
        "MinSize": scaling["minSize"],
        "MaxSize": scaling["maxSize"],
        "DesiredCapacity": scaling["desiredSize"],
        "DefaultCooldown": 300,
        "AvailabilityZones": nodegroup.zones,
        "HealthCheckType": "EC2",
        "CreatedTime": nodegroup.described["createdAt"],
        "VPCZoneIdentifier": ",".join(nodegroup.described["subnets"]),
        "Instances": members,
    }


def launch_of(region: str, nodegroup: Nodegroup) -> Launch:
    """What the node group launches: as many as it is to have."""
    described, template = nodegroup.described, nodegroup.template
    return Launch(
        region=region,
        types=tuple(described["instanceTypes"] or [template.get("InstanceType", "t3.medium")]),
        zones=tuple(nodegroup.zones),
        nodes=int(described["scalingConfig"]["desiredSize"]),
        template=template,
        ami_type=described["amiType"],
        spot=described["capacityType"] == "SPOT",
    )
