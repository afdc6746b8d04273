"""The provider `meshaws` run by the real Pulumi engine against an AWS API over HTTP, as a user's stack would."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pulumi
import pytest
from pulumi import automation

from meshctl.tools import find
from meshwire.marks import UNFINISHED
from providers.aws.provider import AwsProvider
from providers.aws.rows_engine.calls import Caller
from providers.plugin.serve import start
from tests.contract.aws_bench import REGION, Bench, network


class Thing(pulumi.CustomResource):
    """Any resource by its token."""


class Engine:
    """A stack whose provider runs in this process (the engine attaches to it), so that a test can stand in the way."""

    def __init__(self, folder: Path, endpoint: str, provider: AwsProvider) -> None:
        (folder / "state").mkdir()
        self.server, port = start(provider)
        self.declare: Callable[[pulumi.ProviderResource], object] = lambda _: None
        self.settings = {"region": REGION, "endpointUrl": endpoint, "s3Addressing": "path"}
        program = find("pulumi")
        self.stack = automation.create_or_select_stack(
            "dev",
            project_name="mesh",
            program=self._program,
            opts=automation.LocalWorkspaceOptions(
                work_dir=str(folder),
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
        self.declare(pulumi.ProviderResource("meshaws", "aws", self.settings))

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
        resources = (self.stack.export_stack().deployment or {})["resources"]
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
    made.server.stop(grace=0).wait(10)


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
def test_another_region_is_refused_and_another_profile_changes_nothing(
    bench: Bench, engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", bench.endpoint)
    (tmp_path / "credentials").write_text("[other]\naws_access_key_id = testing\naws_secret_access_key = testing\n")
    engine.declare = lambda aws: declare(aws, "meshaws:ec2:Vpc", "vpc", {"CidrBlock": "10.1.0.0/16"})
    engine.settings = {"region": REGION}
    engine.stack.up()
    engine.settings = {"region": REGION, "profile": "other"}
    assert engine.ops(engine.stack.up) == {"vpc": "same"}
    engine.settings = {"region": "eu-west-1", "profile": "other"}
    with pytest.raises(automation.CommandError, match="can't be managed in eu-west-1"):
        engine.stack.up()
    assert len([vpc for vpc in bench.api("ec2").describe_vpcs()["Vpcs"] if not vpc["IsDefault"]]) == 1
    engine.stack.destroy()
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
    send = Caller._send
    full: list[str] = []

    def no_capacity(client: Any, call: Any, params: Any) -> Any:
        answer = send(client, call, params)
        if call.operation == "DescribeNodegroup" and not full:
            issue = {"code": "AsgInstanceLaunchFailures", "message": "We have no p5.48xlarge", "resourceIds": []}
            answer["nodegroup"] |= {"status": "CREATE_FAILED", "health": {"issues": [issue]}}
        return answer

    monkeypatch.setattr(Caller, "_send", staticmethod(no_capacity))
    with pytest.raises(automation.CommandError, match=r"no p5\.48xlarge \[code=AsgInstanceLaunchFailures\]"):
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
