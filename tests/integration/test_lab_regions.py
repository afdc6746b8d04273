"""Zones without control planes, and regions that an account has not enabled: refused, and told before."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from meshctl.deploy.guards import preflight
from meshctl.model.questions import InPlace
from tests.integration.lab_aws_server import KEY, Aws, make_network
from tests.lab_fixture import LETTERS_OF_DUMP
from tests.unit.resolve.meshes import resolved

CPU = {"web": {"nodes": 1, "cpu": {"cores": 4}}}


@pytest.fixture(autouse=True)
def credentials(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{aws.port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")


def disable(aws: Aws, *regions: str) -> None:
    (aws.root / "account.json").write_text(json.dumps({**json.loads(LETTERS_OF_DUMP), "notOptedIn": regions}))


def test_a_zone_that_has_no_control_planes_is_refused_and_the_others_are_named(aws: Aws) -> None:
    ec2, network = aws.client("ec2"), make_network(aws)
    more = ec2.create_subnet(VpcId=network["vpc"], CidrBlock="10.0.8.0/24", AvailabilityZone="us-east-1e")
    subnets = [network["subnets"][0], more["Subnet"]["SubnetId"]]
    with pytest.raises(ClientError) as refused:
        aws.client("eks").create_cluster(name="c9", roleArn=network["role"], resourcesVpcConfig={"subnetIds": subnets})
    error = refused.value.response["Error"]
    assert (error["Code"], error["Message"]) == (
        "UnsupportedAvailabilityZoneException",
        "Cannot create cluster 'c9' because us-east-1e, the targeted availability zone, does not currently have"
        " sufficient capacity to support the cluster. Retry and choose from these availability zones:"
        " us-east-1a, us-east-1b, us-east-1c, us-east-1d, us-east-1f",
    )
    assert "us-east-1f" in cast("dict[str, Any]", refused.value.response)["validZones"]
    assert aws.client("eks").list_clusters()["clusters"] == []


def test_a_preflight_says_before_that_a_zone_has_no_control_planes(aws: Aws) -> None:
    zones = {"provider": "aws", "region": "us-east-1", "zones": ["us-east-1a", "us-east-1e"]}
    wanted = resolved(CPU, zones).deployment
    assert wanted is not None
    gaps = {gap.subject: gap for gap in preflight.ask(wanted, InPlace()).gaps}
    assert gaps["cluster"].best == "EKS has none there (use1-az3)"
    assert aws.client("eks").list_clusters()["clusters"] == []


@pytest.mark.parametrize(
    ("service", "operation", "code"),
    [
        ("ec2", "describe_vpcs", "AuthFailure"),
        ("eks", "list_clusters", "UnrecognizedClientException"),
        ("fsx", "describe_file_systems", "UnrecognizedClientException"),
        ("sts", "get_caller_identity", "InvalidClientTokenId"),
    ],
)
def test_a_region_that_is_not_enabled_knows_no_key(aws: Aws, service: str, operation: str, code: str) -> None:
    client = aws.client(service, region="eu-central-2")
    getattr(client, operation)()
    disable(aws, "eu-central-2")
    with pytest.raises(ClientError) as refused:
        getattr(client, operation)()
    assert refused.value.response["Error"]["Code"] == code
    assert "rule region-enabled" in (aws.root / "log").read_text()


def test_regions_are_described_with_what_the_account_has_enabled(aws: Aws) -> None:
    disable(aws, "eu-central-2")
    ec2 = aws.client("ec2")
    asked = ec2.describe_regions(AllRegions=True, RegionNames=["us-east-1", "eu-central-2", "eu-south-1"])["Regions"]
    assert [each["OptInStatus"] for each in asked] == ["opt-in-not-required", "not-opted-in", "opted-in"]
    assert "eu-central-2" not in {each["RegionName"] for each in ec2.describe_regions()["Regions"]}


def test_a_preflight_says_before_that_a_region_is_not_enabled(aws: Aws) -> None:
    disable(aws, "eu-central-2")
    there = {"provider": "aws", "region": "eu-central-2", "zones": ["eu-central-2a", "eu-central-2b"]}
    wanted = resolved(CPU, there).deployment
    assert wanted is not None
    asked = preflight.ask(wanted, InPlace())
    gaps = {gap.subject: gap for gap in asked.gaps}
    assert gaps["environment"].best == "the account has not enabled it"
    assert "enable-region --region-name eu-central-2" in gaps["environment"].hint
