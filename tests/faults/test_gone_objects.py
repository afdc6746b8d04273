"""Whatever is deleted by hand is named by `plan` and made again by `up`, on each platform.

By default all that can be deleted goes at once. With `MESHCTL_EXHAUSTIVE` set (`nox -s faults`) one object after the
other is deleted, each with a plan and an `up` of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from meshctl.changes.steps import resource_name
from providers.aws.provider import AwsProvider
from providers.plugin.provider import ProviderError
from tests.lab_fixture import RunningLab

pytestmark = pytest.mark.lab
EXHAUSTIVE = bool(os.environ.get("MESHCTL_EXHAUSTIVE"))

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
# what only goes with all that is in it
_WHOLE = ("kubernetes:core/v1:Namespace", "meshaws:eks:Cluster")


@pytest.fixture
def here(lab: RunningLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningLab]:
    (tmp_path / "mesh.yaml").write_text(MESH)
    (tmp_path / "environments.yaml").write_text(ENVIRONMENTS)
    running = lab.at(tmp_path)
    monkeypatch.setenv("MESHCTL_SECRET_API_KEY", "k")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, running.env[name])
    yield running
    stacks = tmp_path / ".meshctl/state/.pulumi/stacks/gone"
    for environment in ("aws-east", "cw", "dc1"):
        if (stacks / f"{environment}.json").exists():
            running.meshctl("destroy", environment, "--yes", timeout_s=400)


def resources(here: RunningLab, environment: str) -> list[dict[str, Any]]:
    state = json.loads((here.folder / f".meshctl/state/.pulumi/stacks/gone/{environment}.json").read_text())
    found = state["checkpoint"]["latest"]["resources"]
    return [r for r in found if r.get("custom") and not r["type"].startswith("pulumi:")]


def deleted(here: RunningLab, environment: str, resource: dict[str, Any], aws: dict[str, AwsProvider]) -> bool:
    """Delete what a resource stands for; whether its API allows that."""
    if resource["type"].startswith("meshaws:"):
        provider = aws[resource["provider"].split("::")[-2]]
        try:
            provider.delete(
                resource["type"],
                urn=resource["urn"],
                id=resource["id"],
                inputs=resource["inputs"],
                outputs=resource["outputs"],
                timeout_s=60,
            )
        except ProviderError:
            return False
        return True
    manifest = resource["inputs"]
    namespace = manifest["metadata"].get("namespace")
    what = [manifest["kind"], manifest["metadata"]["name"], *(["-n", namespace] if namespace else [])]
    try:
        if manifest["kind"] == "Node":  # given by others: what is ours are its labels
            here.kubectl(environment, "label", "node", manifest["metadata"]["name"], "meshctl.dev/pool-")
        else:
            here.kubectl(environment, "delete", *what, "--wait=true", "--timeout=60s")
    except subprocess.CalledProcessError:
        return False
    return True


def providers(here: RunningLab, environment: str) -> dict[str, AwsProvider]:
    """The AWS providers of the stack, by name, as the stack configures them."""
    state = json.loads((here.folder / f".meshctl/state/.pulumi/stacks/gone/{environment}.json").read_text())
    found = {}
    for resource in state["checkpoint"]["latest"]["resources"]:
        if resource["type"] == "pulumi:providers:meshaws":
            found[resource_name(resource["urn"])] = AwsProvider()
            found[resource_name(resource["urn"])].configure(resource["inputs"])
    return found


def leaves(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those that no other needs, and that are no data: an API lets them go."""
    needed = {urn for r in found for urn in r.get("dependencies") or ()}
    kubernetes = [r for r in found if r["type"].startswith("kubernetes:") and r["type"] not in _WHOLE]
    return [*kubernetes, *(r for r in found if r["type"].startswith("meshaws:") and r["urn"] not in needed)]


def outside(here: RunningLab, environment: str) -> set[str]:
    plan = here.json("plan", environment)
    return {resource["urn"] for change in plan["outside"] for resource in change["resources"]}


@pytest.mark.parametrize("environment", ["aws-east", "cw", "dc1"])
def test_what_is_deleted_by_hand_is_named_and_made_again(here: RunningLab, environment: str) -> None:
    here.meshctl("up", environment, "--yes", timeout_s=400)
    assert here.json("plan", environment)["outside"] == []
    before = resources(here, environment)
    aws = providers(here, environment)
    batches = [[resource] for resource in before] if EXHAUSTIVE else [leaves(before)]
    for batch in batches:
        now = {r["urn"]: r for r in resources(here, environment)}
        gone = {r["urn"] for r in batch if deleted(here, environment, now[r["urn"]], aws)}
        if not gone:
            continue
        names = sorted(resource_name(urn) for urn in gone)
        missing = gone - outside(here, environment)
        assert not missing, f"deleted {names}; not named: {sorted(resource_name(urn) for urn in missing)}"
        here.meshctl("up", environment, "--yes", timeout_s=400)
        plan = here.json("plan", environment)
        assert (plan["outside"], plan["changes"]) == ([], []), f"after the up that was to make {names} again"
        assert {r["urn"] for r in resources(here, environment)} == {r["urn"] for r in before}


@pytest.mark.exhaustive
def test_a_cluster_that_eks_has_no_more_is_made_again_with_all_that_was_in_it(here: RunningLab) -> None:
    one_pod = MESH.replace("replicas: 2", "replicas: 1")  # a disruption budget would hold up the end of the only node
    (here.folder / "mesh.yaml").write_text(one_pod)
    here.meshctl("up", "aws-east", "--yes", timeout_s=400)
    eks = here.boto3("eks")
    (name,) = [found for found in eks.list_clusters()["clusters"] if found.startswith("gone-")]
    for group in eks.list_nodegroups(clusterName=name)["nodegroups"]:
        eks.delete_nodegroup(clusterName=name, nodegroupName=group)
        eks.get_waiter("nodegroup_deleted").wait(
            clusterName=name, nodegroupName=group, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
        )
    eks.delete_cluster(name=name)
    eks.get_waiter("cluster_deleted").wait(name=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    named = {resource_name(urn) for urn in outside(here, "aws-east")}
    assert {"cluster:eks", "pool/web:nodegroup"} <= named
    here.meshctl("up", "aws-east", "--yes", timeout_s=400)
    assert here.json("status", "aws-east")["environments"]["aws-east"]["state"] == "up"
