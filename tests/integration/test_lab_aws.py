"""The lab's AWS API as a process of its own, called by boto3 over HTTP."""

# ruff: noqa: S310 (addresses of the test itself)
from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from botocore.config import Config
from botocore.exceptions import ClientError

from providers.aws import rows
from providers.aws.provider import AwsProvider

KEY, REGION = "AKIALABDEFAULT000001", "us-east-1"
ACCOUNT = "123456789012"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "eks.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
CA = base64.b64encode(b"-----BEGIN CERTIFICATE-----\nlab\n-----END CERTIFICATE-----\n").decode()


@dataclass
class Aws:
    """The running API and its lab folder."""

    root: Path
    port: int

    def client(self, service: str, key: str = KEY, region: str = REGION, **config: Any) -> Any:
        return boto3.client(
            service,
            region_name=region,
            endpoint_url=f"http://127.0.0.1:{self.port}",
            aws_access_key_id=key,
            aws_secret_access_key="secret",
            config=Config(retries={"total_max_attempts": 1}, **config),
        )

    def eks_json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.root / "eks.json").read_text())
        return found

    def nodes(self, **ready: int) -> None:
        counts = {name.replace("__", "/").replace("_", "-"): count for name, count in ready.items()}
        (self.root / "nodes.json").write_text(json.dumps({"nodegroups": counts}))

    def faults(self, *faults: dict[str, Any]) -> None:
        (self.root / "faults.json").write_text(json.dumps(faults))


def lab_folder(root: Path) -> None:
    """A lab with one control plane for EKS, as `meshctl lab up` describes it."""
    kubeconfig = root / "kubeconfig-eks"
    cluster = {"name": "k", "cluster": {"server": "https://127.0.0.1:6443", "certificate-authority-data": CA}}
    context = {"name": "k", "context": {"cluster": "k", "user": "k"}}
    kubeconfig.write_text(yaml.safe_dump({"clusters": [cluster], "contexts": [context], "current-context": "k"}))
    (root / "aws").mkdir()
    (root / "aws" / "credentials").write_text(f"[default]\naws_access_key_id = {KEY}\naws_secret_access_key = secret\n")


