"""The Auto Scaling groups of EKS' node groups, to look at. EDGE.

moto answers everything else of the service. Source: EC2 Auto Scaling API reference, DescribeAutoScalingGroups.
"""

from __future__ import annotations

from typing import Any, ClassVar

from meshctl.lab.aws.call import Call
from meshctl.lab.aws.eks import Eks
from meshctl.lab.aws.service import Service


class AutoScaling(Service):
    name: ClassVar[str] = "autoscaling"
    invalid: ClassVar[str] = "ValidationError"
    replaces_moto: ClassVar[bool] = False

    def __init__(self, eks: Eks) -> None:
        self.eks = eks

    def describe_auto_scaling_groups(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        """Those that are named, or all. A name that no group has is no error."""
        names = given.get("AutoScalingGroupNames", [])
        groups = [
            group
            for group in self.eks.auto_scaling_groups(call.region)
            if not names or group["AutoScalingGroupName"] in names
        ]
        return {"AutoScalingGroups": groups}
