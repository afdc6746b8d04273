"""EC2's dry runs in the lab: refused as the call would be, by policies and by guard rails, and nothing is made."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from meshctl.deploy.guards import preflight
from meshctl.model.questions import InPlace
from tests.integration.lab_aws_server import ACCOUNT, Aws, make_cluster
from tests.integration.test_lab_aws_rights import ENGINEER, as_engineer, refusal, restrict
from tests.unit.preflight.asking import H100, deployment

__all__ = ["as_engineer"]

EVERYTHING = {"Effect": "Allow", "Action": "*", "Resource": "*"}
YES = ("DryRunOperation", "Request would have succeeded, but DryRun flag is set.")
TEMPLATE = {"LaunchTemplateName": "t", "LaunchTemplateData": {"InstanceType": "p5.48xlarge"}}
INSTANCE = {"InstanceType": "m7i.xlarge", "ImageId": "ami-0123456789", "MinCount": 1, "MaxCount": 1}
CALLS: list[tuple[str, dict[str, Any]]] = [
    ("create_vpc", {"CidrBlock": "10.9.0.0/16"}),
    ("allocate_address", {"Domain": "vpc"}),
    ("create_launch_template", TEMPLATE),
    ("create_placement_group", {"GroupName": "g", "Strategy": "cluster"}),
    ("run_instances", INSTANCE),
]
COST = [{"Key": "cost-centre", "Value": "4711"}]


@pytest.fixture(autouse=True)
def no_rules(aws: Aws) -> Iterator[None]:
    yield
    for name in ("guard_rails.json", "aws/policies.json"):
        (aws.root / name).unlink(missing_ok=True)


def rails(aws: Aws, **rules: list[str]) -> None:
    (aws.root / "guard_rails.json").write_text(json.dumps(rules))


def tagged(*kinds: str) -> dict[str, Any]:
    return {"TagSpecifications": [{"ResourceType": kind, "Tags": COST} for kind in kinds]}


@pytest.mark.parametrize(("operation", "arguments"), CALLS)
def test_a_dry_run_says_yes_and_makes_nothing(aws: Aws, operation: str, arguments: dict[str, Any]) -> None:
    ec2 = aws.client("ec2")
    aws.faults({"operation": "CreateVpc", "error": "VpcLimitExceeded"})
    before = [len(ec2.describe_vpcs()["Vpcs"]), len(ec2.describe_addresses()["Addresses"])]
    with pytest.raises(ClientError) as caught:
        getattr(ec2, operation)(**arguments, DryRun=True)
    answer = caught.value.response
    assert (answer["Error"]["Code"], answer["Error"]["Message"]) == YES
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 412
    assert [len(ec2.describe_vpcs()["Vpcs"]), len(ec2.describe_addresses()["Addresses"])] == before
    made = (ec2.describe_launch_templates()["LaunchTemplates"], ec2.describe_placement_groups()["PlacementGroups"])
    assert (*made, ec2.describe_instances()["Reservations"]) == ([], [], [])
    assert refusal(ec2.create_vpc, CidrBlock="10.9.0.0/16")[0] == "VpcLimitExceeded", (
        "a fault waits for the call itself"
    )


@pytest.mark.parametrize(("operation", "arguments"), CALLS)
def test_a_dry_run_is_refused_to_who_may_not_make_it(aws: Aws, operation: str, arguments: dict[str, Any]) -> None:
    restrict(aws, {"Effect": "Allow", "Action": "ec2:Describe*", "Resource": "*"})
    call = getattr(aws.client("ec2", ENGINEER), operation)
    code, message = refusal(call, **arguments, DryRun=True)
    assert code == "UnauthorizedOperation"
    assert "because no identity-based policy allows the ec2:" in message


def test_tags_need_a_right_of_their_own(aws: Aws) -> None:
    restrict(aws, {"Effect": "Allow", "Action": "ec2:CreateVpc", "Resource": "*"})
    call = aws.client("ec2", ENGINEER).create_vpc
    assert refusal(call, CidrBlock="10.9.0.0/16", DryRun=True) == YES
    code, message = refusal(call, CidrBlock="10.9.0.0/16", DryRun=True, **tagged("vpc"))
    assert (code, "ec2:CreateTags" in message) == ("UnauthorizedOperation", True)


@pytest.mark.parametrize(
    ("condition", "arguments"),
    [
        ({"StringEquals": {"ec2:InstanceType": "m7i.xlarge"}}, {"InstanceType": "m7i.large"}),
        ({"Null": {"aws:RequestTag/cost-centre": "true"}}, tagged("instance")),
        (
            {"StringNotEquals": {"ec2:MetadataHttpTokens": "required"}},
            {"MetadataOptions": {"HttpTokens": "required"}},
        ),
    ],
)
def test_a_policy_looks_at_the_instance(aws: Aws, condition: dict[str, Any], arguments: dict[str, Any]) -> None:
    """`arguments`: those that it lets through."""
    arn = f"arn:aws:ec2:*:{ACCOUNT}:instance/*"
    denied = {"Effect": "Deny", "Action": "ec2:RunInstances", "Resource": arn, "Condition": condition}
    restrict(aws, EVERYTHING, denied)
    call = aws.client("ec2", ENGINEER).run_instances
    code, message = refusal(call, **INSTANCE, DryRun=True)
    assert code == "UnauthorizedOperation"
    assert f"on resource: arn:aws:ec2:us-east-1:{ACCOUNT}:instance/* with an explicit deny in a service" in message
    assert refusal(call, **INSTANCE | arguments, DryRun=True) == YES


def test_guard_rails_hold_for_administrators_too(aws: Aws) -> None:
    call = aws.client("ec2").run_instances
    rails(aws, instanceTypes=["p5.*"])
    assert refusal(call, **INSTANCE, DryRun=True)[0] == "UnauthorizedOperation"
    rails(aws, requiredTags=["cost-centre"])
    assert "instance/*" in refusal(call, **INSTANCE, DryRun=True)[1]
    assert "volume/*" in refusal(call, **INSTANCE, **tagged("instance"), DryRun=True)[1]
    assert refusal(call, **INSTANCE, **tagged("instance", "volume"), DryRun=True) == YES
    rails(aws, regions=["eu-central-1"])
    assert refusal(aws.client("ec2").create_vpc, CidrBlock="10.9.0.0/16", DryRun=True)[0] == "UnauthorizedOperation"
    assert refusal(aws.client("eks").list_clusters)[0] == "AccessDeniedException"


def test_an_instance_needs_an_image_and_a_subnet_that_is_there(aws: Aws) -> None:
    call, ec2 = aws.client("ec2").run_instances, aws.client("ec2", region="eu-west-3")
    without = {key: value for key, value in INSTANCE.items() if key != "ImageId"}
    assert refusal(call, **without, DryRun=True)[0] == "MissingParameter"
    assert refusal(call, **INSTANCE, SubnetId="subnet-1", DryRun=True)[0] == "InvalidSubnetID.NotFound"
    for subnet in ec2.describe_subnets()["Subnets"]:
        ec2.delete_subnet(SubnetId=subnet["SubnetId"])
    assert refusal(ec2.run_instances, **INSTANCE, DryRun=True)[0] == "VPCIdNotSpecified"


def test_eks_refuses_a_node_group_whose_instances_the_caller_may_not_start(aws: Aws) -> None:
    network = make_cluster(aws)
    data = {"MetadataOptions": {"HttpTokens": "required"}, **tagged("instance")}
    template = aws.client("ec2").create_launch_template(LaunchTemplateName="nodes", LaunchTemplateData=data)
    group = {
        "clusterName": "c1",
        "nodegroupName": "n",
        "subnets": network["subnets"],
        "nodeRole": network["role"],
        "instanceTypes": ["m7i.xlarge"],
        "launchTemplate": {"id": template["LaunchTemplate"]["LaunchTemplateId"]},
    }
    rails(aws, requiredTags=["cost-centre"])
    refused = refusal(aws.client("eks").create_nodegroup, **group)
    assert refused[0] == "InvalidRequestException"
    assert refused[1].startswith("You are not authorized to launch instances with this launch template.")
    rails(aws)
    denied = {"StringEquals": {"ec2:InstanceType": "m7i.xlarge"}}
    restrict(aws, EVERYTHING, {"Effect": "Deny", "Action": "ec2:*", "Resource": "*", "Condition": denied})
    assert refusal(aws.client("eks", ENGINEER).create_nodegroup, **group)[0] == "InvalidRequestException"
    denied = {"StringEquals": {"aws:RequestTag/cost-centre": "0815"}}
    restrict(aws, EVERYTHING, {"Effect": "Deny", "Action": "ec2:*", "Resource": "*", "Condition": denied})
    aws.client("eks", ENGINEER).create_nodegroup(**group)
    aws.client("ec2").delete_launch_template(LaunchTemplateName="nodes")


def test_the_preflight_finds_guard_rails_by_dry_runs(as_engineer: Aws) -> None:
    """Asked over HTTP, as `plan` and `up` ask."""
    wanted = deployment({"web": {"nodes": 1, "cpu": {"cores": 4}}, "serve": {"nodes": 2, "accelerator": H100}})
    restrict(as_engineer, EVERYTHING)
    assert preflight.ask(wanted, InPlace()).caller_gaps == ()
    rails(as_engineer, instanceTypes=["m*"])
    [gap] = preflight.ask(wanted, InPlace()).caller_gaps
    assert gap.wanted == "the right to ec2:RunInstances of p5.48xlarge (pool serve)"
    rails(as_engineer, requiredTags=["cost-centre"])
    [gap] = preflight.ask(wanted, InPlace()).caller_gaps
    assert gap.wanted.count("ec2:RunInstances of ") == 2
    tags = {"cost-centre": "4711"}
    obeying = wanted.model_copy(update={"cluster": wanted.cluster.model_copy(update={"tags": tags})})
    assert preflight.ask(obeying, InPlace()).caller_gaps == ()
