"""An `up` that AWS would refuse sooner or later, against the lab's AWS: one answer each, and nothing is made.

What the account has is listed before and after by AWS's own API.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.faults.users import as_user, give
from tests.lab_fixture import RunningLab, raise_quotas

pytestmark = [pytest.mark.lab, pytest.mark.exhaustive]  # the answers are in tests/unit/preflight

MESH = """
apiVersion: meshctl/v1
kind: Mesh
name: nothing
pools:
  web: {role: general, nodes: 1, cpu: {cores: 4, memory: 16GiB}}
storage:
  assets: {kind: object, size: 10GiB, ephemeral: true}
workloads:
  site:
    {kind: service, pool: web, replicas: 1, image: ghcr.io/acme/site:1.0, ports: {http: 8080}}
"""
SERVE = """
  serve: {role: inference, nodes: 2, accelerator: {model: H100, count: 8}}
storage:
"""
ASKS = """
  asks:
    {kind: service, pool: serve, replicas: 1, image: ghcr.io/acme/site:1.0, resources: {accelerators: 8}}
"""
ENVIRONMENTS = """
apiVersion: meshctl/v1
kind: Environments
environments:
  aws-east: {provider: aws, region: us-east-1, zones: [us-east-1a, us-east-1b]}
"""
P_INSTANCES = "L-417A185B"
EVERYTHING = {"Effect": "Allow", "Action": "*", "Resource": "*"}
# all that is only asked, but who it is, which STS tells everybody, and what a run reads of what it makes
QUESTIONS = ("iam:SimulatePrincipalPolicy", "servicequotas:*", "ec2:DescribeInstanceTypeOfferings")


@pytest.fixture
def here(lab: RunningLab, users: Path, tmp_path: Path) -> Iterator[RunningLab]:
    yield written(lab.at(tmp_path))
    users.unlink(missing_ok=True)
    raise_quotas(lab.lab.root)
    (lab.lab.root / "guard_rails.json").unlink(missing_ok=True)


def written(here: RunningLab, mesh: str = MESH, **environment: str) -> RunningLab:
    """`environment`: keys of aws-east that are another or come on top, as YAML."""
    wanted = {"zones": "[us-east-1a, us-east-1b]", **environment}
    keys = ", ".join(f"{key}: {value}" for key, value in wanted.items())
    text = ENVIRONMENTS.replace("zones: [us-east-1a, us-east-1b]", keys)
    (here.folder / "environments.yaml").write_text(text)
    (here.folder / "mesh.yaml").write_text(mesh)
    return here


def serving(**pool: str) -> str:
    """The mesh with a pool of accelerators, whose keys may be others."""
    own = "".join(f", {key}: {value}" for key, value in pool.items() if key != "model")
    text = SERVE.replace("H100", pool.get("model", "H100")).replace("nodes: 2", f"nodes: 2{own}")
    return MESH.replace("\nstorage:\n", text) + ASKS


def everything(here: RunningLab) -> dict[str, list[str]]:
    """What the account has, by AWS's own listings."""
    ec2, iam = here.boto3("ec2"), here.boto3("iam")
    reservations = ec2.describe_instances()["Reservations"]
    return {
        "vpcs": sorted(each["VpcId"] for each in ec2.describe_vpcs()["Vpcs"]),
        "subnets": sorted(each["SubnetId"] for each in ec2.describe_subnets()["Subnets"]),
        "addresses": sorted(each["AllocationId"] for each in ec2.describe_addresses()["Addresses"]),
        "templates": sorted(each["LaunchTemplateId"] for each in ec2.describe_launch_templates()["LaunchTemplates"]),
        "instances": sorted(each["InstanceId"] for one in reservations for each in one["Instances"]),
        "clusters": sorted(here.boto3("eks").list_clusters()["clusters"]),
        "roles": sorted(each["RoleName"] for each in iam.list_roles()["Roles"]),
        "log groups": sorted(each["logGroupName"] for each in here.boto3("logs").describe_log_groups()["logGroups"]),
        "buckets": sorted(each["Name"] for each in here.boto3("s3").list_buckets()["Buckets"]),
    }


def refused(here: RunningLab) -> dict[str, Any]:
    """The one gap of an `up`, after which the account has what it had."""
    before = everything(here)
    up = here.meshctl("--output", "json", "up", "aws-east", "--yes", check=False)
    assert up.returncode == 65, up.stdout + up.stderr
    error = json.loads(up.stdout)["error"]
    assert error["what"].startswith("aws-east can't carry the mesh: ")
    assert everything(here) == before
    [gap] = error["gaps"]
    return dict(gap)


