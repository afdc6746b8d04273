"""Whatever is deleted by hand is named by `plan` and made again by `up`, on each platform.

For `nox -s faults`: all that can be deleted at once, and every object, a few at a time, with a plan and an `up` for
each few. In memory, every object of every platform is deleted alone (`tests/unit/engine/test_drift.py`);
`nox -s tests` has a change by hand in `test_owned_fields`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from meshctl.changes.steps import resource_name
from tests.faults.by_hand import Stack
from tests.lab_fixture import RunningLab

pytestmark = [pytest.mark.lab, pytest.mark.exhaustive]

MESH = """
apiVersion: meshctl/v1
kind: Mesh
name: gone
pools:
  web: {role: general, nodes: 1, cpu: {cores: 4, memory: 16GiB}}
storage:
  assets: {kind: object, size: 10GiB}
workloads:
  site:
    kind: service
    pool: web
    replicas: 2
    image: ghcr.io/acme/site:1.0
    secrets: {API_KEY: api-key}
    ports: {http: 8080}
    mounts: {assets: {path: /assets}}
  tune:
    kind: training
    pool: web
    nodes: 1
    image: ghcr.io/acme/tune:1.0
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
# in how many tests the objects are deleted, so that workers and shards can share them
PARTS = {"aws-east": 8, "cw": 2, "dc1": 2}
# how many objects are deleted before one plan and one `up`: a plan of an environment on AWS takes ten seconds
AT_ONCE = 4


@pytest.fixture
def here(lab: RunningLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningLab]:
    (tmp_path / "mesh.yaml").write_text(MESH)
    (tmp_path / "environments.yaml").write_text(ENVIRONMENTS)
    running = lab.at(tmp_path, MESHCTL_SECRET_API_KEY="k")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, running.env[name])  # for the AWS provider in this process
    yield running
    stacks = tmp_path / ".meshctl/state/.pulumi/stacks/gone"
    for environment in ("aws-east", "cw", "dc1"):
        if (stacks / f"{environment}.json").exists():
            running.meshctl("destroy", environment, "--yes", timeout_s=400)


def stack_of(here: RunningLab, environment: str) -> Stack:
    here.meshctl("up", environment, "--yes", timeout_s=400)
    stack = Stack(here, "gone", environment)
    assert stack.outside() == set()
    return stack


def deleted_together(urns: list[str], alone: set[str]) -> Iterator[list[str]]:
    """`urns` in groups of AT_ONCE; each of `alone` is a group of its own."""
    yield from ([urn] for urn in urns if urn in alone)
    others = [urn for urn in urns if urn not in alone]
    yield from (others[start : start + AT_ONCE] for start in range(0, len(others), AT_ONCE))


@pytest.mark.parametrize("environment", ["cw", "dc1"])
def test_what_is_deleted_by_hand_is_named_and_made_again(here: RunningLab, environment: str) -> None:
    stack = stack_of(here, environment)
    before = stack.urns()
    gone = stack.deleted(stack.leaves())
    assert gone
    stack.assert_made_again(gone, before)


@pytest.mark.parametrize(
    ("environment", "part"), [(environment, part) for environment, count in PARTS.items() for part in range(count)]
)
def test_each_object_that_is_deleted_by_hand_is_named_and_made_again(
    here: RunningLab, environment: str, part: int
) -> None:
    stack = stack_of(here, environment)
    before = stack.urns()
    for urns in deleted_together(sorted(before)[part :: PARTS[environment]], stack.deleted_alone()):
        gone = stack.deleted(urns)
        if gone:  # not where its API refuses, since others need it
            stack.assert_made_again(gone, before)


def test_a_cluster_that_eks_has_no_more_is_made_again_with_all_that_was_in_it(here: RunningLab) -> None:
    one_pod = MESH.replace("replicas: 2", "replicas: 1")  # a disruption budget would hold up the end of the only node
    (here.folder / "mesh.yaml").write_text(one_pod)
    stack = stack_of(here, "aws-east")
    eks = here.boto3("eks")
    (name,) = [cluster for cluster in eks.list_clusters()["clusters"] if cluster.startswith("gone-")]
    for group in eks.list_nodegroups(clusterName=name)["nodegroups"]:
        eks.delete_nodegroup(clusterName=name, nodegroupName=group)
        eks.get_waiter("nodegroup_deleted").wait(
            clusterName=name, nodegroupName=group, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
        )
    eks.delete_cluster(name=name)
    eks.get_waiter("cluster_deleted").wait(name=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    named = {resource_name(urn) for urn in stack.outside()}
    assert {"cluster:eks", "pool/web:nodegroup"} <= named
    here.meshctl("up", "aws-east", "--yes", timeout_s=400)
    assert here.json("status", "aws-east")["environments"]["aws-east"]["state"] == "up"
