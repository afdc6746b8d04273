"""The lab's AWS API, called by boto3 over HTTP: refusals, EC2, file systems, the hosted zone, S3."""

# ruff: noqa: S310 (addresses of the test itself)
from __future__ import annotations

import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, ClassVar

import pytest
from botocore.exceptions import ClientError

from meshctl.lab.aws import zones
from tests.integration.lab_aws_server import ACCOUNT, KEY, REGION, Aws, code_of, make_network
from tests.waiting import COMMAND_S

# throttled, and with credentials that have expired, where these are not ThrottlingException and ExpiredTokenException
CODES = {
    "ec2": ("RequestLimitExceeded", "RequestExpired"),
    "iam": ("Throttling", "ExpiredToken"),
    "sts": ("Throttling", "ExpiredToken"),
    "route53": ("Throttling", "ExpiredToken"),
    "s3": ("SlowDown", "ExpiredToken"),
}


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
    @pytest.mark.parametrize("is_throttled", [True, False], ids=["throttled", "expired"])
    def test_faults(self, aws: Aws, service: str, operation: str, call: Any, *, is_throttled: bool) -> None:
        throttling, expired = CODES.get(service, ("ThrottlingException", "ExpiredTokenException"))
        code = throttling if is_throttled else expired
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
    def test_a_fault_with_a_code_that_the_service_does_not_have_is_an_error_of_the_lab(
        self, aws: Aws, service: str, operation: str, call: Any
    ) -> None:
        invented = "ThrottlingException" if service in CODES else "RequestLimitExceeded"
        aws.faults({"operation": operation, "service": service, "error": invented, "times": 1})
        with pytest.raises(
            ClientError, match=f"LabConfigurationError.*{operation} of {service} can't end with {invented}"
        ):
            call(aws.client(service))

    @pytest.mark.parametrize(("service", "operation", "call"), CALLS, ids=[f"{c[0]}.{c[1]}" for c in CALLS])
    def test_unknown_access_keys(self, aws: Aws, service: str, operation: str, call: Any) -> None:
        with pytest.raises(ClientError) as caught:
            call(aws.client(service, key="AKIAUNKNOWN000000001"))
        assert caught.value.response["Error"]["Code"] == (
            "InvalidAccessKeyId" if service == "s3" else "InvalidClientTokenId"
        )
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403

    def test_a_fault_ends_with_its_file(self, aws: Aws) -> None:
        aws.faults({"operation": "DescribeVpcs", "error": "RequestLimitExceeded", "times": 100})
        ec2 = aws.client("ec2")
        assert code_of(ec2.describe_vpcs) == "RequestLimitExceeded"
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
        with urllib.request.urlopen(request, timeout=60) as answer:
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
    group = aws.client("ec2").create_security_group(GroupName="l", Description="d", VpcId=network["vpc"])["GroupId"]
    assert code_of(fsx.create_file_system, **given, SecurityGroupIds=[group]) == "InvalidNetworkSettings"
    open_ = {"IpProtocol": "tcp", "FromPort": 988, "ToPort": 1023, "UserIdGroupPairs": [{"GroupId": group}]}
    aws.client("ec2").authorize_security_group_ingress(GroupId=group, IpPermissions=[open_])
    assert fsx.create_file_system(**given, SecurityGroupIds=[group])["FileSystem"]["Lifecycle"] == "AVAILABLE"


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


class TestRecords:
    """A zone refuses what the real one refuses, and a batch is applied as a whole or not at all."""

    A: ClassVar = {"Name": "r.example.com", "Type": "A", "TTL": 5, "ResourceRecords": [{"Value": "127.0.0.1"}]}
    CNAME: ClassVar = {**A, "Type": "CNAME", "ResourceRecords": [{"Value": "lb.example.net"}]}

    def change(self, aws: Aws, *changes: tuple[str, dict[str, Any]]) -> None:
        batch = {"Changes": [{"Action": action, "ResourceRecordSet": record} for action, record in changes]}
        aws.client("route53").change_resource_record_sets(HostedZoneId=zones.ID, ChangeBatch=batch)

    def refusal(self, aws: Aws, *changes: tuple[str, dict[str, Any]]) -> str:
        with pytest.raises(ClientError) as caught:
            self.change(aws, *changes)
        assert caught.value.response["Error"]["Code"] == "InvalidChangeBatch"
        return str(caught.value.response["Error"]["Message"])

    def here(self, aws: Aws) -> list[tuple[str, str]]:
        found = aws.client("route53").list_resource_record_sets(HostedZoneId=zones.ID)["ResourceRecordSets"]
        return [
            (each["Type"], each["ResourceRecords"][0]["Value"]) for each in found if each["Name"] == "r.example.com."
        ]

    def test_a_cname_stands_alone(self, aws: Aws) -> None:
        self.change(aws, ("UPSERT", self.A))
        assert "conflicting RRSet of type A" in self.refusal(aws, ("CREATE", self.CNAME))
        assert "conflicting RRSet of type A" in self.refusal(aws, ("UPSERT", self.CNAME))
        self.change(aws, ("DELETE", self.A), ("CREATE", self.CNAME))
        assert self.here(aws) == [("CNAME", "lb.example.net")]
        assert "conflicting RRSet of type CNAME" in self.refusal(aws, ("CREATE", self.A))
        self.change(aws, ("DELETE", self.CNAME), ("CREATE", self.A))  # the same record a second time
        assert self.here(aws) == [("A", "127.0.0.1")]
        self.change(aws, ("DELETE", self.A))

    def test_nothing_of_a_refused_batch_is_applied(self, aws: Aws) -> None:
        self.change(aws, ("UPSERT", self.A))
        other = {**self.A, "ResourceRecords": [{"Value": "127.0.0.2"}]}
        assert "already exists" in self.refusal(aws, ("UPSERT", other), ("CREATE", self.A))
        assert "do not match" in self.refusal(aws, ("DELETE", other))
        assert "was not found" in self.refusal(aws, ("DELETE", self.A), ("DELETE", self.CNAME))
        assert self.here(aws) == [("A", "127.0.0.1")]
        self.change(aws, ("DELETE", self.A))

    def test_a_record_belongs_into_its_zone_and_a_cname_below_its_apex(self, aws: Aws) -> None:
        assert "not permitted in zone" in self.refusal(aws, ("CREATE", {**self.A, "Name": "example.org"}))
        assert "not permitted in zone" in self.refusal(aws, ("CREATE", {**self.A, "Name": "badexample.com"}))
        assert "at apex" in self.refusal(aws, ("CREATE", {**self.CNAME, "Name": "example.com"}))


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
            done = subprocess.run([*rclone, *words], capture_output=True, text=True, check=False, timeout=COMMAND_S)
            assert done.returncode == 0, done.stderr
        for name in ("large", "small", "empty"):
            assert (back / name).read_bytes() == (sent / name).read_bytes()

    def test_buckets_in_the_host_name(self, aws: Aws) -> None:
        s3 = aws.client("s3")
        s3.create_bucket(Bucket="virtual")
        s3.put_object(Bucket="virtual", Key="k/1", Body=b"body")
        url = s3.generate_presigned_url("get_object", Params={"Bucket": "virtual", "Key": "k/1"})
        request = urllib.request.Request(url.replace("/virtual/k/1", "/k/1"), headers={"Host": "virtual.localhost"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert answer.read() == b"body"

    def test_no_credentials(self, aws: Aws) -> None:
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(f"http://127.0.0.1:{aws.port}/bucket/key", timeout=60)
        with caught.value as refused:
            assert refused.code == 403