def offer_control_plane(root: Path) -> None:
    """One that no EKS cluster has yet: it goes with the cluster that gets it."""
    plane = {"provider": "eks", "region": REGION, "kubeconfig": str(root / "kubeconfig-eks"), "context": ""}
    (root / "lab.json").write_text(json.dumps({"clusters": {"aws-east": plane}, "ports": {}}))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    root = tmp_path_factory.mktemp("lab")
    lab_folder(root)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "meshctl.lab.aws", "--port", str(port), "--lab", str(root)]
    with (root / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_until(lambda: answers(port) or process.poll() is not None)
        assert process.poll() is None, (root / "log").read_text()
        yield Aws(root, port)
    finally:
        process.terminate()
        process.wait()


@pytest.fixture
def aws(server: Aws) -> Iterator[Aws]:
    offer_control_plane(server.root)
    yield server
    for name in ("faults.json", "nodes.json"):
        (server.root / name).unlink(missing_ok=True)
    clean_eks(server)


def clean_eks(aws: Aws) -> None:
    eks = aws.client("eks")
    for name in eks.list_clusters()["clusters"]:
        for nodegroup in eks.list_nodegroups(clusterName=name)["nodegroups"]:
            eks.delete_nodegroup(clusterName=name, nodegroupName=nodegroup)
        wait_until(lambda name=name: not eks.list_nodegroups(clusterName=name)["nodegroups"])
        eks.delete_cluster(name=name)
    wait_until(lambda: not eks.list_clusters()["clusters"])


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/moto-api/") as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def wait_until(reached: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 30
    while not (found := reached()):
        if time.monotonic() > deadline:
            raise AssertionError("still waiting")
        time.sleep(0.1)
    return found


def code_of(call: Callable[..., Any], **arguments: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    return str(caught.value.response["Error"]["Code"])


def make_network(aws: Aws) -> dict[str, Any]:
    ec2, iam = aws.client("ec2"), aws.client("iam")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{number}.0/24", AvailabilityZone=f"us-east-1{zone}")["Subnet"]
        for number, zone in enumerate("ab")
    ]
    try:
        role = iam.create_role(RoleName="role", AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
    except iam.exceptions.EntityAlreadyExistsException:
        role = iam.get_role(RoleName="role")["Role"]["Arn"]
    return {"vpc": vpc, "subnets": [subnet["SubnetId"] for subnet in subnets], "role": role}


def make_cluster(aws: Aws, name: str = "c1", **more: Any) -> dict[str, Any]:
    network, eks = make_network(aws), aws.client("eks")
    given: dict[str, Any] = {
        "roleArn": network["role"],
        "resourcesVpcConfig": {"subnetIds": network["subnets"]},
        "accessConfig": {"authenticationMode": "API_AND_CONFIG_MAP"},
    }
    eks.create_cluster(name=name, **given | more)
    wait_until(lambda: eks.describe_cluster(name=name)["cluster"]["status"] == "ACTIVE")
    return network


class TestClusters:
    def test_life(self, aws: Aws) -> None:
        network, eks, ec2 = make_cluster(aws, tags={"a": "b"}), aws.client("eks"), aws.client("ec2")
        cluster = eks.describe_cluster(name="c1")["cluster"]
        assert cluster["endpoint"] == "https://127.0.0.1:6443"
        assert cluster["certificateAuthority"]["data"] == CA
        assert cluster["identity"]["oidc"]["issuer"].startswith("https://oidc.eks.us-east-1.amazonaws.com/id/")
        assert cluster["tags"] == {"a": "b"}
        assert cluster["resourcesVpcConfig"]["vpcId"] == network["vpc"]
        group = cluster["resourcesVpcConfig"]["clusterSecurityGroupId"]
        assert ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["VpcId"] == network["vpc"]
        assert aws.eks_json()["clusters"]["c1"]["control_plane"] == "aws-east"
        eks.delete_cluster(name="c1")
        wait_until(lambda: not eks.list_clusters()["clusters"])
        assert code_of(eks.describe_cluster, name="c1") == "ResourceNotFoundException"
        assert code_of(ec2.describe_security_groups, GroupIds=[group]) == "InvalidGroup.NotFound"
        assert aws.eks_json() == {"clusters": {}}
        assert json.loads((aws.root / "lab.json").read_text())["clusters"] == {}

    def test_refusals(self, aws: Aws) -> None:
        network, eks = make_cluster(aws), aws.client("eks")
        given = {"roleArn": network["role"], "resourcesVpcConfig": {"subnetIds": network["subnets"]}}
        assert code_of(eks.create_cluster, name="c1", **given) == "ResourceInUseException"
        one = given | {"resourcesVpcConfig": {"subnetIds": network["subnets"][:1]}}
        assert code_of(eks.create_cluster, name="c2", **one) == "InvalidParameterException"
        nobody = given | {"roleArn": f"arn:aws:iam::{ACCOUNT}:role/nobody"}
        assert code_of(eks.create_cluster, name="c2", **nobody) == "InvalidParameterException"
        assert code_of(aws.client("eks", region="eu-west-1").describe_cluster, name="c1") == "ResourceNotFoundException"
        with pytest.raises(eks.exceptions.ResourceNotFoundException) as caught:
            eks.describe_nodegroup(clusterName="c1", nodegroupName="n")
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404

    def test_updates(self, aws: Aws) -> None:
        make_cluster(aws, version="1.33")
        eks = aws.client("eks")
        done = eks.update_cluster_version(name="c1", version="1.34")["update"]
        assert code_of(eks.update_cluster_version, name="c1", version="1.35") == "ResourceInUseException"
        wait_until(lambda: status_of_update(eks, done) == "Successful")
        assert eks.describe_cluster(name="c1")["cluster"]["version"] == "1.34"
        assert code_of(eks.update_cluster_version, name="c1", version="1.36") == "InvalidParameterException"
        logging = {"clusterLogging": [{"types": ["api"], "enabled": True}]}
        wait_update = eks.update_cluster_config(name="c1", logging=logging)["update"]
        wait_until(lambda: status_of_update(eks, wait_update) == "Successful")
        assert (
            eks.describe_cluster(name="c1")["cluster"]["logging"]["clusterLogging"][0] == logging["clusterLogging"][0]
        )
        assert code_of(eks.update_cluster_config, name="c1", logging=logging) == "InvalidParameterException"
        arn = eks.describe_cluster(name="c1")["cluster"]["arn"]
        eks.tag_resource(resourceArn=arn, tags={"x": "1", "y": "2"})
        eks.untag_resource(resourceArn=arn, tagKeys=["x"])
        assert eks.list_tags_for_resource(resourceArn=arn)["tags"] == {"y": "2"}


def status_of_update(eks: Any, update: dict[str, Any], **names: str) -> str:
    return str(eks.describe_update(name="c1", updateId=update["id"], **names)["update"]["status"])


class TestNodegroups:
    def make(self, aws: Aws, network: dict[str, Any], **more: Any) -> None:
        aws.client("eks").create_nodegroup(
            clusterName="c1",
            nodegroupName="train",
            nodeRole=network["role"],
            subnets=network["subnets"],
            scalingConfig={"minSize": 0, "maxSize": 4, "desiredSize": 2},
            labels={"meshctl.dev/pool": "train"},
            taints=[{"key": "nvidia.com/gpu", "value": "true", "effect": "NO_SCHEDULE"}],
            **more,
        )

    def status(self, aws: Aws) -> str:
        found = aws.client("eks").describe_nodegroup(clusterName="c1", nodegroupName="train")
        return str(found["nodegroup"]["status"])

    def test_active_when_the_nodes_are_ready_and_gone_when_they_are_gone(self, aws: Aws) -> None:
        network, eks, ec2 = make_cluster(aws), aws.client("eks"), aws.client("ec2")
        data = {"Placement": {"GroupName": "pg"}, "EbsOptimized": True}
        made = ec2.create_launch_template(LaunchTemplateName="lt", LaunchTemplateData=data)["LaunchTemplate"]
        template = {"id": made["LaunchTemplateId"], "version": "1"}
        self.make(aws, network, instanceTypes=["p5.48xlarge"], launchTemplate=template)
        entry = aws.eks_json()["clusters"]["c1"]["nodegroups"]["train"]
        assert entry["desiredSize"] == 2
        assert entry["instanceTypes"] == ["p5.48xlarge"]
        assert entry["zones"] == ["us-east-1a", "us-east-1b"]
        assert entry["taints"] == [{"key": "nvidia.com/gpu", "value": "true", "effect": "NO_SCHEDULE"}]
        assert entry["placementGroup"] == "pg"
        aws.nodes(c1__train=1)
        time.sleep(1)
        assert self.status(aws) == "CREATING"
        aws.nodes(c1__train=2)
        wait_until(lambda: aws.eks_json()["clusters"]["c1"]["nodegroups"]["train"]["status"] == "ACTIVE")
        assert code_of(eks.delete_cluster, name="c1") == "ResourceInUseException"
        eks.delete_nodegroup(clusterName="c1", nodegroupName="train")
        time.sleep(1)
        assert self.status(aws) == "DELETING"
        aws.nodes()
        wait_until(lambda: not aws.eks_json()["clusters"]["c1"]["nodegroups"])
        assert code_of(eks.describe_nodegroup, clusterName="c1", nodegroupName="train") == "ResourceNotFoundException"

    def test_updates(self, aws: Aws) -> None:
        network, eks = make_cluster(aws), aws.client("eks")
        aws.nodes(c1__train=2)
        self.make(aws, network)
        wait_until(lambda: self.status(aws) == "ACTIVE")
        update = eks.update_nodegroup_config(
            clusterName="c1",
            nodegroupName="train",
            scalingConfig={"minSize": 0, "maxSize": 4, "desiredSize": 3},
            labels={"addOrUpdateLabels": {"a": "b"}, "removeLabels": ["meshctl.dev/pool"]},
            taints={"removeTaints": [{"key": "nvidia.com/gpu", "value": "true", "effect": "NO_SCHEDULE"}]},
        )["update"]
        entry = aws.eks_json()["clusters"]["c1"]["nodegroups"]["train"]
        assert (entry["desiredSize"], entry["labels"], entry["taints"]) == (3, {"a": "b"}, [])
        time.sleep(1)
        assert status_of_update(eks, update, nodegroupName="train") == "InProgress"
        aws.nodes(c1__train=3)
        wait_until(lambda: status_of_update(eks, update, nodegroupName="train") == "Successful")

    def test_no_capacity(self, aws: Aws) -> None:
        network, eks = make_cluster(aws), aws.client("eks")
        fault = {"operation": "CreateNodegroup", "error": "InsufficientInstanceCapacity", "message": "no p5"}
        aws.faults(fault | {"async": True})
        self.make(aws, network)
        wait_until(lambda: self.status(aws) == "CREATE_FAILED")
        issue = eks.describe_nodegroup(clusterName="c1", nodegroupName="train")["nodegroup"]["health"]["issues"][0]
        assert (issue["code"], issue["message"]) == ("InsufficientInstanceCapacity", "no p5")


class TestAccess:
    def test_the_creator_is_an_administrator(self, aws: Aws) -> None:
        make_cluster(aws)
        eks, caller = aws.client("eks"), aws.client("sts").get_caller_identity()["Arn"]
        assert caller == f"arn:aws:iam::{ACCOUNT}:user/default"
        assert eks.list_access_entries(clusterName="c1")["accessEntries"] == [caller]
        entry = aws.eks_json()["clusters"]["c1"]["access"][0]
        assert (entry["principalArn"], entry["access_key"]) == (caller, KEY)
        assert entry["policies"] == [f"{ASSIGN}AmazonEKSClusterAdminPolicy"]

    def test_entries_and_policies(self, aws: Aws) -> None:
        make_cluster(aws)
        eks = aws.client("eks")
        who = {"clusterName": "c1", "principalArn": f"arn:aws:iam::{ACCOUNT}:role/ops"}
        eks.create_access_entry(**who, kubernetesGroups=["ops"], tags={"t": "1"})
        assert code_of(eks.create_access_entry, **who) == "ResourceInUseException"
        eks.update_access_entry(**who, kubernetesGroups=["ops", "more"])
        assert eks.describe_access_entry(**who)["accessEntry"]["kubernetesGroups"] == ["ops", "more"]
        policy = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy"
        eks.associate_access_policy(**who, policyArn=policy, accessScope={"type": "namespace", "namespaces": ["n"]})
        found = eks.list_associated_access_policies(**who)["associatedAccessPolicies"]
        assert [item["accessScope"]["namespaces"] for item in found] == [["n"]]
        eks.disassociate_access_policy(**who, policyArn=policy)
        assert eks.list_associated_access_policies(**who)["associatedAccessPolicies"] == []
        eks.delete_access_entry(**who)
        assert code_of(eks.describe_access_entry, **who) == "ResourceNotFoundException"

    def test_config_map_clusters_have_no_entries(self, aws: Aws) -> None:
        make_cluster(aws, accessConfig={"authenticationMode": "CONFIG_MAP"})
        eks = aws.client("eks")
        assert code_of(eks.list_access_entries, clusterName="c1") == "InvalidRequestException"
        assert [entry["access_key"] for entry in aws.eks_json()["clusters"]["c1"]["access"]] == [KEY]


def test_addons(aws: Aws) -> None:
    make_cluster(aws)
    eks, names = aws.client("eks"), {"clusterName": "c1", "addonName": "vpc-cni"}
    eks.create_addon(**names, resolveConflicts="OVERWRITE")
    wait_until(lambda: eks.describe_addon(**names)["addon"]["status"] == "ACTIVE")
    update = eks.update_addon(**names, configurationValues='{"env": {"A": "1"}}')["update"]
    wait_until(lambda: status_of_update(eks, update, addonName="vpc-cni") == "Successful")
    assert eks.describe_addon(**names)["addon"]["configurationValues"] == '{"env": {"A": "1"}}'
    assert code_of(eks.create_addon, clusterName="c1", addonName="nonsense") == "InvalidParameterException"
    eks.delete_addon(**names)
    wait_until(lambda: eks.list_addons(clusterName="c1")["addons"] == [])


def test_pod_identity(aws: Aws) -> None:
    network = make_cluster(aws)
    eks = aws.client("eks")
    who = {"clusterName": "c1", "namespace": "n", "serviceAccount": "s"}
    made = eks.create_pod_identity_association(**who, roleArn=network["role"], tags={"a": "b"})["association"]
    assert code_of(eks.create_pod_identity_association, **who, roleArn=network["role"]) == "ResourceInUseException"
    names = {"clusterName": "c1", "associationId": made["associationId"]}
    eks.tag_resource(resourceArn=made["associationArn"], tags={"c": "d"})
    assert eks.describe_pod_identity_association(**names)["association"]["tags"] == {"a": "b", "c": "d"}
    assert len(eks.list_pod_identity_associations(**who)["associations"]) == 1
    assert eks.list_pod_identity_associations(**who | {"namespace": "other"})["associations"] == []
    eks.update_pod_identity_association(**names, disableSessionTags=True)
    assert eks.describe_pod_identity_association(**names)["association"]["disableSessionTags"] is True
    eks.delete_pod_identity_association(**names)
    assert code_of(eks.describe_pod_identity_association, **names) == "ResourceNotFoundException"


class TestRefusals:
    """Each protocol's own form: botocore reads the code out of it."""

    CALLS = (
        ("ec2", "DescribeVpcs", lambda client: client.describe_vpcs()),
        ("iam", "ListRoles", lambda client: client.list_roles()),
        ("sts", "GetCallerIdentity", lambda client: client.get_caller_identity()),
        ("efs", "DescribeFileSystems", lambda client: client.describe_file_systems()),
        ("fsx", "DescribeFileSystems", lambda client: client.describe_file_systems()),
        ("eks", "ListClusters", lambda client: client.list_clusters()),
        ("route53", "ListHostedZones", lambda client: client.list_hosted_zones()),
        ("s3", "ListBuckets", lambda client: client.list_buckets()),
        ("s3", "ListObjectsV2", lambda client: client.list_objects_v2(Bucket="nothing")),
    )

    @pytest.mark.parametrize(("service", "operation", "call"), CALLS, ids=[f"{c[0]}.{c[1]}" for c in CALLS])
    @pytest.mark.parametrize("code", ["RequestLimitExceeded", "ExpiredToken", "VcpuLimitExceeded"])
    def test_faults(self, aws: Aws, service: str, operation: str, call: Any, code: str) -> None:
        aws.faults({"operation": operation, "service": service, "error": code, "message": "so it is", "times": 2})
        client = aws.client(service)
        for _ in range(2):
            with pytest.raises(ClientError) as caught:
                call(client)
            assert caught.value.response["Error"]["Code"] == code
            assert caught.value.response["Error"]["Message"] == "so it is"
        if operation == "ListObjectsV2":
            assert code_of(client.list_objects_v2, Bucket="nothing") == "NoSuchBucket"
        else:
            call(client)

    @pytest.mark.parametrize(("service", "operation", "call"), CALLS, ids=[f"{c[0]}.{c[1]}" for c in CALLS])
    def test_unknown_access_keys(self, aws: Aws, service: str, operation: str, call: Any) -> None:
        with pytest.raises(ClientError) as caught:
            call(aws.client(service, key="AKIAUNKNOWN000000001"))
        assert caught.value.response["Error"]["Code"] == (
            "InvalidAccessKeyId" if service == "s3" else "InvalidClientTokenId"
        )
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403

    def test_a_fault_ends_with_its_file(self, aws: Aws) -> None:
        aws.faults({"operation": "DescribeVpcs", "error": "Throttling", "times": 100})
        ec2 = aws.client("ec2")
        assert code_of(ec2.describe_vpcs) == "Throttling"
        (aws.root / "faults.json").unlink()
        ec2.describe_vpcs()

    def test_keys_written_later_are_known(self, aws: Aws) -> None:
        file = aws.root / "aws" / "credentials"
        before = file.read_text()
        file.write_text(f"{before}\n[ops]\naws_access_key_id = AKIALABOPS0000000001\naws_secret_access_key = s\n")
        caller = aws.client("sts", key="AKIALABOPS0000000001").get_caller_identity()
        assert caller["Arn"] == f"arn:aws:iam::{ACCOUNT}:user/ops"
        file.write_text(before)

    def test_a_presigned_caller_identity(self, aws: Aws) -> None:
        url = aws.client("sts").generate_presigned_url("get_caller_identity")
        request = urllib.request.Request(url, headers={"Accept": "application/json", "x-k8s-aws-id": "c1"})
        with urllib.request.urlopen(request) as answer:
            assert f"arn:aws:iam::{ACCOUNT}:user/default" in answer.read().decode()


class TestEc2:
    def test_placement_groups(self, aws: Aws) -> None:
        ec2 = aws.client("ec2")
        tags = [{"ResourceType": "placement-group", "Tags": [{"Key": "Name", "Value": "x"}]}]
        made = ec2.create_placement_group(GroupName="pg1", Strategy="cluster", TagSpecifications=tags)["PlacementGroup"]
        assert code_of(ec2.create_placement_group, GroupName="pg1") == "InvalidPlacementGroup.Duplicate"
        ec2.create_tags(Resources=[made["GroupId"]], Tags=[{"Key": "a", "Value": "b"}])
        found = ec2.describe_placement_groups(Filters=[{"Name": "tag:Name", "Values": ["x"]}])["PlacementGroups"]
        assert [group["GroupName"] for group in found] == ["pg1"]
        assert {tag["Key"] for tag in found[0]["Tags"]} == {"Name", "a"}
        assert (found[0]["State"], found[0]["Strategy"]) == ("available", "cluster")
        ec2.delete_placement_group(GroupName="pg1")
        assert code_of(ec2.describe_placement_groups, GroupNames=["pg1"]) == "InvalidPlacementGroup.Unknown"

    def test_capacity_reservations(self, aws: Aws) -> None:
        ec2 = aws.client("ec2")
        made = ec2.create_capacity_reservation(
            InstanceType="p5.48xlarge",
            InstancePlatform="Linux/UNIX",
            AvailabilityZone="us-east-1a",
            InstanceCount=4,
        )["CapacityReservation"]
        ids = [made["CapacityReservationId"]]
        found = ec2.describe_capacity_reservations(CapacityReservationIds=ids)["CapacityReservations"]
        assert [(item["State"], item["TotalInstanceCount"]) for item in found] == [("active", 4)]
        ec2.cancel_capacity_reservation(CapacityReservationId=ids[0])
        found = ec2.describe_capacity_reservations(CapacityReservationIds=ids)["CapacityReservations"]
        assert [item["State"] for item in found] == ["cancelled"]

    def test_a_network_comes_down_only_from_the_top(self, aws: Aws) -> None:
        ec2 = aws.client("ec2")
        vpc = ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
        subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.1.0.0/24")["Subnet"]["SubnetId"]
        gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
        address = ec2.allocate_address(Domain="vpc")["AllocationId"]
        nat = ec2.create_nat_gateway(SubnetId=subnet, AllocationId=address)["NatGateway"]["NatGatewayId"]
        one, two = (
            ec2.create_security_group(GroupName=name, Description="d", VpcId=vpc)["GroupId"] for name in ("one", "two")
        )
        permissions = [{"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": one}]}]
        rules = ec2.authorize_security_group_ingress(GroupId=two, IpPermissions=permissions)["SecurityGroupRules"]
        assert ec2.describe_nat_gateways(NatGatewayIds=[nat])["NatGateways"][0]["State"] == "available"
        assert code_of(ec2.delete_subnet, SubnetId=subnet) == "DependencyViolation"
        assert code_of(ec2.release_address, AllocationId=address) == "InvalidIPAddress.InUse"
        attached = {"InternetGatewayId": gateway, "VpcId": vpc}
        assert code_of(ec2.detach_internet_gateway, **attached) == "DependencyViolation"
        assert code_of(ec2.delete_security_group, GroupId=one) == "DependencyViolation"
        ec2.delete_nat_gateway(NatGatewayId=nat)
        assert ec2.describe_nat_gateways(NatGatewayIds=[nat])["NatGateways"][0]["State"] == "deleted"
        ec2.release_address(AllocationId=address)
        ec2.delete_subnet(SubnetId=subnet)
        assert code_of(ec2.delete_vpc, VpcId=vpc) == "DependencyViolation"
        ec2.detach_internet_gateway(**attached)
        ec2.delete_internet_gateway(InternetGatewayId=gateway)
        assert code_of(ec2.delete_vpc, VpcId=vpc) == "DependencyViolation"
        ids = [rule["SecurityGroupRuleId"] for rule in rules]
        ec2.revoke_security_group_ingress(GroupId=two, SecurityGroupRuleIds=ids)
        for group in (one, two):
            ec2.delete_security_group(GroupId=group)
        ec2.delete_vpc(VpcId=vpc)
        assert code_of(ec2.describe_vpcs, VpcIds=[vpc]) == "InvalidVpcID.NotFound"


