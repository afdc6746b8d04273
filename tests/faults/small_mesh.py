"""A mesh of one pool, one bucket and one workload for the fault tests, and what the lab's AWS has of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab_fixture import RunningLab

MESH = """
apiVersion: meshctl/v1
kind: Mesh
name: small
pools:
  web: {role: general, nodes: 1, cpu: {cores: 4, memory: 16GiB}}
storage:
  assets: {kind: object, size: 10GiB}
workloads:
  site:
    kind: service
    pool: web
    replicas: 1
    image: ghcr.io/acme/site:1.0
    ports: {http: 8080}
    mounts: {assets: {path: /assets}}
"""
ENVIRONMENTS = """
apiVersion: meshctl/v1
kind: Environments
environments:
  aws-east: {provider: aws, region: us-east-1, zones: [us-east-1a, us-east-1b]}
  cw: {provider: coreweave, region: US-EAST-04A, kubernetes: {context: cw}, objectStorage: {profile: coreweave}}
  dc1:
    provider: onprem
    kubernetes: {context: dc1}
    objectStorage: {profile: dc1}
    storageClasses: {filesystem: nfs, block: local-path}
"""
# what `up -v` says when it begins to make these
BEGUN = {
    "Vpc": "creating  network vpc",
    "Cluster": "creating  cluster eks",
    "Nodegroup": "creating  pool/web nodegroup",
}
WHOLE = {
    "vpcs": 1,
    "subnets": 4,
    "nat gateways": 2,
    "launch templates": 1,
    "clusters": 1,
    "buckets": 1,
    "roles": 3,
}


@pytest.fixture
def small(lab: RunningLab, tmp_path: Path) -> Iterator[RunningLab]:
    """The mesh in a folder of its own; whatever is up is taken down again."""
    here = declared(lab, tmp_path)
    yield here
    take_down(here)


def declared(lab: RunningLab, folder: Path) -> RunningLab:
    (folder / "mesh.yaml").write_text(MESH)
    (folder / "environments.yaml").write_text(ENVIRONMENTS)
    here = lab.at(folder)
    faults(here)
    return here


def take_down(here: RunningLab) -> None:
    faults(here)
    stacks = here.folder / ".meshctl/state/.pulumi/stacks/small"
    for environment in ("aws-east", "cw", "dc1"):
        if (stacks / f"{environment}.json").exists():
            here.meshctl("destroy", environment, "--yes", timeout_s=300)


def faults(here: RunningLab, *planned: dict[str, object]) -> None:
    """From now on the lab's APIs fail so; none does where nothing is planned."""
    (here.lab.root / "faults.json").write_text(json.dumps(planned))


def counts(here: RunningLab) -> dict[str, int]:
    """How many of each kind of resource AWS has of this mesh."""
    ec2, tagged = here.boto3("ec2"), [{"Name": "tag:meshctl.dev/mesh", "Values": ["small"]}]
    buckets = [b["Name"] for b in here.boto3("s3").list_buckets()["Buckets"]]
    roles = [r["RoleName"] for r in here.boto3("iam").list_roles()["Roles"]]
    nats = ec2.describe_nat_gateways(Filter=tagged)["NatGateways"]
    return {
        "vpcs": len(ec2.describe_vpcs(Filters=tagged)["Vpcs"]),
        "subnets": len(ec2.describe_subnets(Filters=tagged)["Subnets"]),
        "nat gateways": sum(nat["State"] != "deleted" for nat in nats),
        "launch templates": len(ec2.describe_launch_templates(Filters=tagged)["LaunchTemplates"]),
        "clusters": sum(name.startswith("small-") for name in here.boto3("eks").list_clusters()["clusters"]),
        "buckets": sum(name.startswith("small-") for name in buckets),
        "roles": sum(name.startswith("small-") for name in roles),
    }
