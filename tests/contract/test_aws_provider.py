"""The provider `meshaws` against an AWS API over HTTP (moto's server): what every resource must hold to."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest

from meshwire.marks import FOUND, OWNER_TAG, UNFINISHED
from providers.aws.provider import AwsProvider
from providers.aws.rows import eks_access, iam
from providers.aws.rows_engine.calls import Caller
from providers.aws.rows_engine.compare import merged
from providers.plugin.provider import Created, CreatedNotReady, Diff, Kind, ProviderError
from tests.contract.aws_bench import POLICY, REGION, TRUST, Bench, filled, network

SELF = [{"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": "group"}]}]
CASES: list[tuple[str, dict[str, Any]]] = [
    (
        "meshaws:ec2:Vpc",
        {"CidrBlock": "10.9.0.0/16", "EnableDnsHostnames": True, "EnableDnsSupport": True, "Tags": {"Name": "v"}},
    ),
    (
        "meshaws:ec2:Subnet",
        {"VpcId": "vpc", "CidrBlock": "10.0.2.0/24", "AvailabilityZone": "us-east-1a", "MapPublicIpOnLaunch": True},
    ),
    ("meshaws:ec2:SubnetCidrReservation", {"SubnetId": "subnet", "Cidr": "10.0.1.128/25", "ReservationType": "prefix"}),
    ("meshaws:ec2:Address", {"Domain": "vpc-eip"}),
    ("meshaws:ec2:RouteTable", {"VpcId": "vpc", "Tags": {"Name": "private"}}),
    ("meshaws:ec2:Route", {"RouteTableId": "table", "DestinationCidrBlock": "0.0.0.0/0", "GatewayId": "gateway"}),
    ("meshaws:ec2:RouteTableAssociation", {"RouteTableId": "table", "SubnetId": "subnet"}),
    ("meshaws:ec2:SecurityGroup", {"GroupName": "efa", "Description": "EFA", "VpcId": "vpc"}),
    ("meshaws:ec2:SecurityGroupIngress", {"GroupId": "group", "IpPermissions": SELF}),
    ("meshaws:ec2:SecurityGroupEgress", {"GroupId": "group", "IpPermissions": SELF}),
    (
        "meshaws:ec2:LaunchTemplate",
        {"LaunchTemplateName": "t", "LaunchTemplateData": {"InstanceType": "p5.48xlarge", "EbsOptimized": True}},
    ),
    (
        "meshaws:ec2:VpcEndpoint",
        {
            "VpcId": "vpc",
            "VpcEndpointType": "Gateway",
            "ServiceName": "com.amazonaws.us-east-1.s3",
            "RouteTableIds": ["table"],
        },
    ),
    (
        "meshaws:iam:Role",
        {"RoleName": "node", "AssumeRolePolicyDocument": TRUST, "Description": "nodes", "Tags": {"team": "a b"}},
    ),
    ("meshaws:iam:RolePolicy", {"RoleName": "r", "PolicyName": "p", "PolicyDocument": POLICY}),
    (
        "meshaws:iam:RolePolicyAttachment",
        {"RoleName": "r", "PolicyArn": "arn:aws:iam::123456789012:policy/p"},
    ),
    (
        "meshaws:iam:OpenIDConnectProvider",
        {"Url": "https://oidc.eks.us-east-1.amazonaws.com/id/X", "ClientIDList": ["sts.amazonaws.com"]},
    ),
    (
        "meshaws:s3:Bucket",
        {
            "Bucket": "mesh-weights",
            "Versioning": {"Status": "Enabled"},
            "PublicAccessBlock": {"BlockPublicAcls": True, "BlockPublicPolicy": True},
            "BucketEncryption": {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]},
            "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
            "Tags": {"team": "genai"},
        },
    ),
    (
        "meshaws:route53:HealthCheck",
        {
            "CallerReference": "demo-1",
            "HealthCheckConfig": {
                "Type": "HTTP",
                "FullyQualifiedDomainName": "lb.example.com",
                "Port": 8000,
                "ResourcePath": "/health",
                "RequestInterval": 10,
                "FailureThreshold": 3,
            },
            "Tags": {"Name": "chat.example.com aws-east"},
        },
    ),
    ("meshaws:efs:FileSystem", {"Encrypted": True, "Tags": {"Name": "shared"}}),
    ("meshaws:logs:LogGroup", {"logGroupName": "/aws/eks/mesh/cluster", "retentionInDays": 30, "Tags": {"a": "b"}}),
    (
        "meshaws:eks:Cluster",
        {
            "name": "c1",
            "roleArn": "arn:aws:iam::123456789012:role/r",
            "resourcesVpcConfig": {"subnetIds": ["subnet"], "securityGroupIds": ["group"]},
            "Tags": {"team": "genai"},
        },
    ),
]


@pytest.mark.parametrize(("token", "inputs"), CASES, ids=[token for token, _ in CASES])
class TestEveryResource:
    """One suite for all rows: made once, read back as it was asked for, not made twice, gone when gone."""

    def test_life(self, bench: Bench, token: str, inputs: dict[str, Any]) -> None:
        wanted = filled(inputs, network(bench) | {"vpc-eip": "vpc"})
        made = bench.create(token, "new", **wanted)
        assert made.id
        assert merged(made.outputs, wanted) == made.outputs

        found = bench.read(token, made, "new", **wanted)
        assert (found.id, found.inputs) == (made.id, wanted)
        assert bench.diff(token, made, found.inputs, wanted) == Diff(changes=False)

        again = bench.create(token, "new", **wanted)
        assert again.id == made.id  # a run that was interrupted before its state was written made one thing, not two

        bench.delete(token, made, **wanted)
        assert bench.read(token, made, "new", **wanted).id == ""
        bench.delete(token, made, **wanted)  # gone already is fine

    def test_import_reads_what_the_program_needs(self, bench: Bench, token: str, inputs: dict[str, Any]) -> None:
        wanted = filled(inputs, network(bench) | {"vpc-eip": "vpc"})
        made = bench.create(token, "new", **wanted)
        found = bench.provider.read(token, urn=bench.urn(token), id=made.id, inputs={}, outputs={})
        assert found.id == made.id
        assert set(found.inputs) <= set(wanted)


def test_a_lost_answer_makes_one_vpc(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    send = Caller._send
    lost: list[Any] = []

    def lose_first_create(client: Any, call: Any, params: Any) -> Any:
        answer = send(client, call, params)
        if call.operation == "CreateVpc" and not lost:
            lost.append(answer)
            from botocore.exceptions import ReadTimeoutError

            raise ReadTimeoutError(endpoint_url=bench.endpoint)
        return answer

    monkeypatch.setattr(Caller, "_send", staticmethod(lose_first_create))
    made = bench.create("meshaws:ec2:Vpc", CidrBlock="10.7.0.0/16")
    vpcs = bench.api("ec2").describe_vpcs(Filters=[{"Name": "cidr", "Values": ["10.7.0.0/16"]}])["Vpcs"]
    assert [vpc["VpcId"] for vpc in vpcs] == [made.id] == [lost[0]["Vpc"]["VpcId"]]


def test_a_role_of_someone_else_is_a_conflict(bench: Bench) -> None:
    bench.api("iam").create_role(RoleName="node", AssumeRolePolicyDocument="{}")
    with pytest.raises(ProviderError, match="Role node exists already") as caught:
        bench.create("meshaws:iam:Role", RoleName="node", AssumeRolePolicyDocument=TRUST)
    assert caught.value.code == "EntityAlreadyExists"


def test_a_bucket_with_data_of_someone_else_is_a_conflict(bench: Bench) -> None:
    s3 = bench.api("s3")
    s3.create_bucket(Bucket="theirs")
    s3.put_object(Bucket="theirs", Key="k", Body=b"x")
    with pytest.raises(ProviderError, match="Bucket theirs exists already") as caught:
        bench.create("meshaws:s3:Bucket", Bucket="theirs")
    assert caught.value.code == "BucketAlreadyOwnedByYou"


def test_an_empty_untagged_bucket_of_ours_is_taken_over(bench: Bench) -> None:
    bench.api("s3").create_bucket(Bucket="left-behind")
    made = bench.create("meshaws:s3:Bucket", Bucket="left-behind", Versioning={"Status": "Enabled"})
    tags = bench.api("s3").get_bucket_tagging(Bucket="left-behind")["TagSet"]
    assert made.id == "left-behind"
    assert [tag["Key"] for tag in tags] == [OWNER_TAG]
    assert bench.api("s3").get_bucket_versioning(Bucket="left-behind")["Status"] == "Enabled"


def test_a_bucket_with_data_is_deleted_only_when_asked(bench: Bench) -> None:
    made = bench.create("meshaws:s3:Bucket", Bucket="data", Versioning={"Status": "Enabled"})
    for body in (b"1", b"2"):
        bench.api("s3").put_object(Bucket="data", Key="k", Body=body)
    with pytest.raises(ProviderError) as caught:
        bench.delete("meshaws:s3:Bucket", made, Bucket="data")
    assert caught.value.code == "BucketNotEmpty"
    bench.delete("meshaws:s3:Bucket", made, Bucket="data", ForceDestroy=True)
    assert bench.read("meshaws:s3:Bucket", made).id == ""


def test_drift_is_read_as_inputs_that_differ(bench: Bench) -> None:
    wanted = {"CidrBlock": "10.8.0.0/16", "EnableDnsHostnames": True, "Tags": {"Name": "a", "team": "x"}}
    made = bench.create("meshaws:ec2:Vpc", **wanted)
    ec2 = bench.api("ec2")
    ec2.modify_vpc_attribute(VpcId=made.id, EnableDnsHostnames={"Value": False})
    ec2.create_tags(Resources=[made.id], Tags=[{"Key": "Name", "Value": "b"}, {"Key": "other", "Value": "y"}])
    found = bench.read("meshaws:ec2:Vpc", made, **wanted)
    assert found.inputs == wanted | {"EnableDnsHostnames": False, "Tags": {"Name": "b", "team": "x"}}
    diff = bench.diff("meshaws:ec2:Vpc", made, found.inputs, wanted)
    assert diff.detailed == {"EnableDnsHostnames": Kind.UPDATE, "Tags.Name": Kind.UPDATE}
    bench.update("meshaws:ec2:Vpc", made, found.inputs, wanted)
    assert bench.read("meshaws:ec2:Vpc", made, **wanted).inputs == wanted


def test_a_launch_template_update_is_a_new_default_version(bench: Bench) -> None:
    token = "meshaws:ec2:LaunchTemplate"
    old = {"LaunchTemplateName": "t", "LaunchTemplateData": {"InstanceType": "p5.48xlarge"}}
    new = {"LaunchTemplateName": "t", "LaunchTemplateData": {"InstanceType": "p5en.48xlarge"}}
    made = bench.create(token, **old)
    assert made.outputs["LatestVersionNumber"] == 1
    diff = bench.diff(token, made, old, new)
    assert (diff.detailed, diff.replaces) == ({"LaunchTemplateData.InstanceType": Kind.UPDATE}, ())
    outputs = bench.update(token, made, old, new)
    assert (outputs["LatestVersionNumber"], outputs["DefaultVersionNumber"]) == (2, 2)


def test_a_record_that_answers_something_else_is_not_taken(bench: Bench) -> None:
    token = "meshaws:route53:RecordSet"
    zone = bench.api("route53").create_hosted_zone(Name="example.com", CallerReference="1")["HostedZone"]["Id"]
    record = {"HostedZoneId": zone.split("/")[-1], "Name": "chat.example.com", "Type": "CNAME", "TTL": 30}
    first = record | {"ResourceRecords": [{"Value": "a.example.net"}]}
    other = record | {"ResourceRecords": [{"Value": "b.example.net"}]}
    made = bench.create(token, **first)
    assert bench.create(token, **first).id == made.id
    with pytest.raises(ProviderError, match="exists already"):
        bench.create(token, "else", **other)
    taken = bench.create(token, "else", **other, Overwrite=True)
    assert bench.read(token, taken, **other).inputs == other
    outputs = bench.update(token, taken, other, first)
    assert outputs["ResourceRecords"] == first["ResourceRecords"]
    bench.delete(token, taken, **first)
    assert bench.read(token, taken, **first).id == ""


@pytest.mark.parametrize("ttl_s", [300, 60])
def test_a_proof_of_acm_that_was_there_before_stays(bench: Bench, ttl_s: int) -> None:
    """ACM asks for one record for all certificates of a host in an account: another tool renews its own by it."""
    token, route53 = "meshaws:route53:RecordSet", bench.api("route53")
    zone = route53.create_hosted_zone(Name="example.com", CallerReference="2")["HostedZone"]["Id"].split("/")[-1]
    values = [{"Value": "_b.c.acm-validations.aws."}]
    proof = {"Name": "_a.api.example.com.", "Type": "CNAME", "ResourceRecords": values}
    batch = {"Changes": [{"Action": "CREATE", "ResourceRecordSet": {**proof, "TTL": ttl_s}}]}
    route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch=batch)
    wanted = {"HostedZoneId": zone, "TTL": 300, **proof}

    def records() -> list[dict[str, Any]]:
        answer = route53.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
        return [{key: each[key] for key in ("Name", "TTL")} for each in answer if each["Type"] == "CNAME"]

    made = bench.create(token, **wanted)
    again = bench.read(token, made, **wanted)
    assert again.inputs == wanted, "whoever made it decides how long it is kept by resolvers: that is no drift"
    bench.delete(token, Created(again.id, again.outputs), **wanted)
    assert records() == [{"Name": "_a.api.example.com.", "TTL": ttl_s}]


def test_a_proof_of_acm_that_meshctl_has_made_goes(bench: Bench) -> None:
    token, route53 = "meshaws:route53:RecordSet", bench.api("route53")
    zone = route53.create_hosted_zone(Name="example.com", CallerReference="3")["HostedZone"]["Id"].split("/")[-1]
    values = [{"Value": "_b.c.acm-validations.aws."}]
    record = {"Name": "_a.api.example.com.", "Type": "CNAME", "TTL": 300, "ResourceRecords": values}
    wanted = {"HostedZoneId": zone, **record}
    made = bench.create(token, **wanted)
    assert FOUND not in made.outputs
    bench.delete(token, made, **wanted)
    assert bench.read(token, made, **wanted).id == ""


def test_an_unreachable_endpoint_is_never_a_deleted_resource(bench: Bench) -> None:
    made = bench.create("meshaws:ec2:Vpc", CidrBlock="10.6.0.0/16")
    bench.provider.configure({"region": REGION, "endpointUrl": "http://127.0.0.1:1"})
    for operation in (
        lambda: bench.read("meshaws:ec2:Vpc", made, CidrBlock="10.6.0.0/16"),
        lambda: bench.delete("meshaws:ec2:Vpc", made, CidrBlock="10.6.0.0/16"),
        lambda: bench.create("meshaws:ec2:Vpc", CidrBlock="10.6.0.0/16"),
    ):
        with pytest.raises(ProviderError) as caught:
            operation()
        assert caught.value.code == "Unreachable"


def test_no_credentials_has_a_code_of_its_own(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    bench.provider.configure({"region": REGION, "endpointUrl": bench.endpoint})
    with pytest.raises(ProviderError) as caught:
        bench.create("meshaws:ec2:Vpc", CidrBlock="10.6.0.0/16")
    assert caught.value.code == "NoCredentials"


def test_a_preview_of_a_create_needs_no_credentials_and_makes_no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    provider = AwsProvider()
    provider.configure({"region": REGION, "endpointUrl": "http://127.0.0.1:1"})
    made = provider.create(
        "meshaws:ec2:Vpc", urn="urn:pulumi:s::p::t::n", inputs={"CidrBlock": "10.0.0.0/16"}, timeout_s=0, preview=True
    )
    assert made.id == ""
    assert repr(made.outputs["VpcId"]) == "UNKNOWN"


def test_throttling_is_waited_out(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    send = Caller._send
    refused: list[str] = []

    def throttle_twice(client: Any, call: Any, params: Any) -> Any:
        if call.operation == "CreateVpc" and len(refused) < 2:
            refused.append(call)
            details = {"Error": {"Code": "RequestLimitExceeded", "Message": "Request limit exceeded."}}
            raise client.exceptions.ClientError(details, call.operation)
        return send(client, call, params)

    monkeypatch.setattr(Caller, "_send", staticmethod(throttle_twice))
    assert bench.create("meshaws:ec2:Vpc", CidrBlock="10.5.0.0/16").id.startswith("vpc-")
    assert len(refused) == 2


def test_a_failed_setting_keeps_the_object_and_the_next_run_goes_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, wanted = "meshaws:s3:Bucket", {"Bucket": "half", "Versioning": {"Status": "Enabled"}}
    send = Caller._send

    def refuse(client: Any, call: Any, params: Any) -> Any:
        if call.operation == "PutBucketVersioning":
            details = {"Error": {"Code": "AccessDenied", "Message": "no"}}
            raise client.exceptions.ClientError(details, call.operation)
        return send(client, call, params)

    with monkeypatch.context() as patch:
        patch.setattr(Caller, "_send", staticmethod(refuse))
        with pytest.raises(CreatedNotReady) as caught:
            bench.create(token, **wanted)
    assert caught.value.id == "half"
    assert caught.value.reasons == ["PutBucketVersioning: no [code=AccessDenied]"]
    made = Created("half", caught.value.outputs)
    assert bench.diff(token, made, wanted, wanted).changes
    outputs = bench.update(token, made, wanted, wanted)
    assert UNFINISHED not in outputs
    assert bench.api("s3").get_bucket_versioning(Bucket="half")["Status"] == "Enabled"


def test_cancel_ends_a_wait(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    send = Caller._send

    def never_available(client: Any, call: Any, params: Any) -> Any:
        answer = send(client, call, params)
        for vpc in answer.get("Vpcs", []):
            vpc["State"] = "pending"
        return answer

    monkeypatch.setattr(Caller, "_send", staticmethod(never_available))
    threading.Timer(0.5, bench.provider.cancel).start()
    with pytest.raises(CreatedNotReady) as caught:
        bench.create("meshaws:ec2:Vpc", CidrBlock="10.4.0.0/16")
    assert caught.value.reasons[0].endswith("[code=Interrupted]")


def test_inputs_are_checked_before_any_call() -> None:
    provider = AwsProvider()
    _, failures = provider.check(
        "meshaws:ec2:Vpc", urn="", news={"CidrBlok": "10.0.0.0/16", "EnableDnsSupport": True}, olds={}
    )
    assert [(failure.path, failure.reason) for failure in failures] == [
        ("CidrBlok", 'no such property; did you mean "CidrBlock"?')
    ]
    _, failures = provider.check(
        "meshaws:eks:Nodegroup",
        urn="",
        news={"clusterName": "c", "nodegroupName": "n", "subnets": ["s", 1], "scalingConfig": {"minSize": "2"}},
        olds={},
    )
    assert sorted(failure.path for failure in failures) == ["nodeRole", "scalingConfig.minSize", "subnets[1]"]


def test_a_log_group_that_a_service_made_by_itself_is_taken_over(bench: Bench) -> None:
    """finding B9"""
    bench.api("logs").create_log_group(logGroupName="/aws/eks/mesh/cluster")
    made = bench.create("meshaws:logs:LogGroup", logGroupName="/aws/eks/mesh/cluster", retentionInDays=30)
    found = bench.api("logs").describe_log_groups()["logGroups"]
    assert [(group["logGroupName"], group["retentionInDays"]) for group in found] == [("/aws/eks/mesh/cluster", 30)]
    bench.delete("meshaws:logs:LogGroup", made, logGroupName="/aws/eks/mesh/cluster")
    assert bench.api("logs").describe_log_groups()["logGroups"] == []


def test_interfaces_of_ended_nodes_and_the_clusters_group_do_not_hold_the_network(bench: Bench) -> None:
    ec2 = bench.api("ec2")
    vpc = bench.create("meshaws:ec2:Vpc", CidrBlock="10.5.0.0/16")
    subnet = bench.create("meshaws:ec2:Subnet", VpcId=vpc.id, CidrBlock="10.5.0.0/24")

    fabric = bench.create("meshaws:ec2:SecurityGroup", GroupName="fabric", Description="EFA", VpcId=vpc.id)

    def interface(*tags: str, groups: tuple[str, ...] = ()) -> str:
        named = [{"ResourceType": "network-interface", "Tags": [{"Key": key, "Value": "x"} for key in tags]}]
        given: dict[str, Any] = {"Groups": list(groups)} if groups else {}
        made = ec2.create_network_interface(SubnetId=subnet.id, TagSpecifications=named if tags else [], **given)
        return str(made["NetworkInterface"]["NetworkInterfaceId"])

    of_fabric = interface("node.k8s.amazonaws.com/instance_id", groups=(fabric.id,))
    bench.delete("meshaws:ec2:SecurityGroup", fabric)
    there = {item["NetworkInterfaceId"] for item in ec2.describe_network_interfaces()["NetworkInterfaces"]}
    assert of_fabric not in there
    idle = {interface("node.k8s.amazonaws.com/instance_id"), interface("weka_reason")}
    own = interface()
    group = ec2.create_security_group(GroupName="eks-cluster-sg-mesh-1", Description="EKS", VpcId=vpc.id)["GroupId"]
    ec2.create_tags(Resources=[group], Tags=[{"Key": "aws:eks:cluster-name", "Value": "mesh"}])

    bench.delete("meshaws:ec2:Subnet", subnet)
    left = {item["NetworkInterfaceId"] for item in ec2.describe_network_interfaces()["NetworkInterfaces"]}
    assert own in left, "an interface that neither the network plugin nor WEKA made is someone's"
    assert not idle & left
    ec2.delete_network_interface(NetworkInterfaceId=own)
    bench.delete("meshaws:ec2:Vpc", vpc)
    assert group not in {item["GroupId"] for item in ec2.describe_security_groups()["SecurityGroups"]}


def test_what_takes_effect_later_is_done_later(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[tuple[float, str]] = []
    monkeypatch.setattr(Caller, "pause", lambda self, seconds, what: waited.append((seconds, what)))
    bench.provider.rows["meshaws:iam:Role"] = replace(iam.ROLE, settle_s=15)
    first = {"RoleName": "pods", "AssumeRolePolicyDocument": TRUST, "Description": "a", "Tags": {"team": "a"}}
    made = bench.create("meshaws:iam:Role", **first)
    bench.update("meshaws:iam:Role", made, first, first | {"Tags": {"team": "b"}})
    bench.update("meshaws:iam:Role", made, first, first | {"Description": "b"})
    assert waited == [(15, "Role pods")] * 2, "a tag is in effect at once"
    assert eks_access.POD_IDENTITY_ASSOCIATION.settle_s >= 10


def test_a_subnet_that_went_is_seen_to_be_gone(bench: Bench) -> None:
    """By the look at the world before a run, which makes it anew."""
    names = network(bench)
    made = Created(names["subnet"], {})
    bench.api("ec2").delete_subnet(SubnetId=made.id)
    assert bench.read("meshaws:ec2:Subnet", made).id == ""
