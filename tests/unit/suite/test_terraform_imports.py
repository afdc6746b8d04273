"""The import blocks that the test with Terraform is made of."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from providers.aws.rows import ALL
from tests.terraform_imports import WAITS, configuration, imports

RECORDED = Path(__file__).parents[2] / "recorded/2979742/state-aws-east.json"


def resource(token: str, id_: str, **inputs: str) -> dict[str, object]:
    urn = f"urn:pulumi:aws-east::llm::meshaws:{token}::network:the-{token.partition(':')[2]}"
    return {"type": f"meshaws:{token}", "id": id_, "urn": urn, "inputs": inputs}


@pytest.mark.parametrize(
    ("token", "id_", "inputs", "wanted"),
    [
        ("ec2:Vpc", "vpc-1", {}, ("aws_vpc", "vpc-1")),
        ("ec2:Route", "rtb-1|0.0.0.0/0", {}, ("aws_route", "rtb-1_0.0.0.0/0")),
        ("eks:Nodegroup", "c|train", {}, ("aws_eks_node_group", "c:train")),
        ("eks:AccessEntry", "c|arn:aws:iam::1:role/a", {}, ("aws_eks_access_entry", "c:arn:aws:iam::1:role/a")),
        ("eks:PodIdentityAssociation", "c|a-1", {}, ("aws_eks_pod_identity_association", "c,a-1")),
        ("iam:RolePolicyAttachment", "r|arn:p", {}, ("aws_iam_role_policy_attachment", "r/arn:p")),
        ("route53:RecordSet", "Z1|a.example.|A|", {}, ("aws_route53_record", "Z1_a.example._A")),
        (
            "ec2:RouteTableAssociation",
            "rtbassoc-1",
            {"SubnetId": "subnet-1", "RouteTableId": "rtb-1"},
            ("aws_route_table_association", "subnet-1/rtb-1"),
        ),
    ],
)
def test_a_resource_is_imported_by_the_id_that_the_aws_provider_takes(
    token: str, id_: str, inputs: dict[str, str], wanted: tuple[str, str]
) -> None:
    [made] = imports([resource(token, id_, **inputs)])
    assert (made.type, made.id) == wanted


def test_the_rules_of_a_group_are_imported_one_by_one() -> None:
    made = imports([resource("ec2:SecurityGroupIngress", "sg-1|sgr-1|sgr-2")])
    assert [(each.type, each.id) for each in made] == [
        ("aws_vpc_security_group_ingress_rule", "sgr-1"),
        ("aws_vpc_security_group_ingress_rule", "sgr-2"),
    ]
    assert len({each.name for each in made}) == 2


def test_every_row_can_be_imported() -> None:
    for row in ALL:
        token = row.token.removeprefix("meshaws:")
        made = imports([resource(token, "a|b|c|d", SubnetId="s", RouteTableId="r")])
        assert bool(made) is (token not in WAITS), token


def test_a_whole_state_gives_one_block_for_each_resource_on_aws() -> None:
    resources = json.loads(RECORDED.read_text())["deployment"]["resources"]
    blocks = json.loads(configuration(imports(resources)))["import"]
    addresses = [block["to"] for block in blocks]
    assert len(set(addresses)) == len(addresses) >= sum(each["type"].startswith("meshaws:") for each in resources)
    assert {"to": "aws_eks_cluster.cluster-eks", "id": "kept-aws-east"} in blocks
    assert not any("|" in block["id"] for block in blocks)
