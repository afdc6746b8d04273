"""A small mesh on the lab's AWS: what a change of its environment does there, seen through the AWS API.

Brought up once for the whole file. The test that destroys it says so (`Place.gone`), and the next one, if there is one,
has it brought up again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.lab_fixture import RunningLab

MESH = """
apiVersion: meshctl/v1
kind: Mesh
name: small
labels: {team: genai}
pools:
  web: {role: general, nodes: 1, cpu: {cores: 4, memory: 8GiB}}
storage:
  models: {kind: object, size: 1GiB}
  results: {kind: object, size: 1GiB}
  shared: {kind: filesystem, size: 10GiB}
workloads:
  reader:
    {kind: service, pool: web, replicas: 1, image: example/reader:1, mounts: {models: {path: /models, readOnly: true}}}
  writer: {kind: service, pool: web, replicas: 1, image: example/writer:1, mounts: {results: {path: /results}}}
  idle: {kind: service, pool: web, replicas: 1, image: example/idle:1}
"""
ENVIRONMENTS = """
apiVersion: meshctl/v1
kind: Environments
environments:
  aws-east:
    provider: aws
    region: us-east-1
    zones: [us-east-1a, us-east-1b]
    kubernetes: {version: "1.33"}
"""
ELSEWHERE = ENVIRONMENTS.replace("us-east-1", "eu-west-1")
LOSE = ("--yes", "--allow-data-loss", "--confirm", "aws-east")
pytestmark = pytest.mark.lab


@dataclass
class Place:
    """The mesh on AWS; `gone` once a test has destroyed it."""

    here: RunningLab
    gone: bool = True

    def brought_up(self) -> RunningLab:
        if self.gone:
            (self.here.folder / "mesh.yaml").write_text(MESH)
            (self.here.folder / "environments.yaml").write_text(ENVIRONMENTS)
            self.here.meshctl("up", "aws-east", "--yes", timeout_s=600)
            self.gone = False
        return self.here


@pytest.fixture(scope="module")
def place(lab: RunningLab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    made = Place(lab.at(tmp_path_factory.mktemp("small")))
    yield made
    (made.here.folder / "environments.yaml").write_text(ENVIRONMENTS)
    made.here.meshctl("destroy", "aws-east", *LOSE, timeout_s=300)


@pytest.fixture
def mesh(place: Place) -> RunningLab:
    return place.brought_up()


def refused(here: RunningLab, *arguments: str, **variables: Any) -> str:
    """What a command that is not allowed says."""
    done = here.meshctl(*arguments, check=False, **variables)
    assert done.returncode == 64, done.stdout + done.stderr
    return done.stderr


def vpcs(here: RunningLab) -> int:
    mine = [{"Name": "tag:meshctl.dev/mesh", "Values": ["small"]}]
    return len(here.boto3("ec2").describe_vpcs(Filters=mine)["Vpcs"])


@pytest.mark.parametrize(
    "command", [("plan", "aws-east"), ("up", "aws-east", "--yes"), ("up", "aws-east", "--yes", "--object-storage-only")]
)
def test_another_region_is_refused_before_anything_runs(mesh: RunningLab, command: tuple[str, ...]) -> None:
    (mesh.folder / "elsewhere.yaml").write_text(ELSEWHERE)
    said = refused(mesh, "--environments", "elsewhere.yaml", *command)
    assert "aws-east is up in us-east-1 and can't be moved to eu-west-1" in said
    assert vpcs(mesh) == 1


@pytest.mark.parametrize("command", ["plan", "up", "destroy"])
def test_credentials_of_another_account_are_refused(mesh: RunningLab, command: str) -> None:
    role = {"RoleArn": "arn:aws:iam::222222222222:role/operator", "RoleSessionName": "other"}
    keys = mesh.boto3("sts").assume_role(**role)["Credentials"]
    other = {"AWS_ACCESS_KEY_ID": keys["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": keys["SecretAccessKey"]}
    other["AWS_SESSION_TOKEN"] = keys["SessionToken"]
    yes = () if command == "plan" else ("--yes",)
    said = refused(mesh, command, "aws-east", *yes, **other)
    assert "aws-east is in the AWS account 123456789012, but the credentials are of the account 222222222222" in said
    assert vpcs(mesh) == 1


def test_another_profile_of_the_same_account_changes_nothing(mesh: RunningLab, tmp_path: Path) -> None:
    files: dict[str, Any] = {}
    for variable in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        text = (
            Path(mesh.env[variable])
            .read_text()
            .replace("[default]", "[profile same]" if "CONFIG" in variable else "[same]")
        )
        files[variable] = str(tmp_path / variable)
        Path(files[variable]).write_text(text)
    (mesh.folder / "same.yaml").write_text(ENVIRONMENTS.replace("region:", "profile: same\n    region:"))
    done = mesh.meshctl("--environments", "same.yaml", "--output", "json", "plan", "aws-east", **files)
    assert json.loads(done.stdout)["changes"] == []


def roles_of_workloads(here: RunningLab) -> dict[str, str]:
    """Role ARN by service account, as EKS hands them to pods."""
    eks = here.boto3("eks")
    found = eks.list_pod_identity_associations(clusterName="small-aws-east", namespace="small")["associations"]
    names = [{"clusterName": "small-aws-east", "associationId": item["associationId"]} for item in found]
    described = [eks.describe_pod_identity_association(**name)["association"] for name in names]
    return {item["serviceAccount"]: item["roleArn"] for item in described}


def test_each_workload_has_a_role_that_reaches_its_own_buckets(mesh: RunningLab) -> None:
    roles, iam = roles_of_workloads(mesh), mesh.boto3("iam")
    assert set(roles) == {"reader", "writer"}  # `idle` uses no bucket
    for workload, store, allowed in (("reader", "models", False), ("writer", "results", True)):
        name = roles[workload].rpartition("/")[2]
        document = iam.get_role_policy(RoleName=name, PolicyName="buckets")["PolicyDocument"]
        resources = {arn for statement in document["Statement"] for arn in statement["Resource"]}
        assert {arn.rpartition(":")[2][:-9].removesuffix("-") for arn in resources if "/" not in arn} == {
            f"small-aws-east-{store}"
        }
        assert ("s3:PutObject" in json.dumps(document)) is allowed


def test_pods_do_not_reach_the_nodes_role(mesh: RunningLab) -> None:
    template = template_data(mesh)
    assert template["MetadataOptions"] == {"HttpTokens": "required", "HttpPutResponseHopLimit": 1}


def test_what_a_node_is_made_of_says_whose_it_is(mesh: RunningLab) -> None:
    specifications = {item["ResourceType"]: item["Tags"] for item in template_data(mesh)["TagSpecifications"]}
    for resource in ("instance", "volume", "network-interface"):
        assert {tag["Key"]: tag["Value"] for tag in specifications[resource]} == {
            "Name": "small-aws-east-web",
            "meshctl.dev/mesh": "small",
            "meshctl.dev/environment": "aws-east",
            "meshctl.dev/pool": "web",
        }


def buckets(here: RunningLab) -> list[str]:
    names = [bucket["Name"] for bucket in here.boto3("s3").list_buckets()["Buckets"]]
    return sorted(name for name in names if name.startswith("small-aws-east-"))


def test_old_versions_and_unfinished_uploads_go_after_a_while(mesh: RunningLab) -> None:
    for bucket in buckets(mesh):
        (rule,) = mesh.boto3("s3").get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
        assert rule["NoncurrentVersionExpiration"] == {"NoncurrentDays": 30}
        assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}
        assert "Days" not in rule["Expiration"]


def test_a_bucket_keeps_its_name_when_the_account_is_said_later(mesh: RunningLab) -> None:
    before = buckets(mesh)
    (mesh.folder / "account.yaml").write_text(ENVIRONMENTS.replace("region:", 'account: "123456789012"\n    region:'))
    done = json.loads(mesh.meshctl("--environments", "account.yaml", "--output", "json", "plan", "aws-east").stdout)
    assert done["changes"] == []
    assert buckets(mesh) == before


@pytest.mark.exhaustive
def test_an_efs_file_system_has_whatever_size_the_mesh_says(mesh: RunningLab) -> None:
    file = mesh.folder / "mesh.yaml"
    file.write_text(MESH.replace("10GiB", "20GiB"))
    (change,) = mesh.json("plan", "aws-east")["changes"]
    assert (change["subject"], change["summary"]) == ("storage/shared", "size 10Gi -> 20Gi")
    mesh.meshctl("up", "aws-east", "--yes")
    assert "no changes" in mesh.meshctl("plan", "aws-east").stdout


def template_data(here: RunningLab) -> dict[str, Any]:
    (found,) = here.boto3("ec2").describe_launch_template_versions(
        LaunchTemplateName="small-aws-east-web", Versions=["$Default"]
    )["LaunchTemplateVersions"]
    data: dict[str, Any] = found["LaunchTemplateData"]
    return data


@pytest.mark.exhaustive
def test_nodes_and_addons_follow_the_control_plane_and_destroy_goes_where_it_was_made(
    place: Place, mesh: RunningLab
) -> None:
    place.gone = True
    follow_the_control_plane(mesh)
    (mesh.folder / "environments.yaml").write_text(ELSEWHERE)  # whatever the file says
    mesh.meshctl("destroy", "aws-east", *LOSE, timeout_s=300)
    assert vpcs(mesh) == 0
    assert mesh.boto3("eks").list_clusters()["clusters"] == []


def follow_the_control_plane(mesh: RunningLab) -> None:
    too_far = ENVIRONMENTS.replace('"1.33"', '"1.35"')
    (mesh.folder / "version.yaml").write_text(too_far)
    assert "runs Kubernetes 1.33 and can't go to 1.35 at once" in refused(
        mesh, "--environments", "version.yaml", "up", "aws-east", "--yes"
    )
    (mesh.folder / "environments.yaml").write_text(ENVIRONMENTS.replace('"1.33"', '"1.34"'))
    mesh.meshctl("up", "aws-east", "--yes")
    eks = mesh.boto3("eks")
    assert eks.describe_cluster(name="small-aws-east")["cluster"]["version"] == "1.34"
    nodegroup = eks.describe_nodegroup(clusterName="small-aws-east", nodegroupName="web")["nodegroup"]
    assert nodegroup["version"] == "1.34"
    proxy = eks.describe_addon(clusterName="small-aws-east", addonName="kube-proxy")["addon"]
    assert proxy["addonVersion"].startswith("v1.34.")
    assert mesh.json("plan", "aws-east")["changes"] == []
    (mesh.folder / "older.yaml").write_text(ENVIRONMENTS)
    assert "can't go back to 1.33" in refused(mesh, "--environments", "older.yaml", "plan", "aws-east")
