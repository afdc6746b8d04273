"""Each mesh of examples/real comes up in the lab, on every environment that carries it, and goes without a trace.

The site `dc1` of the lab has H100 nodes only: the nodes of other models are made here, as a site would have them.
Images that the lab runs for real serve where they can. A mesh whose command is a script of the image, whose weights
nobody has put there, or that downloads what it needs, gets another name for its image by `images` of environments.yaml,
so that it is simulated as all others are.

It runs in `nox -s faults`, as it takes an hour.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.lab_fixture import RunningLab
from tests.real_deployments import FOLDER, SECRET_FILES, SECRET_VARIABLES, carried
from tests.waiting import WAIT_S, wait_until

pytestmark = [pytest.mark.lab, pytest.mark.exhaustive]

NOT_RUN = {
    "docker.io/lmsysorg/sglang": "registry.example.com/sglang",
    "docker.io/vllm/vllm-openai": "registry.example.com/vllm-openai",
    "nvcr.io/nvidia/pytorch": "registry.example.com/pytorch",
}
SIMULATED = ("deepseek-roce", "gpt-oss-sft", "sglang", "trl-fsdp", "vllm-405b")
# model -> labels and devices of its nodes, as the vendor's programs report them
NVIDIA = {"nvidia.com/gpu": "8", "rdma/ib": "63", "rdma/roce_gdr": "63"}
SITE = {
    "h200": (4, {"nvidia.com/gpu.product": "NVIDIA-H200", "nvidia.com/gpu.memory": "143771"}, NVIDIA),
    "l4": (2, {"nvidia.com/gpu.product": "NVIDIA-L4", "nvidia.com/gpu.memory": "23034"}, {"nvidia.com/gpu": "8"}),
    "mi300x": (
        2,
        {"amd.com/gpu.product-name": "AMD_Instinct_MI300X_OAM", "amd.com/gpu.vram": "192G"},
        {"amd.com/gpu": "8", "rdma/roce": "8"},
    ),
}


@pytest.fixture(scope="module")
def site(lab: RunningLab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """More nodes at `dc1`."""
    names = [f"{model}-{number}" for model, (count, *_) in SITE.items() for number in range(count)]
    file = tmp_path_factory.mktemp("site") / "nodes.json"
    file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": [node(name) for name in names]}))
    lab.kubectl("dc1", "create", "-f", str(file))
    yield
    lab.kubectl("dc1", "delete", "nodes", *names, "--wait=false")


def node(name: str) -> dict[str, Any]:
    _, labels, devices = SITE[name.partition("-")[0]]
    has = {"cpu": "128", "memory": "2014Gi", "ephemeral-storage": "15000G", "pods": "110", **devices}
    usual = {"kubernetes.io/arch": "amd64", "kubernetes.io/os": "linux", "kubernetes.io/hostname": name}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {**usual, **labels},
            "annotations": {"kwok.x-k8s.io/node": "fake"},
        },
        "status": {"capacity": has, "allocatable": has},
    }


def placed(lab: RunningLab, folder: Path, name: str) -> RunningLab:
    """The mesh in a folder of its own, with values for its secrets."""
    shutil.copytree(FOLDER / name, folder, dirs_exist_ok=True)
    for file, text in SECRET_FILES.items():
        (folder / file).write_text(text)
    environments = folder / "environments.yaml"
    document = yaml.safe_load(environments.read_text())
    for environment in document["environments"].values():
        if name in SIMULATED:
            environment["images"] = {**environment.get("images", {}), **NOT_RUN}
        for block in environment.get("capacity", {}).get("blocks", ()):
            block["id"] = capacity_block(lab, block["zone"])
    environments.write_text(yaml.safe_dump(document))
    return lab.at(folder, **SECRET_VARIABLES)


def capacity_block(lab: RunningLab, zone: str) -> str:
    """A block of four machines that has begun."""
    ec2 = lab.boto3("ec2")
    wanted = {"InstanceType": "p5.48xlarge", "InstanceCount": 4, "CapacityDurationHours": 24}
    begun = datetime.now(UTC) - timedelta(hours=1)
    offers = ec2.describe_capacity_block_offerings(**wanted, StartDateRange=begun)["CapacityBlockOfferings"]
    offer = next(each["CapacityBlockOfferingId"] for each in offers if each["AvailabilityZone"] == zone)
    made = ec2.purchase_capacity_block(CapacityBlockOfferingId=offer, InstancePlatform="Linux/UNIX")
    return str(made["CapacityReservation"]["CapacityReservationId"])


@pytest.mark.parametrize(("name", "environment"), carried(), ids=[f"{name}-{where}" for name, where in carried()])
def test_it_comes_up_and_goes(
    lab: RunningLab, request: pytest.FixtureRequest, tmp_path: Path, name: str, environment: str
) -> None:
    if environment == "dc1":
        request.getfixturevalue("site")
    here = placed(lab, tmp_path, name)
    mesh = yaml.safe_load((tmp_path / "mesh.yaml").read_text())
    try:
        here.meshctl("up", environment, "--yes", timeout_s=900)
        assert_up(here, environment, mesh)
        again = here.meshctl("plan", environment, "--detailed-exitcode", check=False)
        assert again.returncode == 0, again.stdout + again.stderr
    finally:
        here.meshctl("destroy", environment, "--yes", "--allow-data-loss", "--confirm", environment, timeout_s=600)
    assert here.json("status", environment)["environments"][environment]["state"] == "absent"
    wait_until(lambda: not left(here, environment, mesh["name"]))


def assert_up(here: RunningLab, environment: str, mesh: dict[str, Any]) -> None:
    """`status` says that all runs, once the jobs' pods have started, and that the names lead here."""
    deadline = time.monotonic() + WAIT_S
    while not has_started(status := here.json("status", environment)["environments"][environment]):
        assert time.monotonic() < deadline, json.dumps(status, indent=1)
        time.sleep(2)
    assert not status["error"]
    assert {each["name"] for each in status["workloads"]} == set(mesh["workloads"])
    for workload in status["workloads"]:
        assert workload["ready"] + workload["done"] == workload["wanted"], workload
        assert (workload["restarts"], workload["reason"]) == (0, ""), workload
    assert {each["name"] for each in status["pools"]} == set(mesh["pools"])
    assert [each["points_at"] for each in status["endpoints"]] == [environment] * len(mesh.get("endpoints", ()))


