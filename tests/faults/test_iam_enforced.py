"""One user brings an environment up, another changes and destroys it: each with the printed policy and no more."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

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
KEYS = {"engineer": "AKIALABENGINEER00001", "colleague": "AKIALABCOLLEAGUE0001"}
SECRET = "secret-of-the-lab"  # the API server checks the signature of a token
GUARD_RAIL = {"Effect": "Deny", "Action": "iam:CreateRole", "Resource": "*"}


def as_user(here: RunningLab, name: str) -> RunningLab:
    return here.at(here.folder, AWS_ACCESS_KEY_ID=KEYS[name], AWS_SECRET_ACCESS_KEY=SECRET)


@pytest.fixture
def here(lab: RunningLab, tmp_path: Path) -> Iterator[RunningLab]:
    """The lab with two more users, who have no rights yet."""
    here = lab.at(tmp_path)
    (here.folder / "mesh.yaml").write_text(MESH)
    (here.folder / "environments.yaml").write_text(ENVIRONMENTS)
    file = Path(here.env["AWS_SHARED_CREDENTIALS_FILE"])
    before = file.read_text()
    users = "".join(
        f"\n[{name}]\naws_access_key_id = {key}\naws_secret_access_key = {SECRET}\n" for name, key in KEYS.items()
    )
    file.write_text(before + users)
    yield here
    file.with_name("policies.json").unlink(missing_ok=True)
    here.meshctl("destroy", "aws-east", "--yes", check=False, timeout_s=300)
    file.write_text(before)


def allow(here: RunningLab, *more: dict[str, str]) -> None:
    """Gives both users the printed policy, and what comes on top."""
    policy = json.loads(here.meshctl("doctor", "--iam-policy", "aws-east").stdout)
    policies = [policy, {"Version": "2012-10-17", "Statement": list(more)}]
    file = Path(here.env["AWS_SHARED_CREDENTIALS_FILE"]).with_name("policies.json")
    file.write_text(json.dumps(dict.fromkeys(KEYS, policies)))


def test_one_user_brings_up_what_another_changes_and_destroys(here: RunningLab) -> None:
    """findings A2, A12"""
    allow(here, GUARD_RAIL)
    refused = as_user(here, "engineer").meshctl("up", "aws-east", "--yes", check=False, timeout_s=300)
    assert refused.returncode != 0
    assert "not authorized to perform: iam:CreateRole" in refused.stderr
    assert "service control policy" in refused.stderr

    allow(here)
    as_user(here, "engineer").meshctl("up", "aws-east", "--yes", timeout_s=400)

    plan = as_user(here, "colleague").meshctl("--output", "json", "plan", "aws-east")
    assert json.loads(plan.stdout)["changes"] == []
    (here.folder / "mesh.yaml").write_text(MESH.replace("replicas: 1", "replicas: 2"))
    as_user(here, "colleague").meshctl("up", "aws-east", "--yes", timeout_s=300)
    as_user(here, "colleague").meshctl("destroy", "aws-east", "--yes", timeout_s=300)
    assert here.boto3("eks").list_clusters()["clusters"] == []
