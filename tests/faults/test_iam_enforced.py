"""One user brings an environment up, another changes and destroys it: each with the printed policy and no more."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.users import KEYS, as_user, give
from tests.integration.example_mesh import EXAMPLE, upload_weights
from tests.lab_fixture import RunningLab

pytestmark = [pytest.mark.lab, pytest.mark.exhaustive]

MESH = """
apiVersion: meshctl/v1
kind: Mesh
name: rights
pools:
  web: {role: general, nodes: 1, cpu: {cores: 4, memory: 8GiB}}
storage:
  results: {kind: object, size: 1GiB, ephemeral: true}
  shared: {kind: filesystem, size: 10GiB, ephemeral: true}
workloads:
  writer: {kind: service, pool: web, replicas: 1, image: example/writer:1, mounts: {results: {path: /results}}}
"""
ENVIRONMENTS = """
apiVersion: meshctl/v1
kind: Environments
environments:
  aws-east:
    provider: aws
    region: us-east-1
    zones: [us-east-1a, us-east-1b]
    kubernetes: {version: "1.33", admins: ["arn:aws:iam::123456789012:user/colleague"]}
"""
GUARD_RAIL = {"Effect": "Deny", "Action": "iam:CreateRole", "Resource": "*"}


DESTROY = ("destroy", "aws-east", "--yes", "--allow-data-loss", "--confirm", "aws-east")
NO_QUESTION = {"Effect": "Deny", "Action": "iam:SimulatePrincipalPolicy", "Resource": "*"}
ADMINS = 'kubernetes: {admins: ["arn:aws:iam::123456789012:user/colleague"]}'
NETWORK = "network: {cidr: 10.64.0.0/16}"


@pytest.fixture
def here(lab: RunningLab, users: Path, tmp_path: Path) -> Iterator[RunningLab]:
    here = lab.at(tmp_path)
    (here.folder / "mesh.yaml").write_text(MESH)
    (here.folder / "environments.yaml").write_text(ENVIRONMENTS)
    yield here
    users.unlink(missing_ok=True)
    here.meshctl("destroy", "aws-east", "--yes", check=False, timeout_s=300)


@pytest.fixture
def example(lab: RunningLab, users: Path, tmp_path: Path) -> Iterator[RunningLab]:
    """The example mesh, whose cluster a colleague may use, too."""
    shutil.copytree(EXAMPLE, tmp_path, ignore=shutil.ignore_patterns(".meshctl"), dirs_exist_ok=True)
    environments = (tmp_path / "environments.yaml").read_text()
    assert NETWORK in environments
    (tmp_path / "environments.yaml").write_text(environments.replace(NETWORK, f"{NETWORK}\n    {ADMINS}"))
    here = lab.at(tmp_path, HF_TOKEN="of-nobody")
    yield here
    users.unlink(missing_ok=True)
    here.meshctl(*DESTROY, check=False, timeout_s=300)


def allow(here: RunningLab, *more: dict[str, str]) -> None:
    """Gives both users the printed policies, and what comes on top."""
    policies = [*printed(here), {"Version": "2012-10-17", "Statement": list(more)}]
    give(here, dict.fromkeys(KEYS, policies))


def printed(here: RunningLab) -> list[dict[str, Any]]:
    """The documents that an administrator would attach, each short enough for a managed policy."""
    policies = here.json("doctor", "--iam-policy", "aws-east")["policies"]
    return [each["document"] for each in policies]


def has_made_nothing(here: RunningLab) -> bool:
    roles = [role["RoleName"] for role in here.boto3("iam").list_roles()["Roles"]]
    return not any(name.startswith("rights-aws-east") for name in roles) and not made_vpcs(here)


def made_vpcs(here: RunningLab) -> list[Any]:
    tagged = [{"Name": "tag:meshctl.dev/mesh", "Values": ["rights"]}]
    return list(here.boto3("ec2").describe_vpcs(Filters=tagged)["Vpcs"])


def half(policies: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of the network and of the cluster, and not of roles, logs and buckets."""
    statements = [each for policy in policies for each in policy["Statement"]]
    return [{"Statement": [each for each in statements if each["Sid"] in ("Look", "Region", "Eks")]}]


