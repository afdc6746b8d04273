"""The nodes of a managed node group as EC2 describes instances. PURE.

Called by `nodegroups`. The lab's nodes are no instances: these are counted and looked at, and nothing runs in them.
Source of the tags: "Tag your Amazon EKS resources" and "Launch templates" of the EKS user guide; those of Auto Scaling
begin with `aws:autoscaling:`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from meshctl.lab.aws.ec2 import instances
from meshctl.lab.aws.eks.nodegroup_state import Nodegroup

_LIFECYCLES = {"SPOT": "spot", "CAPACITY_BLOCK": "capacity-block"}


def of(cluster: str, nodegroup: Nodegroup) -> Iterator[dict[str, Any]]:
    """None where they do not launch, or were taken back."""
    described = nodegroup.described
    name = described["nodegroupName"]
    lifecycle = _LIFECYCLES.get(described["capacityType"], "")
    subnets = described["subnets"]
    for number, machine in enumerate(nodegroup.nodes):
        digest = hashlib.sha256(f"{described['nodegroupArn']}/{number}".encode()).hexdigest()
        place = {"AvailabilityZone": nodegroup.zones[number % len(nodegroup.zones)], "Tenancy": "default"}
        yield {
            **instances.described(f"i-0{digest[:16]}", machine, place, _tags(cluster, name, nodegroup)),
            "LaunchTime": described["createdAt"],
            "SubnetId": subnets[number % len(subnets)],
            **({"InstanceLifecycle": lifecycle} if lifecycle else {}),
        }


def _tags(cluster: str, name: str, nodegroup: Nodegroup) -> list[dict[str, str]]:
    [group] = nodegroup.described["resources"]["autoScalingGroups"]
    own = {
        "aws:autoscaling:groupName": group["name"],
        "eks:cluster-name": cluster,
        "eks:nodegroup-name": name,
        f"kubernetes.io/cluster/{cluster}": "owned",
    }
    for specification in nodegroup.template.get("TagSpecifications") or ():
        if specification["ResourceType"] == "instance":
            own |= {each["Key"]: each["Value"] for each in specification.get("Tags") or specification.get("Tag") or ()}
    return [{"Key": key, "Value": value} for key, value in own.items()]