def test_with_a_quota_of_0_nothing_is_made(here: RunningLab) -> None:
    (here.lab.root / "quotas.json").write_text(json.dumps({P_INSTANCES: 0, "L-1216C47A": 1000}))
    gap = refused(written(here, serving()))
    assert gap["best"] == "the account may run 0"
    assert gap["hint"].startswith("`aws service-quotas request-service-quota-increase ")


def test_without_an_offering_nothing_is_made(here: RunningLab) -> None:
    gap = refused(written(here, serving(model="H200"), zones="[us-east-1b, us-east-1d]"))
    assert gap["subject"] == "pool/serve"
    assert gap["best"] == "this account has it in us-east-1a, us-east-1c"
    assert gap["hint"] == "add us-east-1a to the environment's `zones`"


def test_with_a_block_that_has_expired_nothing_is_made(here: RunningLab) -> None:
    ec2 = here.boto3("ec2")
    wanted = {"InstanceType": "p5.48xlarge", "InstanceCount": 2, "CapacityDurationHours": 24}
    start = datetime.now(UTC) - timedelta(hours=25)
    [offered, *_] = ec2.describe_capacity_block_offerings(**wanted, StartDateRange=start)["CapacityBlockOfferings"]
    bought = ec2.purchase_capacity_block(
        CapacityBlockOfferingId=offered["CapacityBlockOfferingId"], InstancePlatform="Linux/UNIX"
    )["CapacityReservation"]
    own = f"{{blocks: [{bought['CapacityReservationId']}]}}"
    gap = refused(written(here, serving(capacity="reserved"), capacity=own))
    assert "it is expired" in gap["best"]
    assert "correct `capacity` in environments.yaml" in gap["hint"]


def test_in_a_network_of_24_nothing_is_made(here: RunningLab) -> None:
    gap = refused(written(here, network="{cidr: 10.0.0.0/24}"))
    assert "10.0.0.0/24 has " in gap["best"]
    assert "has room" in gap["hint"]


def test_who_may_neither_ask_nor_make_gets_one_answer_and_nothing_is_made(here: RunningLab) -> None:
    give(here, {"engineer": []})
    gap = refused(as_user(here, "engineer"))
    assert gap["wanted"] == "the right to ec2:AllocateAddress, ec2:CreateLaunchTemplate, ec2:CreateVpc"
    assert gap["best"] == "no policy of arn:aws:iam::123456789012:user/engineer allows it"
    assert gap["hint"] == "attach the policy that `meshctl doctor --iam-policy aws-east` prints"


def test_a_guard_rail_on_machines_or_regions_is_found_by_dry_runs_and_nothing_is_made(here: RunningLab) -> None:
    """With the rights to everything; of service control policies IAM's simulation can be wrong."""
    (here.lab.root / "guard_rails.json").write_text(json.dumps({"instanceTypes": ["t3.*"]}))
    gap = refused(here)
    assert gap["wanted"].startswith("the right to ec2:RunInstances of ")
    assert gap["best"].startswith("a policy of the organization denies it to ")
    (here.lab.root / "guard_rails.json").unlink()
    elsewhere = {"StringNotEquals": {"aws:RequestedRegion": "eu-central-1"}}
    actions = ["ec2:AllocateAddress", "ec2:CreateVpc"]
    rail = {"Effect": "Deny", "Action": actions, "Resource": "*", "Condition": elsewhere}
    give(here, {"engineer": [{"Statement": [EVERYTHING, rail]}]})
    gap = refused(as_user(here, "engineer"))
    assert gap["wanted"] == "the right to ec2:AllocateAddress, ec2:CreateVpc"


def test_who_may_make_it_and_not_ask_about_it_hears_what_was_not_asked(here: RunningLab) -> None:
    """An `up` goes on then: `test_iam_enforced` has one, under a guard rail that a later call meets."""
    give(
        here,
        {"engineer": [{"Statement": [EVERYTHING, {"Effect": "Deny", "Action": list(QUESTIONS), "Resource": "*"}]}]},
    )
    engineer = as_user(here, "engineer")
    planned = engineer.json("plan", "aws-east")
    notes = [each for each in planned["notes"] if each.startswith(("AWS was not asked about ", "AWS did not say "))]
    assert any("quotas" in note for note in notes)
    assert any("which zones have which machines" in note for note in notes)
    assert any("has all rights that this needs" in note for note in notes)
    assert planned["changes"] != []
    assert not any(note.startswith("the right to ") for note in planned["notes"])