def test_lustre(aws: Aws) -> None:
    network, fsx = make_network(aws), aws.client("fsx")
    given = {
        "FileSystemType": "LUSTRE",
        "StorageCapacity": 1200,
        "SubnetIds": network["subnets"][:1],
        "LustreConfiguration": {"DeploymentType": "PERSISTENT_2", "PerUnitStorageThroughput": 125},
        "Tags": [{"Key": "a", "Value": "b"}],
    }
    made = fsx.create_file_system(**given)["FileSystem"]
    ids = [made["FileSystemId"]]
    found = fsx.describe_file_systems(FileSystemIds=ids)["FileSystems"][0]
    assert (found["Lifecycle"], found["VpcId"], found["SubnetIds"]) == ("AVAILABLE", network["vpc"], given["SubnetIds"])
    assert found["DNSName"] == f"{ids[0]}.fsx.us-east-1.amazonaws.com"
    assert found["LustreConfiguration"]["MountName"]
    fsx.tag_resource(ResourceARN=made["ResourceARN"], Tags=[{"Key": "c", "Value": "d"}])
    fsx.update_file_system(FileSystemId=ids[0], StorageCapacity=2400)
    found = fsx.describe_file_systems()["FileSystems"][0]
    assert found["StorageCapacity"] == 2400
    assert found["Tags"] == [{"Key": "a", "Value": "b"}, {"Key": "c", "Value": "d"}]
    fsx.delete_file_system(FileSystemId=ids[0])
    assert code_of(fsx.describe_file_systems, FileSystemIds=ids) == "FileSystemNotFound"
    assert code_of(fsx.create_file_system, **given | {"SubnetIds": [f"subnet-{0:017x}"]}) == "InvalidNetworkSettings"


