"""The example on AWS, from what is declared to a WEKA cluster that serves: the nodes as the lab makes them of node
groups and launch templates, the objects as they are rendered, and the operator of the lab."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from meshctl import render
from meshctl.catalog import load_catalog
from meshctl.lab.aws.eks import launch_rules
from meshctl.lab.controllers import eks
from meshctl.lab.controllers.nodes import NODES, manifest
from meshctl.lab.weka.operator import drives, world
from meshctl.load import load
from meshctl.model.deployment import Deployment
from meshctl.resolve import resolve
from tests.unit.lab_weka.kubernetes_in_memory import Kubernetes
from tests.unit.stacks.declared_on_aws import Recorder, declared

EXAMPLE = Path(__file__).parents[3] / "examples" / "neuralmesh"
NAME = "llm-train"
INTERFACES = "weka.io/weka-nics"
KINDS = {"WekaPolicy": world.POLICIES, "WekaCluster": world.CLUSTERS, "WekaClient": world.CLIENTS}


@pytest.fixture(scope="module")
def deployment() -> Deployment:
    mesh, environments = load(EXAMPLE / "mesh.yaml", EXAMPLE / "environments.yaml")
    resolved = resolve(mesh, environments, "aws-east", load_catalog(), None).deployment
    assert resolved is not None
    return resolved


@pytest.fixture(scope="module")
def recorder(deployment: Deployment) -> Recorder:
    return declared(deployment, dict.fromkeys(render.late_names(render.platform_objects(deployment)), "late"))


def nodegroup(recorder: Recorder, pool: str) -> dict[str, Any]:
    """As the lab's EKS writes it down."""
    group = recorder.inputs[f"pool/{pool}:nodegroup"]
    template = recorder.inputs[f"pool/{pool}:launch-template"]["LaunchTemplateData"]
    [machine] = group["instanceTypes"]
    return {
        **group,
        "desiredSize": group["scalingConfig"]["desiredSize"],
        "launched": {machine: list(range(int(group["scalingConfig"]["desiredSize"])))},
        "zones": ["us-east-1a"],
        "status": "ACTIVE",
        "placementGroup": "",
        "taints": group.get("taints") or [],
        "efaInterfaces": launch_rules.efa_interfaces(template),
        "hugePages": launch_rules.huge_pages(template),
        "metadataHops": launch_rules.metadata_hops(template),
    }


def cluster_of(recorder: Recorder) -> dict[str, Any]:
    plugin = recorder.inputs["cluster:addon-vpc-cni"]["configurationValues"]
    return {
        "control_plane": "dc1",
        "nodegroups": {pool: nodegroup(recorder, pool) for pool in ("train", "serve")},
        "addons": {"vpc-cni": {"version": "v1", "configuration": plugin}},
    }


@pytest.fixture
def kubernetes(tmp_path: Path, recorder: Recorder, deployment: Deployment) -> Iterator[Kubernetes]:
    """All nodes have joined, and nothing of WEKA is there."""
    cluster = cluster_of(recorder)
    (tmp_path / "eks.json").write_text(json.dumps({"clusters": {NAME: cluster}}))
    made = Kubernetes(tmp_path, provider="eks")
    for group in eks.groups(cluster, "us-east-1"):
        made.put(NODES, *(with_ready(manifest(group, number)) for number in range(group.count)))
    yield made
    for key in list(made.registry.systems):
        made.registry.remove(*key.split("."))


def with_ready(node: dict[str, Any]) -> dict[str, Any]:
    node["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
    return node


def bring_up(kubernetes: Kubernetes, deployment: Deployment) -> None:
    for item in render.platform_objects(deployment):
        if item.kind in KINDS:
            kubernetes.put(KINDS[item.kind], item.manifest)


def results(kubernetes: Kubernetes) -> dict[str, str]:
    policies = kubernetes.of(world.POLICIES)
    return {each["metadata"]["name"]: each["status"]["result"] for each in policies}


def test_the_example_comes_up_on_machines_of_ec2(kubernetes: Kubernetes, deployment: Deployment) -> None:
    bring_up(kubernetes, deployment)
    states = kubernetes.look_until(lambda: kubernetes.state() == "Ready")
    assert states[-1] == "Ready"
    assert results(kubernetes) == {
        f"{NAME}-ensure-nics-train": "14 interfaces on 8 nodes",
        f"{NAME}-ensure-nics-serve": "2 interfaces on 1 nodes",
        f"{NAME}-sign-drives": "64 drives on 8 nodes",
    }
    allocatable = [node["status"]["allocatable"] for node in kubernetes.of(NODES)]
    assert sorted(each[INTERFACES] for each in allocatable) == ["14"] * 8 + ["2"]
    kubernetes.look()
    kubernetes.look()
    containers = kubernetes.of(world.CONTAINERS)
    modes = sorted(each["spec"]["mode"] for each in containers)
    assert modes == ["client"] * 9 + ["compute"] * 8 + ["drive"] * 8
    running = [each for each in kubernetes.of(world.PODS) if each["spec"].get("nodeName")]
    assert len(running) == len(containers)  # huge pages, cores, interfaces and drives are enough for all


def test_a_drive_that_fails_is_built_anew(kubernetes: Kubernetes, deployment: Deployment) -> None:
    bring_up(kubernetes, deployment)
    kubernetes.look_until(lambda: kubernetes.state() == "Ready")
    node = kubernetes.get(f"{NODES}/train-0")
    node["metadata"]["annotations"][drives.FAILED] = drives.signed(node)[0]
    kubernetes.look()
    (cluster,) = kubernetes.of(world.CLUSTERS)
    assert (kubernetes.state(), cluster["status"]["stats"]["clusterStatus"]) == ("Ready", "REBUILDING")


def test_it_does_not_with_a_plugin_that_takes_interfaces(
    kubernetes: Kubernetes, recorder: Recorder, deployment: Deployment
) -> None:
    """What a cluster has that came up without NeuralMesh: its pods have no interfaces, and stay where they are."""
    others = {**cluster_of(recorder), "addons": {"vpc-cni": {"version": "v1", "configuration": ""}}}
    (kubernetes.registry.root / "eks.json").write_text(json.dumps({"clusters": {NAME: others}}))
    bring_up(kubernetes, deployment)
    for _ in range(5):
        kubernetes.look()
    assert kubernetes.state() == "Init"
    assert "MAX_ENI" in results(kubernetes)[f"{NAME}-ensure-nics-train"]
