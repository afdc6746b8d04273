"""Every row of the provider `meshaws` against the lab's AWS API: created, read, updated, deleted as by the engine."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import Any

import pytest

from providers.aws import rows
from providers.aws.provider import AwsProvider
from tests.contract.aws_bench import filled
from tests.integration.lab_aws_server import (
    ACCOUNT,
    ASSIGN,
    KEY,
    REGION,
    TRUST,
    Aws,
    make_cluster,
    make_network,
)

SELF = [{"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": "$group"}]}]
POLICY = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]}
HEALTH_CHECK = {
    "Type": "HTTP",
    "FullyQualifiedDomainName": "lb.example.net",
    "Port": 8000,
    "RequestInterval": 10,
    "FailureThreshold": 3,
}
# token, inputs, what an update changes
ROWS: tuple[tuple[str, dict[str, Any], dict[str, Any]], ...] = (
    ("ec2:Vpc", {"CidrBlock": "10.9.0.0/16", "EnableDnsHostnames": True}, {"EnableDnsHostnames": False}),
    ("ec2:Subnet", {"VpcId": "$vpc", "CidrBlock": "10.0.9.0/24"}, {"MapPublicIpOnLaunch": True}),
    ("ec2:SubnetCidrReservation", {"SubnetId": "$subnet", "Cidr": "10.0.0.128/25", "ReservationType": "prefix"}, {}),
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
    ("logs:LogGroup", {"logGroupName": "/aws/eks/c1/cluster", "retentionInDays": 30}, {"retentionInDays": 60}),
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
    (
        "route53:HealthCheck",
        {"CallerReference": "rows-1", "HealthCheckConfig": {**HEALTH_CHECK, "ResourcePath": "/health"}},
        {"HealthCheckConfig": {**HEALTH_CHECK, "ResourcePath": "/ready"}},
    ),
    ("acm:Certificate", {"DomainName": "chat.example.com", "ValidationMethod": "DNS"}, {"Tags": {"a": "b"}}),
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
        {"clusterName": "c1", "principalArn": "$role"},
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
    itself = {"IpProtocol": "tcp", "FromPort": 988, "ToPort": 988, "UserIdGroupPairs": [{"GroupId": groups[0]}]}
    ec2.authorize_security_group_ingress(GroupId=groups[0], IpPermissions=[itself])
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


SEEN_LATER = (
    *("ec2:Vpc", "ec2:Subnet", "ec2:InternetGateway", "ec2:Address", "ec2:NatGateway", "ec2:RouteTable"),
    *("ec2:SecurityGroup", "ec2:LaunchTemplate", "ec2:VpcEndpoint"),
)
OF_EC2 = [row for row in ROWS if row[0] in SEEN_LATER]


def provider_of(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> AwsProvider:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    provider = AwsProvider()
    # that it is waited for, is seen in tests/contract/test_aws_provider.py
    provider.rows = {token: replace(row, settle_s=0) for token, row in provider.rows.items()}
    provider.configure({"region": REGION, "endpointUrl": f"http://127.0.0.1:{aws.port}", "s3Addressing": "path"})
    return provider


def assert_life(provider: AwsProvider, token: str, inputs: dict[str, Any], changed: dict[str, Any]) -> str:
    """Create, read, update, read, delete, read: as the engine would. Returns the id."""
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
    return made.id


@pytest.mark.parametrize(("token", "inputs", "changed"), ROWS, ids=[row[0] for row in ROWS])
def test_every_resource_of_the_provider(
    aws: Aws, monkeypatch: pytest.MonkeyPatch, token: str, inputs: dict[str, Any], changed: dict[str, Any]
) -> None:
    names = named_things(aws, cluster=token.startswith("eks:"))
    assert_life(provider_of(aws, monkeypatch), f"meshaws:{token}", filled(inputs, names), filled(changed, names))


@pytest.mark.parametrize(("token", "inputs", "changed"), OF_EC2, ids=[row[0] for row in OF_EC2])
def test_what_is_not_seen_at_once_is_waited_for(
    aws: Aws, monkeypatch: pytest.MonkeyPatch, token: str, inputs: dict[str, Any], changed: dict[str, Any]
) -> None:
    """eventual consistency of EC2: the first calls that name something new do not know it"""
    names = named_things(aws, cluster=False)
    (aws.root / "account.json").write_text(json.dumps({"unseenCalls": 2}))
    made = assert_life(provider_of(aws, monkeypatch), f"meshaws:{token}", filled(inputs, names), filled(changed, names))
    log = (aws.root / "log").read_text()
    assert f"The ID '{made}' does not exist (rule eventual-consistency" in log


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
    assert_life(
        provider_of(aws, monkeypatch), "meshaws:eks:Cluster", inputs, {"version": "1.35", "Tags": {"team": "x"}}
    )


def test_rows_cover_the_provider() -> None:
    elsewhere = {"meshaws:eks:Cluster", "meshaws:acm:IssuedCertificate"}  # `test_lab_eks`, `test_lab_acm`
    assert {f"meshaws:{row[0]}" for row in ROWS} | elsewhere == {row.token for row in rows.ALL}