def test_efs(aws: Aws) -> None:
    network, efs = make_network(aws), aws.client("efs")
    made = efs.create_file_system(CreationToken="t", Encrypted=True, ThroughputMode="elastic")["FileSystemId"]
    names = {"FileSystemId": made, "SubnetId": network["subnets"][0]}
    target = efs.create_mount_target(**names)["MountTargetId"]
    assert efs.describe_file_systems(FileSystemId=made)["FileSystems"][0]["LifeCycleState"] == "available"
    assert efs.describe_mount_targets(FileSystemId=made)["MountTargets"][0]["LifeCycleState"] == "available"
    assert code_of(efs.create_mount_target, **names) == "MountTargetConflict"
    assert code_of(efs.delete_file_system, FileSystemId=made) == "FileSystemInUse"
    efs.delete_mount_target(MountTargetId=target)
    efs.delete_file_system(FileSystemId=made)
    assert code_of(efs.describe_file_systems, FileSystemId=made) == "FileSystemNotFound"


def test_the_hosted_zone(aws: Aws) -> None:
    route53 = aws.client("route53")
    zone = route53.list_hosted_zones_by_name(DNSName="example.com.")["HostedZones"][0]
    assert zone["Name"] == "example.com."
    record = {"Name": "a.example.com.", "Type": "A", "TTL": 5, "ResourceRecords": [{"Value": "127.0.0.1"}]}
    batch = {"Changes": [{"Action": "CREATE", "ResourceRecordSet": record}]}
    change = route53.change_resource_record_sets(HostedZoneId=zone["Id"], ChangeBatch=batch)["ChangeInfo"]
    assert route53.get_change(Id=change["Id"])["ChangeInfo"]["Status"] == "INSYNC"
    names = [
        found["Name"] for found in route53.list_resource_record_sets(HostedZoneId=zone["Id"])["ResourceRecordSets"]
    ]
    assert "a.example.com." in names


