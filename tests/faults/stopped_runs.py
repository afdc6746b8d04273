"""A stack of AWS resources that is brought up and down by the real engine, and stopped at any call.

The AWS API is moto behind a gate. The gate can kill the engine with its providers (`kill -9`) before or after it has
passed on a call, or refuse reads. Used by `test_random_stops`; not a test by itself.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import moto.backends
from botocore.config import Config
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import BaseWSGIServer, make_server

from meshctl.deploy.runs import drift_check
from meshctl.engine import workspace
from meshctl.engine.command import PulumiProgram
from meshctl.engine.run import StackRun
from meshctl.errors import MeshError
from meshctl.model.stack_state import StackState
from stacks.resources import AwsProvider, AwsResource

MESH, ENVIRONMENT, REGION = "small", "east", "us-east-1"
TAG = "meshctl.dev/mesh"
REFUSED = (
    b"<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>not now</Message></Error></Errors></Response>"
)


@dataclass
class Gate:
    """WSGI in front of moto. `kill_at` and `refuse` count down: calls to the kill, reads to refuse."""

    inner: Any
    kill: Callable[[], None] = lambda: None
    kill_at: int = 0
    kill_after_the_call: bool = False
    refuse: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, environ: dict[str, Any], start: Any) -> Any:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        reads = b"Action=Describe" in body or b"Action=Get" in body or b"Action=List" in body
        with self._lock:
            refused = reads and self.refuse > 0
            self.refuse -= refused
            falls = not refused and self.kill_at > 0
            self.kill_at -= falls
            falls = falls and self.kill_at == 0
        if refused:
            start("403 Forbidden", [("Content-Type", "text/xml")])
            return [REFUSED]
        if falls and not self.kill_after_the_call:
            self.kill()
        environ["wsgi.input"] = _Body(body)
        answer = list(self.inner(environ, start))
        if falls and self.kill_after_the_call:
            self.kill()
        return answer


class _Body:
    def __init__(self, content: bytes) -> None:
        self._content = content

    def read(self, size: int = -1) -> bytes:
        end = len(self._content) if size is None or size < 0 else size
        taken, self._content = self._content[:end], self._content[end:]
        return taken


@dataclass
class Cloud:
    """An AWS API of its own, and what is in it."""

    gate: Gate
    server: BaseWSGIServer

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def client(self, service: str) -> Any:
        keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
        path_style = Config(s3={"addressing_style": "path"})
        client: Any = boto3.client  # typed for literal names only
        return client(service, region_name=REGION, endpoint_url=self.url, config=path_style, **keys)

    def reset(self) -> None:
        for backend in ("ec2", "s3", "iam"):
            for account in list(moto.backends.get_backend(backend).values()):
                for region in account.values():
                    region.reset()

    def listing(self) -> Counter[str]:
        """How many of each kind the API has of this mesh, by its own listing."""
        ec2, tagged = self.client("ec2"), [{"Name": f"tag:{TAG}", "Values": [MESH]}]
        counts: Counter[str] = Counter()
        counts["vpc"] = len(ec2.describe_vpcs(Filters=tagged)["Vpcs"])
        counts["subnet"] = len(ec2.describe_subnets(Filters=tagged)["Subnets"])
        counts["gateway"] = len(ec2.describe_internet_gateways(Filters=tagged)["InternetGateways"])
        counts["table"] = len(ec2.describe_route_tables(Filters=tagged)["RouteTables"])
        counts["group"] = len(ec2.describe_security_groups(Filters=tagged)["SecurityGroups"])
        counts["bucket"] = len(self.client("s3").list_buckets()["Buckets"])
        counts["role"] = len(self.client("iam").list_roles()["Roles"])
        return +counts


@contextmanager
def cloud() -> Iterator[Cloud]:
    gate = Gate(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, gate, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield Cloud(gate, server)
    finally:
        server.shutdown()
        thread.join(60)


@dataclass(frozen=True)
class Wanted:
    """What the mesh says: how many subnets, of which blocks (another block replaces a subnet), with which label."""

    subnets: int
    block: int
    label: str

    def listing(self) -> Counter[str]:
        whole = {"vpc": 1, "gateway": 1, "table": 1, "group": 1, "bucket": 1, "role": 1, "subnet": self.subnets}
        return +Counter(whole)

    def declare(self, url: str) -> None:
        tags = {TAG: MESH, "label": self.label}
        aws = AwsProvider("aws", region=REGION, endpoint_url=url, s3_addressing="path", tags=tags)
        vpc = AwsResource.declare(
            "ec2:Vpc", "network:vpc", {"CidrBlock": "10.0.0.0/16"}, outputs=["VpcId"], provider=aws
        )
        vpc_id = vpc.get("VpcId")
        group = {"GroupName": "nodes", "Description": "nodes", "VpcId": vpc_id}
        AwsResource.declare("ec2:SecurityGroup", "network:nodes", group, provider=aws)
        gateway = AwsResource.declare(
            "ec2:InternetGateway", "network:gateway", {"VpcId": vpc_id}, outputs=["InternetGatewayId"], provider=aws
        )
        table = AwsResource.declare(
            "ec2:RouteTable", "network:routes", {"VpcId": vpc_id}, outputs=["RouteTableId"], provider=aws
        )
        for index in range(self.subnets):
            inputs = {"VpcId": vpc_id, "CidrBlock": f"10.0.{self.block * 16 + index}.0/24"}
            AwsResource.declare("ec2:Subnet", f"network:subnet-{index}", inputs, provider=aws)
        route = {
            "RouteTableId": table.get("RouteTableId"),
            "DestinationCidrBlock": "0.0.0.0/0",
            "GatewayId": gateway.get("InternetGatewayId"),
        }
        AwsResource.declare("ec2:Route", "network:default", route, provider=aws)
        bucket = {"Bucket": "small-weights", "Versioning": {"Status": "Enabled"}}
        AwsResource.declare("s3:Bucket", "storage/weights:bucket", bucket, provider=aws)
        trust = {
            "Statement": [
                {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
            ]
        }
        AwsResource.declare(
            "iam:Role",
            "cluster:role",
            {"RoleName": "small", "AssumeRolePolicyDocument": {"Version": "2012-10-17", **trust}},
            provider=aws,
        )


@dataclass
class Sequence:
    """One sequence of runs in a folder of its own, with a stop in each of them until the last."""

    cloud: Cloud
    folder: Path
    random: random.Random
    said: list[str] = field(default_factory=list)

    def wanted(self) -> Wanted:
        return Wanted(self.random.randint(1, 3), self.random.randint(0, 1), self.random.choice("ab"))

    def play(self) -> None:
        """Up to five stopped runs, then one of each that must end well. Raises: AssertionError with what was done."""
        for _ in range(self.random.randint(1, 5)):
            self._stopped(self.wanted(), self.random.choice(["up", "up", "destroy"]))
        last = self.wanted()
        self.run(last, "up")
        self.compare(last.listing())
        if self.random.random() < 0.5:
            self._stopped(last, "destroy")
        self.run(last, "destroy")
        self.compare(Counter())

    def _stopped(self, wanted: Wanted, command: str) -> None:
        gate = self.cloud.gate
        if self.random.random() < 0.3:
            gate.refuse = self.random.randint(1, 30)
            how = f"{gate.refuse} reads refused"
        else:
            gate.kill_at = self.random.randint(1, 40)
            gate.kill_after_the_call = self.random.random() < 0.5
            how = f"killed {'after' if gate.kill_after_the_call else 'before'} call {gate.kill_at}"
        self.said.append(f"{command} {wanted}: {how}")
        try:
            self.run(wanted, command)
        except MeshError as error:
            self.said.append(f"  -> {error.what}: {error.why}"[:300])
        finally:
            gate.kill_at = gate.refuse = 0

    def run(self, wanted: Wanted, command: str) -> None:
        program = workspace.pulumi_program()

        def kill() -> None:
            program.interrupt()
            program.interrupt()

        self.cloud.gate.kill = kill
        run = opened(self.folder, lambda: wanted.declare(self.cloud.url), program)
        if command == "destroy":
            run.destroy()
            return
        # half of the runs look at the world first, as `meshctl up` does
        if drift_check.urns_to_read(run.state()) and self.random.random() < 0.5:
            urns = drift_check.urns_to_read(run.recovered_state())  # what was never made has left the state by then
            if urns:
                run.reread(urns)
        run.up()

    def state(self) -> StackState:
        return opened(self.folder, lambda: None, workspace.pulumi_program()).state()

    def compare(self, expected: Counter[str]) -> None:
        listing = self.cloud.listing()
        assert listing == expected, f"{dict(listing)} instead of {dict(expected)}\n" + "\n".join(self.said)


def opened(folder: Path, declare: Callable[[], None], program: PulumiProgram) -> StackRun:
    backend = workspace.Backend("file://./state", "passphrase", folder)
    stack = workspace.open_stack(backend, MESH, ENVIRONMENT, declare, program)
    return StackRun(stack, program, break_lock=True)
