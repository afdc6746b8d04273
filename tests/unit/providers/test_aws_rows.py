"""Every row against botocore's service models, and that the lint finds what is wrong."""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import replace
from typing import Any

import pytest

from providers.aws import rows
from providers.aws.client import service_model
from providers.aws.provider import AwsProvider
from providers.aws.rows import ec2, efs, eks, fsx
from providers.aws.rows_engine.diffs import diff
from providers.aws.rows_engine.lint import lint
from providers.aws.rows_engine.live import find
from providers.aws.rows_engine.row import Adopt, Call, OneWay, Poll, Row
from providers.plugin.provider import CheckFailure, Diff, Kind
from providers.plugin.values import UNKNOWN


@pytest.mark.parametrize("row", rows.ALL, ids=[row.token for row in rows.ALL])
def test_row_agrees_with_the_service_model(row: Row) -> None:
    assert lint(row, service_model(row.service)) == []


def test_every_row_file_is_in_all_of_them() -> None:
    named = [importlib.import_module(f"{rows.__name__}.{found.name}") for found in pkgutil.iter_modules(rows.__path__)]
    written = {row.token for module in named for row in getattr(module, "ROWS", ())}
    assert written == {row.token for row in rows.ALL}


def test_tokens_are_unique() -> None:
    assert len({row.token for row in rows.ALL}) == len(rows.ALL)


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (replace(fsx.FILE_SYSTEM, create=Call("CreateFilesystem", forward=True)), "CreateFilesystem"),
        (replace(fsx.FILE_SYSTEM, read=Call("DescribeFileSystems", path="FileSystem[0]")), "no member FileSystem"),
        (replace(fsx.FILE_SYSTEM, ready=Poll("Lifecycle", ok=("READY",))), "Lifecycle is never READY"),
        (replace(fsx.FILE_SYSTEM, not_found=("NoSuchFileSystem",)), "declares no error NoSuchFileSystem"),
        (replace(fsx.FILE_SYSTEM, id="answer.FileSystem.Id"), "FileSystem has no member Id"),
        (replace(efs.FILE_SYSTEM, create=Call("CreateFileSystem", forward=True)), "CreationToken isn't given"),
        (replace(efs.FILE_SYSTEM, delete=Call("DeleteFileSystem", {"Id": "id"})), "DeleteFileSystem has no member Id"),
        (replace(efs.FILE_SYSTEM, tags=None), 'adopt by "name" needs tags'),
        (replace(fsx.FILE_SYSTEM, one_way=(OneWay("Capacity"),)), "one way: CreateFileSystemRequest has no member"),
        (replace(ec2.VPC, observe={"Cidr": "CidrBlock"}), "the row has no input Cidr"),
        (replace(ec2.VPC, delete=Call("DeleteVpc", {"VpcId": "inputs.VpcIdd"})), "the row has no input VpcIdd"),
        (replace(ec2.VPC, adopt=Adopt(by="tag", find=Call("DescribeVpcs", path="Vpc"))), "has no member Vpc"),
    ],
)
def test_lint_finds_what_is_wrong(row: Row, problem: str) -> None:
    assert any(problem in line for line in lint(row, service_model(row.service)))


def check(token: str, inputs: dict[str, Any]) -> list[CheckFailure]:
    return AwsProvider().check(token, urn="", news=inputs, olds={})[1]


CLUSTER = {
    "name": "mesh",
    "version": "1.34",
    "roleArn": UNKNOWN,
    "resourcesVpcConfig": {"subnetIds": [UNKNOWN, UNKNOWN], "endpointPublicAccess": True},
    "accessConfig": {"authenticationMode": "API", "bootstrapClusterCreatorAdminPermissions": True},
    "Tags": {"team": "genai"},
}
NODEGROUP = {
    "clusterName": "mesh",
    "nodegroupName": "train",
    "nodeRole": UNKNOWN,
    "subnets": UNKNOWN,
    "scalingConfig": {"minSize": 0, "maxSize": 4, "desiredSize": 4},
    "launchTemplate": {"id": UNKNOWN, "version": UNKNOWN},
    "labels": {"meshctl.dev/pool": "train"},
    "taints": [{"key": "nvidia.com/gpu", "value": "true", "effect": "NO_SCHEDULE"}],
}
LUSTRE = {
    "FileSystemType": "LUSTRE",
    "StorageCapacity": 4800,
    "SubnetIds": ["subnet-0123456789abcdef0"],
    "LustreConfiguration": {"DeploymentType": "PERSISTENT_2", "PerUnitStorageThroughput": 250},
}


@pytest.mark.parametrize(
    ("token", "inputs"),
    [
        ("meshaws:eks:Cluster", CLUSTER),
        ("meshaws:eks:Nodegroup", NODEGROUP),
        ("meshaws:eks:Addon", {"clusterName": UNKNOWN, "addonName": "coredns", "configurationValues": {"a": UNKNOWN}}),
        ("meshaws:fsx:FileSystem", LUSTRE),
        ("meshaws:iam:RolePolicy", {"RoleName": "r", "PolicyName": "p", "PolicyDocument": {"Resource": [UNKNOWN]}}),
        ("meshaws:s3:Bucket", {"Bucket": UNKNOWN, "Versioning": {"Status": "Enabled"}}),
        ("meshaws:ec2:Route", {"RouteTableId": UNKNOWN, "DestinationCidrBlock": "0.0.0.0/0", "GatewayId": UNKNOWN}),
        ("meshaws:ec2:SecurityGroup", {"GroupName": "g", "Description": "d", "VpcId": UNKNOWN, "Tags": UNKNOWN}),
        ("meshaws:iam:OpenIDConnectProvider", {"Url": UNKNOWN, "ClientIDList": ["sts.amazonaws.com"]}),
        (
            "meshaws:route53:RecordSet",
            {"HostedZoneId": "Z", "Name": UNKNOWN, "Type": "A", "TTL": 30, "ResourceRecords": [{"Value": UNKNOWN}]},
        ),
    ],
)
def test_unknown_values_are_taken_for_right_ones(token: str, inputs: dict[str, Any]) -> None:
    assert check(token, inputs) == []