def test_one_user_brings_up_what_another_changes_and_destroys(here: RunningLab) -> None:
    """findings A2, A12"""
    a_second_engineer_with_half_of_the_rights(here)
    a_guard_rail_forbids_a_role(here)

    allow(here)
    as_user(here, "engineer").meshctl("up", "aws-east", "--yes", timeout_s=400)
    entries = here.boto3("eks").list_access_entries(clusterName="rights-aws-east")["accessEntries"]
    assert sorted(arn.rpartition("/")[2] for arn in entries) == ["colleague", "engineer"]

    plan = as_user(here, "colleague").meshctl("--output", "json", "plan", "aws-east")
    assert json.loads(plan.stdout)["changes"] == []
    (here.folder / "mesh.yaml").write_text(MESH.replace("replicas: 1", "replicas: 2"))
    as_user(here, "colleague").meshctl("up", "aws-east", "--yes", timeout_s=300)
    assert here.boto3("eks").list_access_entries(clusterName="rights-aws-east")["accessEntries"] == entries
    as_user(here, "colleague").meshctl("destroy", "aws-east", "--yes", timeout_s=300)
    assert here.boto3("eks").list_clusters()["clusters"] == []


def a_second_engineer_with_half_of_the_rights(here: RunningLab) -> None:
    give(here, {"colleague": half(printed(here))})
    colleague = as_user(here, "colleague")
    planned, refused = colleague.json("plan", "aws-east"), colleague.meshctl("up", "aws-east", "--yes", check=False)
    [note] = [each for each in planned["notes"] if each.startswith("the right to")]
    assert refused.returncode == 65, refused.stderr
    for text in (note, refused.stderr):
        for action in ("iam:CreateRole", "logs:CreateLogGroup", "s3:CreateBucket"):
            assert action in text
        assert "ec2:CreateVpc" not in text
    assert has_made_nothing(here)


def a_guard_rail_forbids_a_role(here: RunningLab) -> None:
    """A note beforehand, where IAM may be asked, and IAM's own words in the run; the next `up` goes on."""
    allow(here, GUARD_RAIL)
    [note] = [each for each in as_user(here, "engineer").json("plan", "aws-east")["notes"] if "organization" in each]
    assert "iam:CreateRole" in note

    allow(here, GUARD_RAIL, NO_QUESTION)
    refused = as_user(here, "engineer").meshctl("up", "aws-east", "--yes", check=False, timeout_s=300)
    assert refused.returncode not in (0, 65)
    assert "not authorized to perform: iam:CreateRole" in refused.stderr
    assert "service control policy" in refused.stderr
    assert made_vpcs(here)


def test_the_example_goes_up_by_one_user_and_is_planned_changed_and_destroyed_by_another(example: RunningLab) -> None:
    allow(example)
    engineer, colleague = as_user(example, "engineer"), as_user(example, "colleague")
    engineer.meshctl("up", "aws-east", "--yes", "--object-storage-only")
    upload_weights(example, "aws-east", "default")
    engineer.meshctl("up", "aws-east", "--yes", timeout_s=600)
    assert colleague.json("plan", "aws-east")["changes"] == []

    before, console, rest = (example.folder / "mesh.yaml").read_text().partition("  console:\n")
    assert "replicas: 2" in rest
    (example.folder / "mesh.yaml").write_text(before + console + rest.replace("replicas: 2", "replicas: 1", 1))
    assert colleague.json("plan", "aws-east")["changes"] != []
    colleague.meshctl("up", "aws-east", "--yes", timeout_s=400)
    colleague.meshctl(*DESTROY, timeout_s=400)
    assert example.boto3("eks").list_clusters()["clusters"] == []
