"""The lab's AWS API as a process of its own, called by boto3 over HTTP: its fixtures, and what tests make and wait for.

`conftest.py` makes the fixtures `aws` and `server` known to the folder. Each module has its own server.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from botocore.config import Config
from botocore.exceptions import ClientError

from meshctl.lab.aws import quotas as lab_quotas
from meshctl.lab.aws.quotas import VPCS
from meshctl.lab.network.ports import free_ports
from tests.lab_fixture import LETTERS_OF_DUMP, raise_quotas
from tests.waiting import end, wait_until

KEY, REGION = "AKIALABDEFAULT000001", "us-east-1"
ACCOUNT = "123456789012"
P_QUOTA = ("ec2", "L-417A185B")  # of P instances
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "eks.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
CA = base64.b64encode(b"-----BEGIN CERTIFICATE-----\nlab\n-----END CERTIFICATE-----\n").decode()
ASSIGN = "arn:aws:eks::aws:cluster-access-policy/"


@dataclass
class Aws:
    """The running API and its lab folder."""

    root: Path
    port: int

    def client(self, service: str, key: str = KEY, region: str = REGION, **config: Any) -> Any:
        client: Any = boto3.client  # typed for literal names only
        return client(
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

    def replicas(self, **ready_and_wanted: tuple[int, int]) -> None:
        """As the controller of the add-ons reports them."""
        counts = {
            name.replace("__", "/"): {"ready": ready, "wanted": wanted}
            for name, (ready, wanted) in ready_and_wanted.items()
        }
        (self.root / "addons.json").write_text(json.dumps({"addons": counts}))

    def faults(self, *faults: dict[str, Any]) -> None:
        (self.root / "faults.json").write_text(json.dumps(faults))


def lab_folder(root: Path) -> None:
    """A lab with one control plane for EKS, as `meshctl lab up` describes it."""
    kubeconfig = root / "kubeconfig-eks"
    cluster = {"name": "k", "cluster": {"server": "https://127.0.0.1:6443", "certificate-authority-data": CA}}
    context = {"name": "k", "context": {"cluster": "k", "user": "k"}}
    kubeconfig.write_text(yaml.safe_dump({"clusters": [cluster], "contexts": [context], "current-context": "k"}))
    (root / "account.json").write_text(LETTERS_OF_DUMP)
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
    with serving(root) as aws:
        yield aws


@contextmanager
def serving(root: Path) -> Iterator[Aws]:
    """The API of a lab's folder."""
    [port] = free_ports(1)
    command = [sys.executable, "-m", "meshctl.lab.aws", "--port", str(port), "--lab", str(root)]
    with (root / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_until(lambda: answers(port) or process.poll() is not None)
        assert process.poll() is None, (root / "log").read_text()
        yield Aws(root, port)
    finally:
        end(process)


@pytest.fixture
def aws(server: Aws) -> Iterator[Aws]:
    offer_control_plane(server.root)
    raise_quotas(server.root)
    yield server
    for name in ("account.json", "addons.json", "capacity.json", "faults.json", "nodes.json"):
        (server.root / name).unlink(missing_ok=True)
    clean_eks(server)


def no_nodegroups(eks: Any, cluster: str) -> bool:
    return not eks.list_nodegroups(clusterName=cluster)["nodegroups"]


def is_made(eks: Any, cluster: str) -> bool:
    """EKS deletes no cluster that it is still making."""
    return bool(eks.describe_cluster(name=cluster)["cluster"]["status"] != "CREATING")


def clean_eks(aws: Aws) -> None:
    eks = aws.client("eks")
    for name in eks.list_clusters()["clusters"]:
        for nodegroup in eks.list_nodegroups(clusterName=name)["nodegroups"]:
            eks.delete_nodegroup(clusterName=name, nodegroupName=nodegroup)
        wait_until(partial(no_nodegroups, eks, name))
        wait_until(partial(is_made, eks, name))
        eks.delete_cluster(name=name)
    wait_until(lambda: not eks.list_clusters()["clusters"])


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/moto-api/", timeout=10) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


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


def quotas_of_a_new_account(aws: Aws) -> Iterator[None]:
    """For a fixture: all but that of VPCs, and those that a test raises. What a test has reserved ends with it, since
    reservations count for the quotas."""
    (aws.root / "quotas.json").write_text(json.dumps({VPCS: 1000}))
    yield
    ec2 = aws.client("ec2")
    for each in ec2.describe_capacity_reservations()["CapacityReservations"]:
        ec2.cancel_capacity_reservation(CapacityReservationId=each["CapacityReservationId"])


def raised(aws: Aws, service: str, code: str, value: float) -> None:
    quotas = aws.client("service-quotas")
    quotas.request_service_quota_increase(ServiceCode=service, QuotaCode=code, DesiredValue=value)
    assert quotas.get_service_quota(ServiceCode=service, QuotaCode=code)["Quota"]["Value"] == value


def make(aws: Aws, network: dict[str, Any], name: str = "train", **more: Any) -> None:
    """A node group of the cluster `c1`."""
    given = {
        "subnets": network["subnets"],
        "scalingConfig": {"minSize": 0, "maxSize": 8, "desiredSize": 2},
        "instanceTypes": ["t3.medium"],
    }
    aws.client("eks").create_nodegroup(clusterName="c1", nodegroupName=name, nodeRole=network["role"], **given | more)


def issue(aws: Aws, name: str = "train") -> tuple[str, str]:
    """Code and text of what kept the node group's instances from launching."""
    eks = aws.client("eks")

    def described() -> dict[str, Any]:
        answer: dict[str, Any] = eks.describe_nodegroup(clusterName="c1", nodegroupName=name)["nodegroup"]
        return answer

    wait_until(lambda: described()["status"] == "CREATE_FAILED")
    first, *more = described()["health"]["issues"]
    if first["code"] == "AsgInstanceLaunchFailures":  # finding A5: they have not joined, either
        more = [each for each in more if each["code"] != "NodeCreationFailure"]
    assert more == []
    return first["code"], first["message"]


def set_quotas(aws: Aws, **values: float) -> None:
    (aws.root / "quotas.json").write_text(json.dumps({VPCS: 1000, **{quota_code(n): v for n, v in values.items()}}))


def quota_code(name: str) -> str:
    return str(getattr(lab_quotas, name))


def use_in_this_process(aws: Aws, monkeypatch: pytest.MonkeyPatch, key: str = KEY) -> None:
    """The SDK in this process calls the API as the owner of that access key, and reads no file of the user's own."""
    variables = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{aws.port}",
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_CONFIG_FILE": str(aws.root / "no-config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(aws.root / "no-credentials"),
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
