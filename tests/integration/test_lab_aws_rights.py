"""The lab's AWS API holds a user to the policies that it has, and refuses in each service's own form."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from meshctl.deploy.guards import preflight
from meshctl.model.questions import Findings, InPlace, PolicyScope
from meshctl.platforms import registry
from tests.integration.lab_aws_server import ACCOUNT, KEY, TRUST, Aws, make_network, use_in_this_process
from tests.unit.preflight.asking import deployment
from tests.waiting import wait_until

ENGINEER = "AKIALABENGINEER00001"
LOOK = {"Effect": "Allow", "Action": ["ec2:DescribeVpcs", "iam:GetRole"], "Resource": "*"}


def restrict(aws: Aws, *statements: dict[str, Any]) -> None:
    keys = f"aws_access_key_id = {KEY}\naws_secret_access_key = secret\n"
    other = f"aws_access_key_id = {ENGINEER}\naws_secret_access_key = secret\n"
    (aws.root / "aws" / "credentials").write_text(f"[default]\n{keys}\n[engineer]\n{other}")
    policy = {"Version": "2012-10-17", "Statement": list(statements)}
    (aws.root / "aws" / "policies.json").write_text(json.dumps({"engineer": [policy]}))


def refusal(call: Any, **arguments: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as error:
        call(**arguments)
    return error.value.response["Error"]["Code"], error.value.response["Error"]["Message"]


def test_who_has_policies_may_do_what_they_allow_and_others_everything(aws: Aws) -> None:
    restrict(aws, LOOK)
    assert aws.client("ec2", ENGINEER).describe_vpcs()["Vpcs"]
    assert aws.client("sts", ENGINEER).get_caller_identity()["Arn"].endswith(":user/engineer")
    aws.client("ec2").create_vpc(CidrBlock="10.9.0.0/16")


@pytest.mark.parametrize(
    ("service", "operation", "arguments", "code", "action"),
    [
        ("ec2", "create_vpc", {"CidrBlock": "10.9.0.0/16"}, "UnauthorizedOperation", "ec2:CreateVpc"),
        ("iam", "delete_role", {"RoleName": "x"}, "AccessDenied", "iam:DeleteRole"),
        ("eks", "describe_cluster", {"name": "x"}, "AccessDeniedException", "eks:DescribeCluster"),
        ("logs", "create_log_group", {"logGroupName": "x"}, "AccessDeniedException", "logs:CreateLogGroup"),
        ("fsx", "describe_file_systems", {}, "AccessDeniedException", "fsx:DescribeFileSystems"),
        ("s3", "create_bucket", {"Bucket": "x-bucket"}, "AccessDenied", "s3:CreateBucket"),
        ("s3", "list_buckets", {}, "AccessDenied", "s3:ListAllMyBuckets"),
        ("s3", "get_bucket_encryption", {"Bucket": "x-bucket"}, "AccessDenied", "s3:GetEncryptionConfiguration"),
        ("route53", "list_hosted_zones_by_name", {}, "AccessDenied", "route53:ListHostedZonesByName"),
        (
            *("service-quotas", "get_service_quota", {"ServiceCode": "ec2", "QuotaCode": "L-417A185B"}),
            *("AccessDeniedException", "servicequotas:GetServiceQuota"),
        ),
    ],
)
def test_a_refusal_has_the_form_of_its_service_and_names_the_action(
    aws: Aws, service: str, operation: str, arguments: dict[str, Any], code: str, action: str
) -> None:
    restrict(aws, LOOK)
    answered, message = refusal(getattr(aws.client(service, ENGINEER), operation), **arguments)
    assert answered == code
    assert f"User: arn:aws:iam::{ACCOUNT}:user/engineer is not authorized to perform: {action} on resource: " in message


def test_a_guard_rail_is_stronger_than_what_is_allowed(aws: Aws) -> None:
    restrict(
        aws,
        {"Effect": "Allow", "Action": "*", "Resource": "*"},
        {"Effect": "Deny", "Action": "iam:CreateRole", "Resource": "*"},
    )
    arguments = {"RoleName": "x", "AssumeRolePolicyDocument": json.dumps(TRUST)}
    code, message = refusal(aws.client("iam", ENGINEER).create_role, **arguments)
    assert code == "AccessDenied"
    assert message.endswith("with an explicit deny in a service control policy")


def test_a_resource_and_a_region_narrow_what_is_allowed(aws: Aws) -> None:
    in_region = {"StringEquals": {"aws:RequestedRegion": "eu-central-1"}}
    own = f"arn:aws:iam::{ACCOUNT}:role/mesh-*"
    restrict(
        aws,
        {"Effect": "Allow", "Action": "ec2:DescribeVpcs", "Resource": "*", "Condition": in_region},
        {"Effect": "Allow", "Action": "iam:CreateRole", "Resource": own},
    )
    assert refusal(aws.client("ec2", ENGINEER).describe_vpcs)[0] == "UnauthorizedOperation"
    aws.client("ec2", ENGINEER, region="eu-central-1").describe_vpcs()
    trust = json.dumps(TRUST)
    aws.client("iam", ENGINEER).create_role(RoleName="mesh-nodes", AssumeRolePolicyDocument=trust)
    other = refusal(aws.client("iam", ENGINEER).create_role, RoleName="other", AssumeRolePolicyDocument=trust)
    assert "iam:CreateRole on resource: " in other[1]


def test_a_role_is_passed_only_by_who_may_pass_it(aws: Aws) -> None:
    restrict(aws, {"Effect": "Allow", "Action": "eks:*", "Resource": "*"})
    network = {"subnetIds": ["subnet-1", "subnet-2"]}
    role = f"arn:aws:iam::{ACCOUNT}:role/x"
    code, message = refusal(
        aws.client("eks", ENGINEER).create_cluster, name="c", roleArn=role, resourcesVpcConfig=network
    )
    assert code == "AccessDeniedException"
    assert f"iam:PassRole on resource: {role}" in message


MAKES = {"Effect": "Allow", "Action": ["eks:*", "fsx:*", "iam:PassRole", "iam:GetRole"], "Resource": "*"}


def linked(*services: str) -> dict[str, Any]:
    """As `doctor --iam-policy` prints it."""
    condition = {"StringEquals": {"iam:AWSServiceName": [f"{service}.amazonaws.com" for service in services]}}
    resource = "arn:aws:iam::*:role/aws-service-role/*"
    return {"Effect": "Allow", "Action": "iam:CreateServiceLinkedRole", "Resource": resource, "Condition": condition}


def test_a_service_makes_its_own_role_with_the_rights_of_who_first_calls_it(aws: Aws) -> None:
    """finding A12: eks-nodegroup is another service than eks"""
    network, eks = make_network(aws), aws.client("eks", ENGINEER)
    cluster = {"name": "c", "roleArn": network["role"], "resourcesVpcConfig": {"subnetIds": network["subnets"]}}
    restrict(aws, MAKES)
    assert refusal(eks.create_cluster, **cluster) == (
        "InvalidRequestException",
        "Failed to create service linked role: AWSServiceRoleForAmazonEKS due to missing permissions for"
        " 'iam:CreateServiceLinkedRole'",
    )
    restrict(aws, MAKES, linked("eks"))
    eks.create_cluster(**cluster)
    assert aws.client("iam").get_role(RoleName="AWSServiceRoleForAmazonEKS")["Role"]
    restrict(aws, MAKES)  # who comes later needs it no more
    wait_until(lambda: eks.describe_cluster(name="c")["cluster"]["status"] == "ACTIVE")
    group = {"clusterName": "c", "nodegroupName": "web", "nodeRole": network["role"], "subnets": network["subnets"]}
    restrict(aws, MAKES, linked("eks"))
    code, message = refusal(eks.create_nodegroup, **group)
    assert (code, "AWSServiceRoleForAmazonEKSNodegroup due to" in message) == ("InvalidRequestException", True)
    no_look = {"Effect": "Deny", "Action": "iam:GetRole", "Resource": "*"}
    restrict(aws, MAKES, linked("eks-nodegroup"), no_look)
    assert "Failed to validate if SLR" in refusal(eks.create_nodegroup, **group)[1]
    restrict(aws, MAKES, linked("eks-nodegroup"))
    eks.create_nodegroup(**group)


def test_the_role_of_lustre_needs_the_right_too(aws: Aws) -> None:
    network, fsx = make_network(aws), aws.client("fsx", ENGINEER)
    lustre = {"FileSystemType": "LUSTRE", "StorageCapacity": 1200, "SubnetIds": network["subnets"][:1]}
    restrict(aws, MAKES)
    code, message = refusal(fsx.create_file_system, **lustre)
    assert (code, "unable to create Service-Linked-Role" in message) == ("BadRequest", True)
    restrict(aws, MAKES, linked("fsx"))
    fsx.create_file_system(**lustre)


def simulation(aws: Aws, source: str, *actions: str, **more: Any) -> dict[str, Any]:
    arguments = {"PolicySourceArn": source, "ActionNames": list(actions), **more}
    answer: dict[str, Any] = aws.client("iam").simulate_principal_policy(**arguments)
    return answer


def test_a_simulation_says_what_a_user_may_do_and_whose_policy_decides(aws: Aws) -> None:
    user = f"arn:aws:iam::{ACCOUNT}:user/engineer"
    restrict(aws, LOOK, {"Effect": "Deny", "Action": "iam:GetRole", "Resource": "*"})
    aws.client("sts", ENGINEER).get_caller_identity()
    actions = ("ec2:CreateVpc", "ec2:DescribeVpcs", "iam:GetRole")
    results = simulation(aws, user, *actions)["EvaluationResults"]
    decisions = {each["EvalActionName"]: each["EvalDecision"] for each in results}
    assert decisions == dict(zip(actions, ("implicitDeny", "allowed", "explicitDeny"), strict=True))
    by_organization = [each["OrganizationsDecisionDetail"]["AllowedByOrganizations"] for each in results]
    assert by_organization == [True, True, False]
    first = simulation(aws, user, *actions, MaxItems=2)
    assert (len(first["EvaluationResults"]), first["IsTruncated"]) == (2, True)
    [last] = simulation(aws, user, *actions, MaxItems=2, Marker=first["Marker"])["EvaluationResults"]
    assert last["EvalActionName"] == "iam:GetRole"
    admin = simulation(aws, f"arn:aws:iam::{ACCOUNT}:user/default", "ec2:CreateVpc")["EvaluationResults"]
    assert [each["EvalDecision"] for each in admin] == ["allowed"]
    with pytest.raises(ClientError, match="cannot be found"):
        simulation(aws, f"arn:aws:iam::{ACCOUNT}:user/nobody", "ec2:CreateVpc")


def test_who_may_not_simulate_is_refused(aws: Aws) -> None:
    restrict(aws, LOOK)
    arguments = {"PolicySourceArn": f"arn:aws:iam::{ACCOUNT}:user/engineer", "ActionNames": ["ec2:CreateVpc"]}
    code, message = refusal(aws.client("iam", ENGINEER).simulate_principal_policy, **arguments)
    assert code == "AccessDenied"
    assert "iam:SimulatePrincipalPolicy" in message


def test_a_permissions_boundary_refuses_what_it_does_not_allow(aws: Aws) -> None:
    restrict(aws, {"Effect": "Allow", "Action": "*", "Resource": "*"})
    file = aws.root / "aws" / "policies.json"
    policies = json.loads(file.read_text())["engineer"]
    boundary = {"Id": "permissions-boundary", "Statement": [LOOK]}
    file.write_text(json.dumps({"engineer": [*policies, boundary]}))
    assert aws.client("ec2", ENGINEER).describe_vpcs()["Vpcs"]
    code, message = refusal(aws.client("ec2", ENGINEER).create_vpc, CidrBlock="10.9.0.0/16")
    assert code == "UnauthorizedOperation"
    assert message.endswith("because no permissions boundary allows the ec2:CreateVpc action")


@pytest.fixture
def as_engineer(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Aws:
    use_in_this_process(aws, monkeypatch, ENGINEER)
    return aws


def notes_on_rights(findings: Findings) -> list[str]:
    """Its notes without those on machine types."""
    return [note for note in findings.notes if "of the same shape" not in note]


def test_the_preflight_names_what_an_engineer_may_not_do(as_engineer: Aws) -> None:
    """findings A2, A12: asked over HTTP, as `plan` and `up` ask."""
    wanted = deployment({"web": {"nodes": 1, "cpu": {"cores": 4}}})
    part = registry.platform("aws").preflight
    assert part is not None
    assert part.policy is not None
    printed = dict(part.policy(wanted, PolicyScope()))
    restrict(as_engineer, *printed["Statement"])
    made = preflight.ask(wanted, InPlace())
    assert made.maker == f"arn:aws:iam::{ACCOUNT}:user/engineer"
    assert (made.caller_gaps, notes_on_rights(made)) == ((), [])

    restrict(as_engineer, *printed["Statement"], {"Effect": "Deny", "Action": "iam:CreateRole", "Resource": "*"})
    made = preflight.ask(wanted, InPlace())
    [note] = notes_on_rights(made)
    assert made.caller_gaps == (), "IAM's simulation can be wrong about the organization"
    assert "policies of the organization do not let" in note
    assert "iam:CreateRole" in note

    no_question = {"Effect": "Deny", "Action": "iam:SimulatePrincipalPolicy", "Resource": "*"}
    restrict(as_engineer, *printed["Statement"], no_question)
    made = preflight.ask(wanted, InPlace())
    [note] = notes_on_rights(made)
    assert made.caller_gaps == ()
    assert "AWS did not say (AccessDenied) whether" in note
