"""Import blocks of Terraform for what a state of ours has on AWS: ids and names of the AWS provider's resources. PURE.

Called by `tests/faults/test_terraform_import.py`. How each type is imported is written at the end of its page in the
documentation of the provider hashicorp/aws, 5.100.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

# Type of ours -> type of the AWS provider, for those that are imported by the id that the state has
_BY_ID = {
    "ec2:Vpc": "aws_vpc",
    "ec2:Subnet": "aws_subnet",
    "ec2:InternetGateway": "aws_internet_gateway",
    "ec2:Address": "aws_eip",
    "ec2:NatGateway": "aws_nat_gateway",
    "ec2:RouteTable": "aws_route_table",
    "ec2:VpcEndpoint": "aws_vpc_endpoint",
    "ec2:SecurityGroup": "aws_security_group",
    "ec2:PlacementGroup": "aws_placement_group",
    "ec2:LaunchTemplate": "aws_launch_template",
    "iam:Role": "aws_iam_role",
    "iam:OpenIDConnectProvider": "aws_iam_openid_connect_provider",
    "eks:Cluster": "aws_eks_cluster",
    "logs:LogGroup": "aws_cloudwatch_log_group",
    "s3:Bucket": "aws_s3_bucket",
    "fsx:FileSystem": "aws_fsx_lustre_file_system",
    "efs:FileSystem": "aws_efs_file_system",
    "efs:MountTarget": "aws_efs_mount_target",
    "acm:Certificate": "aws_acm_certificate",
    "route53:HealthCheck": "aws_route53_health_check",
}
WAITS = ("acm:IssuedCertificate",)  # for another resource: nothing of AWS
# For those whose id of ours has several parts: how the provider joins them
_JOINED = {
    "ec2:Route": ("aws_route", "_"),
    "ec2:SubnetCidrReservation": ("aws_ec2_subnet_cidr_reservation", ":"),
    "iam:RolePolicy": ("aws_iam_role_policy", ":"),
    "iam:RolePolicyAttachment": ("aws_iam_role_policy_attachment", "/"),
    "eks:Nodegroup": ("aws_eks_node_group", ":"),
    "eks:Addon": ("aws_eks_addon", ":"),
    "eks:AccessEntry": ("aws_eks_access_entry", ":"),
    "eks:AccessPolicyAssociation": ("aws_eks_access_policy_association", "#"),
    "eks:PodIdentityAssociation": ("aws_eks_pod_identity_association", ","),
    "route53:RecordSet": ("aws_route53_record", "_"),
}
_RULES = {
    "ec2:SecurityGroupIngress": "aws_vpc_security_group_ingress_rule",
    "ec2:SecurityGroupEgress": "aws_vpc_security_group_egress_rule",
}


@dataclass(frozen=True)
class Import:
    """`type` and `name`: of the resource in Terraform. `id`: by which it is imported."""

    type: str
    name: str
    id: str

    def block(self) -> dict[str, str]:
        return {"to": f"{self.type}.{self.name}", "id": self.id}


def imports(resources: Iterable[Mapping[str, Any]]) -> list[Import]:
    """Of the resources of a state as the engine keeps it: all that are on AWS. Raises: KeyError for an unknown type."""
    made = [each for resource in resources if resource["type"].startswith("meshaws:") for each in _imports(resource)]
    return sorted(made, key=lambda each: (each.type, each.name))


def configuration(wanted: Iterable[Import]) -> str:
    """A file of Terraform's JSON syntax with the import blocks."""
    return json.dumps({"import": [each.block() for each in wanted]}, indent=2)


def _imports(resource: Mapping[str, Any]) -> list[Import]:
    type_, id_ = resource["type"].removeprefix("meshaws:"), str(resource["id"])
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", resource["urn"].split("::", 3)[3])
    parts = id_.split("|")
    if type_ in WAITS:
        return []
    if type_ in _RULES:  # one resource of ours holds all rules of a direction
        rules = parts[1:]
        return [Import(_RULES[type_], f"{name}-{number}", rule) for number, rule in enumerate(rules)]
    if type_ == "ec2:RouteTableAssociation":
        inputs = resource["inputs"]
        both = f"{inputs['SubnetId']}/{inputs['RouteTableId']}"
        return [Import("aws_route_table_association", name, both)]
    if type_ in _JOINED:
        provider_type, separator = _JOINED[type_]
        return [Import(provider_type, name, separator.join(part for part in parts if part))]
    return [Import(_BY_ID[type_], name, id_)]
