"""The DCGM exporter: beside the device plugins, on GPU nodes alone, and never in the way of work."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl import render
from meshctl.changes import Step
from meshctl.deploy.runs import plans
from meshctl.model.deployment import Deployment
from meshctl.model.pods import own_images
from tests.unit.render.sample import sample

NAME = "platform:dcgm-exporter"


def exporter(deployment: Deployment) -> dict[str, Any]:
    return next(item.manifest for item in render.platform_objects(deployment) if item.name == NAME)


def test_it_is_on_the_nodes_with_gpus_and_on_no_others() -> None:
    deployment = sample("aws")
    term = exporter(deployment)["spec"]["template"]["spec"]["affinity"]["nodeAffinity"]
    (expression,) = term["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"][0]["matchExpressions"]
    with_gpus = sorted(pool.name for pool in deployment.pools if pool.gpus_per_node)
    assert expression == {"key": "meshctl.dev/pool", "operator": "In", "values": with_gpus}
    assert len(with_gpus) < len(deployment.pools)


def test_collectors_find_it_and_it_may_read_the_counters() -> None:
    template = exporter(sample("aws"))["spec"]["template"]
    assert template["metadata"]["annotations"]["prometheus.io/port"] == "9400"
    (container,) = template["spec"]["containers"]
    assert container["image"] == "nvcr.io/nvidia/k8s/dcgm-exporter:4.5.3-4.8.2-distroless"
    # with CAP_SYS_ADMIN, the API server would refuse allowPrivilegeEscalation: false
    assert container["securityContext"]["capabilities"] == {"add": ["SYS_ADMIN"], "drop": ["ALL"]}


def test_it_pushes_no_pod_off_its_node_and_nobody_waits_for_it() -> None:
    deployment = sample("aws")
    assert "priorityClassName" not in exporter(deployment)["spec"]["template"]["spec"]
    item = next(item for item in render.platform_objects(deployment) if item.name == NAME)
    assert not item.wait
    assert not any(NAME in other.depends_on for other in render.platform_objects(deployment))


@pytest.mark.parametrize("provider", ["coreweave", "onprem"])
def test_clusters_that_have_device_plugins_are_left_alone(provider: Any) -> None:
    assert NAME not in [item.name for item in render.platform_objects(sample(provider))]
    assert own_images.DCGM_EXPORTER not in own_images.of(sample(provider))


@pytest.mark.parametrize("change", [{"gpus_per_node": 0}, {"gpu_resource": "amd.com/gpu"}])
def test_without_gpus_of_nvidia_there_is_none(change: dict[str, Any]) -> None:
    deployment = sample("aws")
    pools = tuple(pool.model_copy(update=change) for pool in deployment.pools)
    others = deployment.model_copy(update={"pools": pools})
    assert NAME not in [item.name for item in render.platform_objects(others)]


def test_a_mirror_has_it_too() -> None:
    deployment = sample("aws").model_copy(update={"images": {"nvcr.io": "mirror.example.com/nvcr"}})
    (container,) = exporter(deployment)["spec"]["template"]["spec"]["containers"]
    assert container["image"].startswith("mirror.example.com/nvcr/nvidia/k8s/dcgm-exporter:")
    assert own_images.DCGM_EXPORTER in own_images.of(deployment)


def test_a_plan_for_what_is_up_says_why_it_comes() -> None:
    deployment = sample("aws")
    urn = f"urn:pulumi:aws::m::kubernetes:apps/v1:DaemonSet::{NAME}"
    added = Step(urn, "kubernetes:apps/v1:DaemonSet", "create", {}, {})
    (note,) = [note for note in plans.plan_of_preview(deployment, [added], deployment, ()).notes if "DCGM" in note]
    assert note.endswith("no pod of the mesh changes")
    assert not [note for note in plans.plan_of_preview(deployment, [added], None, ()).notes if "DCGM" in note]
