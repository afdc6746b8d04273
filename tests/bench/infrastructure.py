"""One infrastructure in two languages: resources of `meshaws` for Pulumi, and the same for Terraform. PURE.

Used by the rows `scale` and `terraform`. IAM roles make up the bulk: creating one costs the API the same whether there
are ten or thousands, so what grows with their number is the tool.
"""

from __future__ import annotations

import json
from typing import Any

import pulumi

from stacks.resources import AwsProvider, AwsResource

REGION = "us-east-1"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
SUBNETS = 4


def roles(prefix: str, count: int, endpoint: str) -> None:
    """Declare `count` IAM roles."""
    aws = AwsProvider("aws", region=REGION, endpoint_url=endpoint, tags={})
    for number in range(count):
        _role(f"{prefix}-{number:05d}", aws)


def _role(name: str, aws: AwsProvider) -> None:
    AwsResource.declare("iam:Role", name, {"RoleName": name, "AssumeRolePolicyDocument": TRUST}, provider=aws)


def network_and_roles(prefix: str, count: int, endpoint: str) -> None:
    """Declare a VPC with subnets, a route table and security groups, and roles up to `count` resources."""
    aws = AwsProvider("aws", region=REGION, endpoint_url=endpoint, tags={})
    vpc = AwsResource.declare("ec2:Vpc", "vpc", {"CidrBlock": "10.0.0.0/16"}, outputs=["VpcId"], provider=aws)
    vpc_id = vpc.get("VpcId")
    table = AwsResource.declare("ec2:RouteTable", "routes", {"VpcId": vpc_id}, outputs=["RouteTableId"], provider=aws)
    for number in range(SUBNETS):
        _subnet(number, vpc_id, table.get("RouteTableId"), aws)
        group = {"GroupName": f"{prefix}-{number}", "Description": "bench", "VpcId": vpc_id}
        AwsResource.declare("ec2:SecurityGroup", f"group-{number}", group, provider=aws)
    for number in range(count - beside_roles()):
        _role(f"{prefix}-{number:05d}", aws)


def _subnet(number: int, vpc_id: pulumi.Output[str], table: pulumi.Output[str], aws: AwsProvider) -> None:
    wanted = {"VpcId": vpc_id, "CidrBlock": f"10.0.{number}.0/24"}
    subnet = AwsResource.declare("ec2:Subnet", f"subnet-{number}", wanted, outputs=["SubnetId"], provider=aws)
    ends = {"SubnetId": subnet.get("SubnetId"), "RouteTableId": table}
    AwsResource.declare("ec2:RouteTableAssociation", f"association-{number}", ends, provider=aws)


def beside_roles() -> int:
    return 2 + 3 * SUBNETS


def terraform(prefix: str, count: int, endpoint: str) -> dict[str, Any]:
    """`network_and_roles` as a Terraform configuration in JSON, for the AWS provider 5.100."""
    services = ("ec2", "iam", "sts")
    provider = {
        "region": REGION,
        "access_key": "bench",
        "secret_key": "bench",
        "skip_credentials_validation": True,
        "skip_requesting_account_id": True,
        "skip_metadata_api_check": True,
        "skip_region_validation": True,
        "endpoints": dict.fromkeys(services, endpoint),
    }
    numbers = range(SUBNETS)
    vpc_id = "${aws_vpc.vpc.id}"
    groups = {f"group-{n}": {"name": f"{prefix}-{n}", "description": "bench", "vpc_id": vpc_id} for n in numbers}
    ends = {
        f"association-{n}": {
            "subnet_id": f"${{aws_subnet.subnet-{n}.id}}",
            "route_table_id": "${aws_route_table.routes.id}",
        }
        for n in numbers
    }
    names = [f"{prefix}-{number:05d}" for number in range(count - beside_roles())]
    return {
        "terraform": {"required_providers": {"aws": {"source": "hashicorp/aws", "version": "5.100.0"}}},
        "provider": {"aws": provider},
        "resource": {
            "aws_vpc": {"vpc": {"cidr_block": "10.0.0.0/16"}},
            "aws_route_table": {"routes": {"vpc_id": vpc_id}},
            "aws_subnet": {f"subnet-{n}": {"vpc_id": vpc_id, "cidr_block": f"10.0.{n}.0/24"} for n in numbers},
            "aws_security_group": groups,
            "aws_route_table_association": ends,
            "aws_iam_role": {name: {"name": name, "assume_role_policy": json.dumps(TRUST)} for name in names},
        },
    }
