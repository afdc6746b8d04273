"""The provider `meshaws` against an AWS API over HTTP (moto's server): what every resource must hold to."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pulumi
import pytest
from moto.server import ThreadedMotoServer
from pulumi import automation

from meshctl.tools import find
from providers.aws.provider import AwsProvider
from providers.base.calls import Caller
from providers.base.compare import merged
from providers.base.diffs import UNFINISHED
from providers.base.provider import Created, CreatedNotReady, Diff, Found, Kind, ProviderError
from providers.base.row import OWNER_TAG
from providers.base.serve import start

REGION = "us-east-1"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "eks.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
POLICY = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.delenv("AWS_PROFILE", raising=False)


class Bench:
    """Calls the provider as the engine does: check, then the operation."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.provider = AwsProvider()
        self.provider.configure({"region": REGION, "endpointUrl": endpoint, "s3Addressing": "path"})

    def api(self, service: str) -> Any:
        return boto3.client(service, region_name=REGION, endpoint_url=self.endpoint)

    def urn(self, token: str, name: str = "it") -> str:
        return f"urn:pulumi:test::mesh::{token}::{name}"

    def check(self, token: str, inputs: dict[str, Any]) -> dict[str, Any]:
        checked, failures = self.provider.check(token, urn=self.urn(token), news=inputs, olds={})
        assert failures == []
        return checked

    def create(self, token: str, name: str = "it", /, **inputs: Any) -> Created:
        return self.provider.create(
            token, urn=self.urn(token, name), inputs=self.check(token, inputs), timeout_s=0, preview=False
        )

    def read(self, token: str, made: Created, name: str = "it", /, **inputs: Any) -> Found:
        checked = self.check(token, inputs) if inputs else {}
        return self.provider.read(token, urn=self.urn(token, name), id=made.id, inputs=checked, outputs=made.outputs)

    def diff(self, token: str, made: Created, old: dict[str, Any], new: dict[str, Any]) -> Diff:
        return self.provider.diff(
            token,
            urn=self.urn(token),
            id=made.id,
            old_inputs=self.check(token, old),
            old_outputs=made.outputs,
            news=self.check(token, new),
            ignore_changes=[],
        )

    def update(self, token: str, made: Created, old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
        return self.provider.update(
            token,
            urn=self.urn(token),
            id=made.id,
            old_inputs=self.check(token, old),
            old_outputs=made.outputs,
            news=self.check(token, new),
            timeout_s=0,
            preview=False,
            ignore_changes=[],
        )

    def delete(self, token: str, made: Created, /, **inputs: Any) -> None:
        self.provider.delete(token, urn=self.urn(token), id=made.id, inputs=inputs, outputs=made.outputs, timeout_s=0)


@pytest.fixture
def bench(endpoint: str) -> Bench:
    with urllib.request.urlopen(urllib.request.Request(f"{endpoint}/moto-api/reset", method="POST")) as answer:  # noqa: S310
        assert answer.status == 200
    return Bench(endpoint)


def network(bench: Bench) -> dict[str, str]:
    vpc = bench.create("meshaws:ec2:Vpc", CidrBlock="10.0.0.0/16").id
    subnet = bench.create("meshaws:ec2:Subnet", VpcId=vpc, CidrBlock="10.0.1.0/24").id
    group = bench.create("meshaws:ec2:SecurityGroup", GroupName="g", Description="d", VpcId=vpc).id
    table = bench.create("meshaws:ec2:RouteTable", VpcId=vpc).id
    gateway = bench.create("meshaws:ec2:InternetGateway", VpcId=vpc).id
    bench.create("meshaws:iam:Role", RoleName="r", AssumeRolePolicyDocument=TRUST)
    bench.api("iam").create_policy(PolicyName="p", PolicyDocument=json.dumps(POLICY))
    return {"vpc": vpc, "subnet": subnet, "group": group, "table": table, "gateway": gateway}


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
    (
        "meshaws:iam:RolePolicy",
        {"RoleName": "r", "PolicyName": "p", "PolicyDocument": POLICY},
    ),
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
    ("meshaws:efs:FileSystem", {"Encrypted": True, "Tags": {"Name": "shared"}}),
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


def filled(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: filled(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [filled(item, names) for item in value]
    return names.get(value, value) if isinstance(value, str) else value


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
    send, lost = Caller._send, []

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
    send, refused = Caller._send, []

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


# ---- through the real engine ----------------------------------------------------------------------------------------


class Thing(pulumi.CustomResource):
    """Any resource by its token."""


class Engine:
    """A stack whose provider runs in this process (the engine attaches to it), so that a test can stand in the way."""

    def __init__(self, folder: Path, endpoint: str, provider: AwsProvider) -> None:
        (folder / "state").mkdir()
        self.server, port = start(provider)
        self.declare: Callable[[pulumi.ProviderResource], object] = lambda _: None
        self.endpoint = endpoint
        program = find("pulumi")
        self.stack = automation.create_or_select_stack(
            "dev",
            project_name="mesh",
            program=self._program,
            work_dir=str(folder),
            opts=automation.LocalWorkspaceOptions(
                pulumi_command=automation.PulumiCommand(root=str(_rooted(program, folder))),
                env_vars={
                    "PULUMI_BACKEND_URL": f"file://{folder}/state?metadata=skip",
                    "PULUMI_CONFIG_PASSPHRASE": "test",
                    "PULUMI_DEBUG_PROVIDERS": f"meshaws:{port}",
                    "PULUMI_HOME": str(folder / "home"),
                },
            ),
        )

    def _program(self) -> None:
        settings = {"region": REGION, "endpointUrl": self.endpoint, "s3Addressing": "path"}
        self.declare(pulumi.ProviderResource("meshaws", "aws", settings))

    def ops(self, run: Callable[..., Any]) -> dict[str, str]:
        """What happened to each resource, by name."""
        seen: dict[str, str] = {}

        def note(event: automation.EngineEvent) -> None:
            if event.resource_pre_event is not None:
                step = event.resource_pre_event.metadata
                if step.type.startswith("meshaws:"):
                    seen.setdefault(step.urn.split("::")[-1], step.op.value)

        run(on_event=note)
        return seen

    def outputs(self, name: str) -> dict[str, Any]:
        resources = self.stack.export_stack().deployment["resources"]
        return next(item["outputs"] for item in resources if item["urn"].endswith(f"::{name}"))


def _rooted(program: Path, folder: Path) -> Path:
    """The Automation API wants a folder with bin/pulumi in it."""
    (folder / "root" / "bin").mkdir(parents=True)
    (folder / "root" / "bin" / "pulumi").symlink_to(program)
    return folder / "root"


@pytest.fixture
def engine(bench: Bench, tmp_path: Path) -> Iterator[Engine]:
    made = Engine(tmp_path, bench.endpoint, bench.provider)
    yield made
    made.server.stop(grace=0).wait()


def declare(
    provider: pulumi.ProviderResource,
    token: str,
    name: str,
    inputs: dict[str, Any],
    **options: Any,
) -> Thing:
    return Thing(token, name, inputs, pulumi.ResourceOptions(provider=provider, **options))


@pytest.mark.lab
def test_up_is_idempotent_and_destroy_leaves_nothing(bench: Bench, engine: Engine) -> None:
    def program(aws: pulumi.ProviderResource) -> None:
        vpc = declare(aws, "meshaws:ec2:Vpc", "vpc", {"CidrBlock": "10.1.0.0/16", "EnableDnsHostnames": True})
        declare(aws, "meshaws:ec2:Subnet", "subnet", {"VpcId": vpc.id, "CidrBlock": "10.1.0.0/24"})
        declare(aws, "meshaws:s3:Bucket", "bucket", {"Bucket": "mesh-w", "Versioning": {"Status": "Enabled"}})

    engine.declare = program
    assert set(engine.ops(engine.stack.preview).values()) == {"create"}
    assert set(engine.ops(engine.stack.up).values()) == {"create"}
    assert set(engine.ops(engine.stack.up).values()) == {"same"}
    refreshed = engine.stack.refresh()
    assert set(refreshed.summary.resource_changes or {}) == {"same"}

    bench.api("s3").delete_bucket(Bucket="mesh-w")
    engine.stack.refresh()
    assert engine.ops(engine.stack.up) == {"vpc": "same", "subnet": "same", "bucket": "create"}

    engine.stack.destroy()
    assert bench.api("s3").list_buckets()["Buckets"] == []
    assert [vpc["IsDefault"] for vpc in bench.api("ec2").describe_vpcs()["Vpcs"]] == [True]


@pytest.mark.lab
def test_a_node_group_without_capacity_says_so_and_is_made_anew(
    bench: Bench, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = network(bench)
    bench.api("eks").create_cluster(
        name="c", roleArn="arn:aws:iam::123456789012:role/r", resourcesVpcConfig={"subnetIds": [names["subnet"]]}
    )
    inputs = {
        "clusterName": "c",
        "nodegroupName": "train",
        "nodeRole": "arn:aws:iam::123456789012:role/r",
        "subnets": [names["subnet"]],
        "scalingConfig": {"minSize": 0, "maxSize": 4, "desiredSize": 4},
    }
    engine.declare = lambda aws: declare(aws, "meshaws:eks:Nodegroup", "train", inputs)
    send, full = Caller._send, []

    def no_capacity(client: Any, call: Any, params: Any) -> Any:
        answer = send(client, call, params)
        if call.operation == "DescribeNodegroup" and not full:
            issue = {"code": "InsufficientInstanceCapacity", "message": "We have no p5.48xlarge", "resourceIds": []}
            answer["nodegroup"] |= {"status": "CREATE_FAILED", "health": {"issues": [issue]}}
        return answer

    monkeypatch.setattr(Caller, "_send", staticmethod(no_capacity))
    with pytest.raises(automation.CommandError, match=r"no p5\.48xlarge \[code=InsufficientInstanceCapacity\]"):
        engine.stack.up()
    assert engine.outputs("train")["status"] == "CREATE_FAILED"
    full.append("capacity came")
    assert engine.ops(engine.stack.up)["train"] in ("replace", "delete-replaced", "create-replacement")
    assert engine.outputs("train")["status"] == "ACTIVE"
    assert engine.ops(engine.stack.up) == {"train": "same"}


@pytest.mark.lab
def test_what_was_not_ready_is_waited_for_by_the_next_up(
    bench: Bench, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient = pulumi.CustomTimeouts(create="1s")
    engine.declare = lambda aws: declare(
        aws, "meshaws:ec2:Vpc", "vpc", {"CidrBlock": "10.1.0.0/16"}, custom_timeouts=impatient
    )
    send, slow = Caller._send, [True]

    def pending(client: Any, call: Any, params: Any) -> Any:
        answer = send(client, call, params)
        for vpc in answer.get("Vpcs", []) if slow else []:
            vpc["State"] = "pending"
        return answer

    monkeypatch.setattr(Caller, "_send", staticmethod(pending))
    with pytest.raises(automation.CommandError, match=r"still pending after \d+ s \[code=Timeout\]"):
        engine.stack.up()
    made = engine.outputs("vpc")["VpcId"]
    slow.clear()
    assert engine.ops(engine.stack.up) == {"vpc": "update"}
    assert engine.outputs("vpc")["VpcId"] == made
    assert UNFINISHED not in engine.outputs("vpc")
    assert engine.ops(engine.stack.up) == {"vpc": "same"}


@pytest.mark.lab
def test_existing_infrastructure_is_imported_without_change(bench: Bench, engine: Engine) -> None:
    ec2 = bench.api("ec2")
    tags = [{"ResourceType": "vpc", "Tags": [{"Key": "Name", "Value": "old"}, {"Key": "other", "Value": "x"}]}]
    vpc = ec2.create_vpc(CidrBlock="10.3.0.0/16", TagSpecifications=tags)["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.3.1.0/24")["Subnet"]["SubnetId"]
    bench.api("s3").create_bucket(Bucket="theirs")
    bench.api("s3").put_object(Bucket="theirs", Key="k", Body=b"x")

    def program(aws: pulumi.ProviderResource) -> None:
        network = {"CidrBlock": "10.3.0.0/16", "Tags": {"Name": "old"}}
        declare(aws, "meshaws:ec2:Vpc", "vpc", network, import_=vpc)
        place = {"VpcId": vpc, "CidrBlock": "10.3.1.0/24", "MapPublicIpOnLaunch": False}
        declare(aws, "meshaws:ec2:Subnet", "subnet", place, import_=subnet)
        declare(aws, "meshaws:s3:Bucket", "bucket", {"Bucket": "theirs"}, import_="theirs")

    engine.declare = program
    assert set(engine.ops(engine.stack.up).values()) == {"import"}
    assert set(engine.ops(engine.stack.up).values()) == {"same"}
    found = ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"][0]
    assert {tag["Key"] for tag in found["Tags"]} == {"Name", "other"}