class TestS3:
    @pytest.mark.parametrize("checksum", ["when_supported", "when_required"])
    def test_a_large_object_comes_back_as_it_was(self, aws: Aws, tmp_path: Path, checksum: str) -> None:
        s3 = aws.client("s3", request_checksum_calculation=checksum, s3={"addressing_style": "path"})
        bucket = f"large-{checksum.replace('_', '-')}"
        s3.create_bucket(Bucket=bucket)
        sent, back = tmp_path / "sent", tmp_path / "back"
        sent.write_bytes(os.urandom(1 << 20) * 200)
        s3.upload_file(str(sent), bucket, "folder/a b+c", ExtraArgs={"Metadata": {"k": "v"}})
        head = s3.head_object(Bucket=bucket, Key="folder/a b+c")
        assert (head["ContentLength"], head["Metadata"]) == (200 << 20, {"k": "v"})
        s3.download_file(bucket, "folder/a b+c", str(back))
        assert back.read_bytes() == sent.read_bytes()
        s3.delete_object(Bucket=bucket, Key="folder/a b+c")

    def test_rclone(self, aws: Aws, tmp_path: Path) -> None:
        aws.client("s3").create_bucket(Bucket="rclone")
        sent, back = tmp_path / "sent", tmp_path / "back"
        sent.mkdir()
        (sent / "large").write_bytes(os.urandom(1 << 20) * 200)
        (sent / "small").write_bytes(b"x")
        (sent / "empty").write_bytes(b"")
        remote = f":s3,provider=Other,endpoint='http://127.0.0.1:{aws.port}',region={REGION}"
        remote += f",access_key_id={KEY},secret_access_key=secret,force_path_style=true:rclone/x"
        rclone = [str(Path(sys.executable).with_name("rclone")), "--config", os.devnull]
        for words in (["copy", str(sent), remote], ["check", str(sent), remote], ["copy", remote, str(back)]):
            done = subprocess.run([*rclone, *words], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
        for name in ("large", "small", "empty"):
            assert (back / name).read_bytes() == (sent / name).read_bytes()

    def test_buckets_in_the_host_name(self, aws: Aws) -> None:
        s3 = aws.client("s3")
        s3.create_bucket(Bucket="virtual")
        s3.put_object(Bucket="virtual", Key="k/1", Body=b"body")
        url = s3.generate_presigned_url("get_object", Params={"Bucket": "virtual", "Key": "k/1"})
        request = urllib.request.Request(url.replace("/virtual/k/1", "/k/1"), headers={"Host": "virtual.localhost"})
        with urllib.request.urlopen(request) as answer:
            assert answer.read() == b"body"

    def test_no_credentials(self, aws: Aws) -> None:
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(f"http://127.0.0.1:{aws.port}/bucket/key")
        assert caught.value.code == 403


# ---- every row of the provider

SELF = [{"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": "$group"}]}]
POLICY = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]}
ASSIGN = "arn:aws:eks::aws:cluster-access-policy/"
# token, inputs, what an update changes
ROWS: tuple[tuple[str, dict[str, Any], dict[str, Any]], ...] = (
    ("ec2:Vpc", {"CidrBlock": "10.9.0.0/16", "EnableDnsHostnames": True}, {"EnableDnsHostnames": False}),
    ("ec2:Subnet", {"VpcId": "$vpc", "CidrBlock": "10.0.9.0/24"}, {"MapPublicIpOnLaunch": True}),
    ("ec2:InternetGateway", {"VpcId": "$empty_vpc"}, {"Tags": {"a": "b"}}),
    ("ec2:Address", {"Domain": "vpc"}, {"Tags": {"a": "b"}}),
    ("ec2:NatGateway", {"SubnetId": "$subnet", "AllocationId": "$address"}, {"Tags": {"a": "b"}}),
    ("ec2:RouteTable", {"VpcId": "$vpc"}, {"Tags": {"a": "b"}}),
    ("ec2:Route", {"RouteTableId": "$table", "DestinationCidrBlock": "0.0.0.0/0", "GatewayId": "$gateway"}, {}),
    ("ec2:RouteTableAssociation", {"RouteTableId": "$table", "SubnetId": "$subnet"}, {}),
    ("ec2:SecurityGroup", {"GroupName": "efa", "Description": "EFA", "VpcId": "$vpc"}, {"Tags": {"a": "b"}}),
    ("ec2:SecurityGroupIngress", {"GroupId": "$group", "IpPermissions": SELF}, {"Tags": {"a": "b"}}),
    ("ec2:SecurityGroupEgress", {"GroupId": "$group", "IpPermissions": SELF}, {"Tags": {"a": "b"}}),
    ("ec2:PlacementGroup", {"GroupName": "pg", "Strategy": "cluster"}, {"Tags": {"a": "b"}}),
    (
        "ec2:LaunchTemplate",
        {"LaunchTemplateName": "t", "LaunchTemplateData": {"InstanceType": "p5.48xlarge"}},
        {"LaunchTemplateData": {"InstanceType": "p5en.48xlarge"}},
    ),
    (
        "ec2:VpcEndpoint",
        {
            "VpcId": "$vpc",
            "VpcEndpointType": "Gateway",
            "ServiceName": "com.amazonaws.us-east-1.s3",
            "RouteTableIds": ["$table"],
        },
        {"RouteTableIds": ["$table", "$other_table"]},
    ),
    ("iam:Role", {"RoleName": "node", "AssumeRolePolicyDocument": TRUST}, {"Description": "nodes"}),
    ("iam:RolePolicy", {"RoleName": "role", "PolicyName": "p", "PolicyDocument": POLICY}, {}),
    (
        "iam:RolePolicyAttachment",
        {"RoleName": "role", "PolicyArn": "arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryPullOnly"},
        {},
    ),
    (
        "iam:OpenIDConnectProvider",
        {"Url": "https://oidc.eks.us-east-1.amazonaws.com/id/X", "ClientIDList": ["sts.amazonaws.com"]},
        {"Tags": {"a": "b"}},
    ),
    (
        "s3:Bucket",
        {
            "Bucket": "mesh-weights",
            "PublicAccessBlock": {"BlockPublicAcls": True},
            "BucketEncryption": {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]},
            "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
        },
        {"Versioning": {"Status": "Enabled"}},
    ),
    ("efs:FileSystem", {"Encrypted": True, "ThroughputMode": "elastic"}, {"Tags": {"a": "b"}}),
    (
        "efs:MountTarget",
        {"FileSystemId": "$efs", "SubnetId": "$subnet", "SecurityGroups": ["$group"]},
        {"SecurityGroups": ["$other_group"]},
    ),
    (
        "fsx:FileSystem",
        {
            "FileSystemType": "LUSTRE",
            "FileSystemTypeVersion": "2.15",
            "StorageCapacity": 1200,
            "StorageType": "SSD",
            "SubnetIds": ["$subnet"],
            "SecurityGroupIds": ["$group"],
            "LustreConfiguration": {"DeploymentType": "PERSISTENT_2", "PerUnitStorageThroughput": 125},
        },
        {"StorageCapacity": 2400},
    ),
    (
        "route53:RecordSet",
        {
            "HostedZoneId": "$zone",
            "Name": "chat.example.com",
            "Type": "CNAME",
            "TTL": 30,
            "ResourceRecords": [{"Value": "a.example.net"}],
        },
        {"ResourceRecords": [{"Value": "b.example.net"}]},
    ),
    ("eks:Addon", {"clusterName": "c1", "addonName": "coredns", "resolveConflicts": "OVERWRITE"}, {"Tags": {"a": "b"}}),
    (
        "eks:Nodegroup",
        {
            "clusterName": "c1",
            "nodegroupName": "general",
            "nodeRole": "$role",
            "subnets": ["$subnet"],
            "instanceTypes": ["m7i.xlarge"],
            "scalingConfig": {"minSize": 0, "maxSize": 3, "desiredSize": 0},
            "launchTemplate": {"id": "$template", "version": "1"},
        },
        {"labels": {"a": "b"}},
    ),
    (
        "eks:AccessEntry",
        {"clusterName": "c1", "principalArn": f"arn:aws:iam::{ACCOUNT}:role/ops"},
        {"kubernetesGroups": ["ops"]},
    ),
    (
        "eks:AccessPolicyAssociation",
        {
            "clusterName": "c1",
            "principalArn": f"arn:aws:iam::{ACCOUNT}:user/default",
            "policyArn": f"{ASSIGN}AmazonEKSViewPolicy",
            "accessScope": {"type": "cluster"},
        },
        {"accessScope": {"type": "namespace", "namespaces": ["n"]}},
    ),
    (
        "eks:PodIdentityAssociation",
        {"clusterName": "c1", "namespace": "n", "serviceAccount": "s", "roleArn": "$role"},
        {"disableSessionTags": True},
    ),
)


