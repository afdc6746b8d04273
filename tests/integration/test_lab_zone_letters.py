"""An account whose zone letters mean other zones: offerings, subnets and node groups follow the zones' ids."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from meshctl.lab.aws.quotas import VPCS
from tests.integration.lab_aws_server import Aws, lab_folder, offer_control_plane, serving

MACHINE, OFFERED_IN = "p6-b200.48xlarge", "use1-az6"  # its one zone of us-east-1


@pytest.fixture(scope="module")
def other_account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    root = tmp_path_factory.mktemp("lab")
    lab_folder(root)
    (root / "account.json").write_text(json.dumps({"zoneSeed": 2}))
    (root / "quotas.json").write_text(json.dumps({VPCS: 1000}))
    offer_control_plane(root)
    with serving(root) as aws:
        yield aws


def offered(ec2: Any, kind: str) -> set[str]:
    filters = [{"Name": "instance-type", "Values": [MACHINE]}]
    answer = ec2.describe_instance_type_offerings(LocationType=kind, Filters=filters)
    return {each["Location"] for each in answer["InstanceTypeOfferings"]}


def test_what_is_offered_follows_the_id_of_the_zone(other_account: Aws) -> None:
    ec2 = other_account.client("ec2")
    zones = {zone["ZoneName"]: zone["ZoneId"] for zone in ec2.describe_availability_zones()["AvailabilityZones"]}
    assert zones["us-east-1c"] != OFFERED_IN  # which it is in the account of moto's dump
    assert offered(ec2, "availability-zone-id") == {OFFERED_IN}
    assert {zones[letter] for letter in offered(ec2, "availability-zone")} == {OFFERED_IN}
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24", AvailabilityZone="us-east-1c")["Subnet"]
    assert subnet["AvailabilityZoneId"] == zones["us-east-1c"]
