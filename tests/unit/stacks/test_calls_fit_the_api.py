"""What the AWS rows send for whole deployments is what the services' own models allow: lengths, patterns, enums.

Botocore checks types and required members before it sends a call; the rest AWS checks, and refuses. The longest names
and the most tags that the files may have are in one of the deployments.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml

import stacks.aws
import stacks.edge
from meshctl.catalog import load_catalog
from meshctl.lab.aws.constraints import problems
from meshctl.load import load
from meshctl.model.deployment import Deployment, EndpointCertificate
from meshctl.model.dns_splits import HealthCheck, Side, Split
from meshctl.model.questions import InPlace
from meshctl.platforms import registry
from meshctl.platforms.aws.iam.iam_actions import operation_of
from meshctl.render import zone_id_name
from meshctl.resolve import resolve
from providers.aws.client import AwsClients, Settings, service_model
from providers.aws.rows import ALL
from providers.aws.rows_engine.calls import Caller, render
from providers.aws.rows_engine.live import Live, owner_of, tag_list
from providers.aws.rows_engine.row import Call, Row
from stacks.resources import aws_tags
from tests.unit.event_loops import event_loops
from tests.unit.stacks.declared_on_aws import NamedWire, Recorder, example
from tests.unit.stacks.test_tokens import Monitor

ROWS = {row.token: row for row in ALL}
ACCOUNT = "123456789012"
ISSUER = f"oidc.eks.us-east-1.amazonaws.com/id/{'A' * 32}"
CERTIFICATE = f"arn:aws:acm:us-east-1:{ACCOUNT}:certificate/12345678-1234-1234-1234-123456789012"
FILE_SYSTEM_ARN = f"arn:aws:fsx:us-east-1:{ACCOUNT}:file-system/fs-0123456789abcdef0"
# Type of a resource -> how its ids begin, and the output that has them.
IDS = {
    "ec2:Vpc": ("vpc", "VpcId"),
    "ec2:Subnet": ("subnet", "SubnetId"),
    "ec2:SecurityGroup": ("sg", "GroupId"),
    "ec2:LaunchTemplate": ("lt", "LaunchTemplateId"),
    "ec2:Address": ("eipalloc", "AllocationId"),
    "ec2:RouteTable": ("rtb", "RouteTableId"),
    "ec2:NatGateway": ("nat", "NatGatewayId"),
    "ec2:InternetGateway": ("igw", "InternetGatewayId"),
    "ec2:VpcEndpoint": ("vpce", "VpcEndpointId"),
    "efs:FileSystem": ("fs", "FileSystemId"),
    "efs:MountTarget": ("fsmt", "MountTargetId"),
    "fsx:FileSystem": ("fs", "FileSystemId"),
}
LONG_HOST = ".".join(["chat", *(["h" * 60] * 4), "com"])  # 252 characters


class LikeAws(NamedWire):
    """Answers with ids as AWS gives them."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: dict[str, str] = {}
        self.outputs: dict[str, dict[str, Any]] = {}

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        _, outputs = super().new_resource(args)
        token, inputs = args.typ.removeprefix("meshaws:"), dict(args.inputs)
        digits = hashlib.sha256(args.name.encode()).hexdigest()[:17]
        start, name = IDS.get(token, ("", ""))
        identity = f"{start}-{digits}" if start else _id(token, inputs)
        outputs |= {name: identity} if name else {}
        if token == "iam:Role":
            outputs["Arn"] = f"arn:aws:iam::{ACCOUNT}:role/{inputs['RoleName']}"
        if token == "eks:Cluster":
            outputs["identity"] = {"oidc": {"issuer": f"https://{ISSUER}"}}
            outputs["resourcesVpcConfig"] = {**inputs["resourcesVpcConfig"], "clusterSecurityGroupId": f"sg-{digits}"}
        outputs |= {"CertificateArn": CERTIFICATE} if token == "acm:Certificate" else {}
        outputs |= {"Id": identity} if token == "route53:HealthCheck" else {}
        self.ids[args.name], self.outputs[args.name] = identity, _as_described(token, inputs, outputs)
        return identity, outputs


