"""The provider `meshaws` on a bench: an AWS API over HTTP (moto's server), and calls as the engine makes them.

`conftest.py` makes the fixtures `bench`, `credentials` and `endpoint` known to the folder; each module has a server.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from providers.aws.provider import AwsProvider
from providers.plugin.provider import Created, Diff, Found

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
def credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
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
        client: Any = boto3.client  # typed for literal names only
        return client(service, region_name=REGION, endpoint_url=self.endpoint)

    def urn(self, token: str, name: str = "it") -> str:
        return f"urn:pulumi:test::mesh::{token}::{name}"

    def check(self, token: str, inputs: dict[str, Any], olds: dict[str, Any] | None = None) -> dict[str, Any]:
        checked, failures = self.provider.check(token, urn=self.urn(token), news=inputs, olds=olds or {})
        assert failures == [], failures
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
            news=self.check(token, new, old),
            ignore_changes=[],
        )

    def update(self, token: str, made: Created, old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
        return self.provider.update(
            token,
            urn=self.urn(token),
            id=made.id,
            old_inputs=self.check(token, old),
            old_outputs=made.outputs,
            news=self.check(token, new, old),
            timeout_s=0,
            preview=False,
            ignore_changes=[],
        )

    def delete(self, token: str, made: Created, /, **inputs: Any) -> None:
        self.provider.delete(token, urn=self.urn(token), id=made.id, inputs=inputs, outputs=made.outputs, timeout_s=0)


@pytest.fixture
def bench(endpoint: str) -> Bench:
    reset = urllib.request.Request(f"{endpoint}/moto-api/reset", method="POST")  # noqa: S310
    with urllib.request.urlopen(reset, timeout=60) as answer:  # noqa: S310
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


def filled(value: Any, names: dict[str, str]) -> Any:
    """`value` with each string that is a key of `names` replaced, at any depth."""
    if isinstance(value, dict):
        return {key: filled(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [filled(item, names) for item in value]
    return names.get(value, value) if isinstance(value, str) else value