def has_started(status: dict[str, Any]) -> bool:
    """Jobs that wait for others count as up; here they are to start, too."""
    return status["state"] == "up" and all(each["job"] != "waiting" for each in status["workloads"])


def left(here: RunningLab, environment: str, mesh: str) -> list[str]:
    """What the platforms still have of the mesh."""
    if environment == "aws-east":
        return left_on_aws(here, mesh)
    of_mesh = ("-o", "name", "-l", f"app.kubernetes.io/part-of={mesh}")
    names = here.kubectl(environment, "get", "namespaces,priorityclasses,clusterroles,clusterrolebindings", *of_mesh)
    names += here.kubectl(environment, "get", "nodes", "-o", "name", "-l", f"meshctl.dev/mesh={mesh}")
    if environment == "cw":
        names += here.kubectl(environment, "get", "nodepools", *of_mesh)
    volumes = json.loads(here.kubectl(environment, "get", "persistentvolumes", "-o", "json"))["items"]
    bound = [each["metadata"]["name"] for each in volumes if each["spec"]["claimRef"]["namespace"] == mesh]
    return [*names.split(), *bound]


def left_on_aws(here: RunningLab, mesh: str) -> list[str]:
    ec2, tagged = here.boto3("ec2"), [{"Name": "tag:meshctl.dev/mesh", "Values": [mesh]}]
    kinds = {
        "Vpcs": ec2.describe_vpcs(Filters=tagged)["Vpcs"],
        "Subnets": ec2.describe_subnets(Filters=tagged)["Subnets"],
        "SecurityGroups": ec2.describe_security_groups(Filters=tagged)["SecurityGroups"],
        "LaunchTemplates": ec2.describe_launch_templates(Filters=tagged)["LaunchTemplates"],
        "PlacementGroups": ec2.describe_placement_groups(Filters=tagged)["PlacementGroups"],
        "Volumes": ec2.describe_volumes(Filters=tagged)["Volumes"],
    }
    names = {
        "cluster": here.boto3("eks").list_clusters()["clusters"],
        "role": [each["RoleName"] for each in here.boto3("iam").list_roles()["Roles"]],
        "EFS": [each.get("Name", "") for each in here.boto3("efs").describe_file_systems()["FileSystems"]],
    }
    lustre = here.boto3("fsx").describe_file_systems()["FileSystems"]
    tags = [{tag["Key"]: tag["Value"] for tag in each.get("Tags", ())} for each in lustre]
    return [
        *(kind for kind, items in kinds.items() if items),
        *(f"{kind} {name}" for kind, of_kind in names.items() for name in of_kind if name.startswith(f"{mesh}-")),
        *("FSx" for each in tags if each.get("meshctl.dev/mesh") == mesh),
    ]
