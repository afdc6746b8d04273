"""Node groups that grow, or begin, beyond what the account or EC2 has: what starts is there, and the rest is told.

Sources: `meshctl.lab.aws.rules`; of the issues eksctl issue 4732, of the state that stays containers-roadmap issue
2326.
"""

from __future__ import annotations

import json
from typing import Any

from tests.integration.lab_aws_server import Aws, make_cluster
from tests.waiting import wait_until

STANDARD = "L-1216C47A"
NAMES = {"clusterName": "c1", "nodegroupName": "web"}


def make(aws: Aws, network: dict[str, Any], desired: int, *types: str, **more: Any) -> None:
    scaling = {"minSize": 0, "maxSize": 20, "desiredSize": desired}
    given = {"subnets": network["subnets"], "instanceTypes": list(types or ("m6i.xlarge",)), "scalingConfig": scaling}
    aws.client("eks").create_nodegroup(**NAMES, nodeRole=network["role"], **{**given, **more})


def group(aws: Aws) -> dict[str, Any]:
    described: dict[str, Any] = aws.client("eks").describe_nodegroup(**NAMES)["nodegroup"]
    return described


def launched(aws: Aws) -> dict[str, list[int]]:
    numbers: dict[str, list[int]] = aws.eks_json()["clusters"]["c1"]["nodegroups"]["web"]["launched"]
    return numbers


def in_service(aws: Aws) -> int:
    """As Auto Scaling tells it."""
    [name] = [each["name"] for each in group(aws)["resources"]["autoScalingGroups"]]
    asked = aws.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[name])
    [described] = asked["AutoScalingGroups"]
    return sum(each["LifecycleState"] == "InService" for each in described["Instances"])


def reaches(aws: Aws, status: str) -> None:
    def is_reached() -> bool:
        there = aws.eks_json()["clusters"]["c1"]["nodegroups"]["web"]["desiredSize"]
        aws.nodes(c1__web=there)  # each node that started joins
        return bool(group(aws)["status"] == status)

    wait_until(is_reached)


def scale(aws: Aws, desired: int) -> str:
    """Changes the size, and says how the update ended."""
    eks = aws.client("eks")
    update = eks.update_nodegroup_config(**NAMES, scalingConfig={"desiredSize": desired})["update"]["id"]

    def status() -> str:
        there = aws.eks_json()["clusters"]["c1"]["nodegroups"]["web"]["desiredSize"]
        aws.nodes(c1__web=there)
        return str(eks.describe_update(name="c1", nodegroupName="web", updateId=update)["update"]["status"])

    wait_until(lambda: status() != "InProgress")
    return status()


def capacity(aws: Aws, **machines: int) -> None:
    counts = {machine.replace("_", "."): count for machine, count in machines.items()}
    (aws.root / "capacity.json").write_text(json.dumps(counts))


def set_quota(aws: Aws, vcpus: int) -> None:
    quotas = aws.root / "quotas.json"
    quotas.write_text(json.dumps({**json.loads(quotas.read_text()), STANDARD: vcpus}))


def test_a6_a_group_that_grows_beyond_the_quota_has_the_nodes_that_start_and_is_degraded(aws: Aws) -> None:
    set_quota(aws, 16)  # four of them
    make(aws, make_cluster(aws), 2)
    reaches(aws, "ACTIVE")
    assert scale(aws, 8) == "Successful"
    assert launched(aws) == {"m6i.xlarge": [0, 1, 2, 3]}
    assert in_service(aws) == 4
    assert group(aws)["status"] == "ACTIVE"  # EKS notices it a while later
    reaches(aws, "DEGRADED")
    [issue] = group(aws)["health"]["issues"]
    assert issue["code"] == "AsgInstanceLaunchFailures"
    assert "VcpuLimitExceeded - You have requested more vCPU capacity" in issue["message"]
    assert "your current vCPU limit of 16" in issue["message"]
    assert issue["resourceIds"] == [group(aws)["resources"]["autoScalingGroups"][0]["name"]]
    assert "refused UpdateNodegroupConfig later" in (aws.root / "log").read_text()


def test_a7_a_group_that_could_not_grow_stays_degraded_until_it_has_grown(aws: Aws) -> None:
    """containers-roadmap issue 2326: also after it was made smaller"""
    capacity(aws, m6i_xlarge=2)
    make(aws, make_cluster(aws), 2)
    reaches(aws, "ACTIVE")
    scale(aws, 4)
    reaches(aws, "DEGRADED")
    assert "InsufficientInstanceCapacity" in group(aws)["health"]["issues"][0]["message"]
    assert scale(aws, 1) == "Successful"
    assert (launched(aws), group(aws)["status"]) == ({"m6i.xlarge": [0]}, "DEGRADED")
    assert scale(aws, 2) == "Successful"
    reaches(aws, "ACTIVE")
    assert group(aws)["health"]["issues"] == []


def test_a7_what_was_missing_starts_as_soon_as_there_is_capacity(aws: Aws) -> None:
    capacity(aws, m6i_xlarge=2)
    make(aws, make_cluster(aws), 1)
    reaches(aws, "ACTIVE")
    scale(aws, 3)
    reaches(aws, "DEGRADED")
    assert in_service(aws) == 2
    capacity(aws, m6i_xlarge=3)
    reaches(aws, "ACTIVE")
    assert in_service(aws) == 3


def test_a7_another_type_of_the_group_starts_where_the_first_is_refused(aws: Aws) -> None:
    capacity(aws, m6i_xlarge=1)
    make(aws, make_cluster(aws), 3, "m6i.xlarge", "m7i.xlarge")
    reaches(aws, "ACTIVE")
    assert launched(aws) == {"m6i.xlarge": [0], "m7i.xlarge": [1, 2]}


def test_a5_a_new_group_without_machines_has_two_issues_and_the_nodes_that_started(aws: Aws) -> None:
    capacity(aws, m6i_xlarge=1)
    make(aws, make_cluster(aws), 3)
    reaches(aws, "CREATE_FAILED")
    launch, join = group(aws)["health"]["issues"]
    assert (launch["code"], join["code"]) == ("AsgInstanceLaunchFailures", "NodeCreationFailure")
    assert join["message"] == "Instances failed to join the kubernetes cluster"
    assert len(join["resourceIds"]) == 2
    assert launched(aws) == {"m6i.xlarge": [0]}
    capacity(aws)  # a group that was not made stays so
    assert (group(aws)["status"], in_service(aws)) == ("CREATE_FAILED", 1)


def test_b4_a_group_grows_into_the_addresses_that_are_left(aws: Aws) -> None:
    network, ec2 = make_cluster(aws), aws.client("ec2")
    small = ec2.create_subnet(VpcId=network["vpc"], CidrBlock="10.0.9.0/28", AvailabilityZone="us-east-1a")
    make(aws, network, 2, subnets=[small["Subnet"]["SubnetId"]])
    reaches(aws, "ACTIVE")
    scale(aws, 20)
    assert in_service(aws) == 11
    reaches(aws, "DEGRADED")
    assert group(aws)["health"]["issues"][0]["code"] == "InsufficientFreeAddresses"


def test_groups_that_nobody_has_are_not_described(aws: Aws) -> None:
    asked = aws.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=["eks-nobody"])
    assert asked["AutoScalingGroups"] == []