def _id(token: str, inputs: Mapping[str, Any]) -> str:
    """As the row joins it."""
    match token:
        case "iam:OpenIDConnectProvider":
            return f"arn:aws:iam::{ACCOUNT}:oidc-provider/{ISSUER}"
        case "route53:HealthCheck":
            return "12345678-1234-1234-1234-123456789012"
        case "acm:Certificate" | "acm:IssuedCertificate":
            return CERTIFICATE
        case "eks:PodIdentityAssociation":
            return f"{inputs['clusterName']}|a-0123456789abcdef0"
    keys = ("name", "clusterName", "logGroupName", "RoleName", "Bucket", "HostedZoneId", "GroupId", "RouteTableId")
    more = ("nodegroupName", "addonName", "principalArn", "policyArn", "PolicyName", "PolicyArn", "Name", "Type")
    return "|".join(str(inputs[key]) for key in (*keys, *more, "SetIdentifier") if key in inputs) or "x-0123456789"


def _as_described(token: str, inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> dict[str, Any]:
    arns = {
        "fsx:FileSystem": {"ResourceARN": FILE_SYSTEM_ARN},
        "logs:LogGroup": {"logGroupArn": f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:{inputs.get('logGroupName')}"},
    }
    return {**outputs, **arns.get(token, {})}


def declared(deployment: Deployment, host: str) -> tuple[Recorder, LikeAws]:
    """The programs of an environment and of its names."""
    wire = LikeAws()
    recorder = Recorder.__new__(Recorder)
    Monitor.__init__(recorder, wire)
    recorder.inputs, recorder.types, recorder.ignored = wire.inputs, {}, {}
    late = {"secret.hf-token": "x", "revision.chat-secrets": "1", zone_id_name("example.com"): "Z0123456789ABCDEFGHIJ"}

    @pulumi.runtime.test  # type: ignore[untyped-decorator]  # pulumi.runtime is not typed
    def run() -> None:
        stacks.aws.declare(deployment, late)
        check = HealthCheck("HTTPS", 8000, "/health")
        sides = (Side(deployment.environment, "192.0.2.7", 153, check), Side("cw", f"lb.{'x' * 60}.example", 102))
        record = stacks.edge.DnsRecord(host, deployment.environment, "192.0.2.7", 30, "example.com", "Z0123456789")
        names = {"chat": replace(record, split=Split("demo 1", sides))}
        stacks.edge.declare(names, before={}, profile="", tags={})

    with event_loops():
        pulumi.runtime.set_mocks(recorder.mocks, monitor=recorder)
        run()
    return recorder, wire


def calls(row: Row, inputs: Mapping[str, Any]) -> Iterator[Call]:
    """All that changes something or asks for the resource."""
    tags = row.tags
    yield replace(row.create, params={**row.create.params, **(tags.create if tags else {})})
    for setting in row.settings:
        if any(inputs.get(name) is not None for name in setting.inputs):
            yield from setting.puts
    yield from (row.read, row.delete)
    if tags is not None and tags.put is not None:
        yield tags.put


def sent(deployment: Deployment, host: str) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    """The name of the resource, the operation, its parameters."""
    recorder, wire = declared(deployment, host)
    clients = AwsClients(Settings(region="us-east-1"))
    for name, token in recorder.types.items():
        if token not in ROWS:
            continue
        row, inputs = ROWS[token], whole(recorder.inputs[name])
        urn = f"urn:pulumi:{deployment.environment}::{deployment.mesh}::{token}::{name}"
        if row.tags is not None:
            inputs["Tags"] = {**default_tags(deployment, row), **inputs.get("Tags", {})}
        caller: Any = Caller  # asks nothing
        live = Live(row, clients, owner=owner_of(urn), caller=caller, say=print, deadline=None)
        context = live.context(wire.ids[name], inputs)
        put = {"put_tags": context["tags"], "put_tag_list": tag_list(context["tags"]), "gone_tag_keys": []}
        described = whole(wire.outputs[name])
        context |= {**put, "old_inputs": inputs, "outputs": described}
        puts = [call for setting in row.settings for call in setting.puts]
        for call in calls(row, inputs):
            # of a setting that reads first; a record is looked for in a list
            context["answer"] = [described] if token == "meshaws:route53:RecordSet" and call in puts else described
            operation = service_model(row.service).operation_model(call.operation)
            yield name, operation, render(call, operation.input_shape, context)


def default_tags(deployment: Deployment, row: Row) -> dict[str, str]:
    """Of an environment's resources, or of its names', which are no environment's."""
    return {"meshctl.dev/mesh": deployment.mesh} if row.service == "route53" else aws_tags(deployment)


def whole(value: Any) -> Any:
    """Numbers travel to a provider as doubles, which sends them as whole ones."""
    if isinstance(value, dict):
        return {key: whole(each) for key, each in value.items()}
    if isinstance(value, list):
        return [whole(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def with_everything() -> Deployment:
    """The example, with file systems of both kinds and a certificate."""
    deployment = example()
    lustre = deployment.file_systems[0]
    sealed = deployment.endpoints[0].model_copy(update={"certificate": EndpointCertificate(zone="example.com")})
    systems = (lustre, lustre.model_copy(update={"name": "home", "service": "efs"}))
    cluster = deployment.cluster.model_copy(update={"maker": f"arn:aws:iam::{ACCOUNT}:role/ci"})
    changes = {"file_systems": systems, "endpoints": (sealed, *deployment.endpoints[1:]), "cluster": cluster}
    return deployment.model_copy(update=changes)


def longest(start: str) -> str:
    """A name of 30 characters."""
    return (start + "-" + "x" * 30)[:30]


def with_longest_names(folder: Path) -> Deployment:
    chat, web = ({"image": image, "ports": {"http": 8000}} for image in ("vllm/vllm-openai:v1", "nginx:1"))
    mesh = {
        "apiVersion": "meshctl/v1",
        "kind": "Mesh",
        "name": longest("m"),
        "labels": {"k" * 60 + str(number): "v" * 63 for number in range(4)},
        "pools": {
            longest("gpu"): {
                "nodes": {"min": 1, "max": 20},
                "role": "training",
                "accelerator": {"model": "H100", "count": 8},
                "fabric": longest("f"),
            },
            longest("cpu"): {"nodes": 2, "cpu": {"cores": 4}},
            longest("spot"): {"nodes": 2, "cpu": {"cores": 4}, "capacity": "spot"},
        },
        "fabrics": {longest("f"): {"kind": "rdma"}},
        "storage": {
            longest("lustre"): {"kind": "filesystem", "size": "2400GiB", "throughput": "1GB/s"},
            longest("efs"): {"kind": "filesystem", "size": "100GiB"},
            longest("block"): {"kind": "block", "size": "10GiB"},
            longest("objects"): {"kind": "object", "size": "1GiB"},
        },
        "workloads": {
            longest("chat"): {
                **chat,
                "kind": "inference",
                "pool": longest("gpu"),
                "mounts": {longest("lustre"): {"path": "/a"}, longest("objects"): {"path": "/b"}},
            },
            longest("web"): {
                **web,
                "kind": "service",
                "pool": longest("cpu"),
                "mounts": {longest("efs"): {"path": "/a"}, longest("objects"): {"path": "/b"}},
            },
        },
    }
    environment = {
        "provider": "aws",
        "region": "us-east-1",
        "zones": ["us-east-1a", "us-east-1b", "us-east-1c"],
        "account": ACCOUNT,
        "tags": {"T" * 126 + f"{number:02}": "w" * 256 for number in range(40)},
        "permissionsBoundary": f"arn:aws:iam::{ACCOUNT}:policy/boundary",
        "rolePath": "/teams/genai/",
        "kubernetes": {"version": "1.34", "admins": [f"arn:aws:iam::{ACCOUNT}:role/{'R' * 64}"]},
    }
    environments = {"apiVersion": "meshctl/v1", "kind": "Environments", "environments": {longest("e"): environment}}
    (folder / "mesh.yaml").write_text(yaml.safe_dump(mesh))
    (folder / "environments.yaml").write_text(yaml.safe_dump(environments))
    read_mesh, read = load(folder / "mesh.yaml", folder / "environments.yaml")
    deployment = resolve(read_mesh, read, longest("e"), load_catalog(), None).deployment
    assert deployment is not None
    return deployment


@pytest.fixture(scope="module", params=["everything", "longest names"])
def wanted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Deployment, str]:
    """A deployment, and the host of its names."""
    if request.param == "everything":
        return with_everything(), "chat.example.com"
    return with_longest_names(tmp_path_factory.mktemp("longest")), LONG_HOST


def test_each_call_of_the_rows_fits_the_model_of_its_service(wanted: tuple[Deployment, str]) -> None:
    operations, broken = set(), []
    for name, operation, parameters in sent(*wanted):
        operations.add(operation.name)
        broken += [f"{name} {operation.name}: {each}" for each in problems(operation.input_shape, parameters)]
    assert broken == []
    assert len(operations) > 60


def test_each_question_of_the_preflight_fits_the_model_of_its_service(wanted: tuple[Deployment, str]) -> None:
    preflight = registry.platform("aws").preflight
    assert preflight is not None
    for question in preflight.questions(wanted[0], InPlace()):
        operation = service_model(question.service).operation_model(operation_of(question.operation))
        arguments = {key: value for key, value in question.arguments.items() if key != "PaginationConfig"}
        assert not list(problems(operation.input_shape, arguments)), question.name