def test_wrong_inputs_are_named_by_their_path() -> None:
    failures = check("meshaws:eks:Cluster", CLUSTER | {"resourcesVpcConfig": {"subnetId": ["s"]}, "nmae": "x"})
    assert failures == [CheckFailure("nmae", 'no such property; did you mean "name"?')]
    failures = check("meshaws:eks:Cluster", CLUSTER | {"resourcesVpcConfig": {"subnetId": ["s"]}})
    assert [failure.path for failure in failures] == ["resourcesVpcConfig.subnetId"]
    failures = check("meshaws:route53:RecordSet", {"HostedZoneId": "Z", "Name": "a", "Type": "A", "TTL": "30"})
    assert [failure.path for failure in failures] == ["TTL"]


def changed(row: Row, old: dict[str, Any], new: dict[str, Any], outputs: dict[str, Any] | None = None) -> Diff:
    return diff(row, old_inputs=old, old_outputs=outputs or old, news=new)


def test_scaling_changes_in_place_and_instance_types_replace() -> None:
    old = NODEGROUP | {"subnets": ["a"], "nodeRole": "r", "launchTemplate": {"id": "lt", "version": "1"}}
    bigger = old | {"scalingConfig": {"minSize": 0, "maxSize": 8, "desiredSize": 4}}
    assert changed(eks.NODEGROUP, old, bigger) == Diff(changes=True, detailed={"scalingConfig.maxSize": Kind.UPDATE})
    other = old | {"instanceTypes": ["p5.48xlarge"]}
    assert changed(eks.NODEGROUP, old, other) == Diff(
        changes=True,
        replaces=("instanceTypes",),
        detailed={"instanceTypes": Kind.ADD_REPLACE},
        delete_before_replace=True,
    )


def test_a_failed_node_group_is_replaced_though_nothing_changed() -> None:
    found = changed(eks.NODEGROUP, NODEGROUP, NODEGROUP, NODEGROUP | {"status": "CREATE_FAILED"})
    assert (found.changes, found.replaces, found.delete_before_replace) == (True, ("status",), True)


def test_throughput_changes_in_place_and_the_deployment_type_replaces() -> None:
    faster = LUSTRE | {"LustreConfiguration": {"DeploymentType": "PERSISTENT_2", "PerUnitStorageThroughput": 500}}
    assert changed(fsx.FILE_SYSTEM, LUSTRE, faster).replaces == ()
    scratch = LUSTRE | {"LustreConfiguration": {"DeploymentType": "SCRATCH_2", "PerUnitStorageThroughput": 250}}
    found = changed(fsx.FILE_SYSTEM, LUSTRE, scratch)
    assert found.replaces == ("LustreConfiguration",)
    assert found.detailed == {"LustreConfiguration.DeploymentType": Kind.UPDATE_REPLACE}


def test_a_second_address_of_a_nat_gateway_is_no_change_of_its_own() -> None:
    second = {"AllocationId": "eipalloc-2", "IsPrimary": False}
    described = {"NatGatewayAddresses": [second, {"AllocationId": "eipalloc-1", "IsPrimary": True}]}
    path = ec2.NAT_GATEWAY.observe["AllocationId"]
    assert find(path, described) == "eipalloc-1"
    assert find(path, {"NatGatewayAddresses": [{"AllocationId": "eipalloc-1"}]}) == "eipalloc-1"


def test_policies_differ_by_meaning_not_by_spelling() -> None:
    row = next(row for row in rows.ALL if row.token == "meshaws:iam:RolePolicy")
    old = {"RoleName": "r", "PolicyName": "p", "PolicyDocument": '{"Version": "2012-10-17", "Statement": []}'}
    new = old | {"PolicyDocument": {"Statement": [], "Version": "2012-10-17"}}
    assert changed(row, old, new) == Diff(changes=False)


def test_an_unknown_new_value_is_a_change() -> None:
    old = {"VpcId": "vpc-1", "CidrBlock": "10.0.0.0/24"}
    found = changed(ec2.SUBNET, old, old | {"VpcId": UNKNOWN})
    assert (found.replaces, found.detailed) == (("VpcId",), {"VpcId": Kind.UPDATE_REPLACE})


def test_default_tags_are_part_of_the_inputs() -> None:
    provider = AwsProvider()
    provider.configure({"defaultTags": '{"mesh": "m", "team": "a"}'})
    inputs, _ = provider.check("meshaws:ec2:RouteTable", urn="", news={"VpcId": "v", "Tags": {"team": "b"}}, olds={})
    assert inputs["Tags"] == {"mesh": "m", "team": "b"}