def named_things(aws: Aws, *, cluster: bool) -> dict[str, str]:
    """What the rows refer to as `$name`, made anew."""
    network = make_cluster(aws) if cluster else make_network(aws)
    ec2, efs = aws.client("ec2"), aws.client("efs")
    vpc, template = network["vpc"], f"template-{time.monotonic_ns()}"
    groups = [ec2.create_security_group(GroupName=name, Description="d", VpcId=vpc)["GroupId"] for name in "ab"]
    tables = [ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"] for _ in range(2)]
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    made = ec2.create_launch_template(LaunchTemplateName=template, LaunchTemplateData={"EbsOptimized": True})
    zones = aws.client("route53").list_hosted_zones()["HostedZones"]
    return {
        "$vpc": vpc,
        "$empty_vpc": ec2.create_vpc(CidrBlock="10.2.0.0/16")["Vpc"]["VpcId"],
        "$subnet": network["subnets"][0],
        "$role": network["role"],
        "$group": groups[0],
        "$other_group": groups[1],
        "$table": tables[0],
        "$other_table": tables[1],
        "$gateway": gateway,
        "$address": ec2.allocate_address(Domain="vpc")["AllocationId"],
        "$template": made["LaunchTemplate"]["LaunchTemplateId"],
        "$efs": efs.create_file_system(CreationToken=template)["FileSystemId"],
        "$zone": zones[0]["Id"].split("/")[-1],
    }


def filled(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: filled(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [filled(item, names) for item in value]
    return names.get(value, value) if isinstance(value, str) else value


def provider_of(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> AwsProvider:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    provider = AwsProvider()
    provider.configure({"region": REGION, "endpointUrl": f"http://127.0.0.1:{aws.port}", "s3Addressing": "path"})
    return provider


def live(provider: AwsProvider, token: str, inputs: dict[str, Any], changed: dict[str, Any]) -> None:
    """Create, read, update, read, delete, read: as the engine would."""
    urn = f"urn:pulumi:lab::mesh::{token}::it"

    def check(given: dict[str, Any]) -> dict[str, Any]:
        checked, failures = provider.check(token, urn=urn, news=given, olds={})
        assert failures == []
        return checked

    old, new = check(inputs), check(inputs | changed)
    made = provider.create(token, urn=urn, inputs=old, timeout_s=60, preview=False)
    found = provider.read(token, urn=urn, id=made.id, inputs=old, outputs=made.outputs)
    assert (found.id, found.inputs) == (made.id, old)
    assert provider.create(token, urn=urn, inputs=old, timeout_s=60, preview=False).id == made.id
    outputs = made.outputs
    if changed:
        outputs = provider.update(
            token,
            urn=urn,
            id=made.id,
            old_inputs=old,
            old_outputs=outputs,
            news=new,
            timeout_s=60,
            preview=False,
            ignore_changes=[],
        )
        assert provider.read(token, urn=urn, id=made.id, inputs=new, outputs=outputs).inputs == new
    for _ in range(2):
        provider.delete(token, urn=urn, id=made.id, inputs=new, outputs=outputs, timeout_s=60)
        assert provider.read(token, urn=urn, id=made.id, inputs=new, outputs=outputs).id == ""


@pytest.mark.parametrize(("token", "inputs", "changed"), ROWS, ids=[row[0] for row in ROWS])
def test_every_resource_of_the_provider(
    aws: Aws, monkeypatch: pytest.MonkeyPatch, token: str, inputs: dict[str, Any], changed: dict[str, Any]
) -> None:
    names = named_things(aws, cluster=token.startswith("eks:"))
    live(provider_of(aws, monkeypatch), f"meshaws:{token}", filled(inputs, names), filled(changed, names))


def test_a_cluster_of_the_provider(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    network = make_network(aws)
    inputs = {
        "name": "c1",
        "roleArn": network["role"],
        "version": "1.34",
        "resourcesVpcConfig": {
            "subnetIds": network["subnets"],
            "endpointPublicAccess": True,
            "endpointPrivateAccess": True,
        },
        "accessConfig": {
            "authenticationMode": "API_AND_CONFIG_MAP",
            "bootstrapClusterCreatorAdminPermissions": True,
        },
        "logging": {"clusterLogging": [{"types": ["api", "audit", "authenticator"], "enabled": True}]},
        "Tags": {"team": "genai"},
    }
    live(provider_of(aws, monkeypatch), "meshaws:eks:Cluster", inputs, {"version": "1.35", "Tags": {"team": "x"}})


def test_rows_cover_the_provider() -> None:
    assert {f"meshaws:{row[0]}" for row in ROWS} | {"meshaws:eks:Cluster"} == {row.token for row in rows.ALL}
