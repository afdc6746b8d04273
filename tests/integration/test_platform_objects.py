"""The rendered objects meet a real API server: strict field validation, Pod Security admission, controllers, Pulumi."""

from __future__ import annotations

import json
import time
import urllib.error
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from meshctl import render
from meshctl.model.deployment import Deployment, Provider
from meshctl.model.pods import pod_groups
from meshctl.render import LateValue, PlatformObject
from tests.contract.kubernetes_recording.control_plane import ControlPlane
from tests.unit.render.sample import sample

PLURALS = {"StorageClass": "storageclasses", "PriorityClass": "priorityclasses"}
CLUSTER_SCOPED = (
    "ClusterRole",
    "ClusterRoleBinding",
    "Namespace",
    "Node",
    "PersistentVolume",
    "PriorityClass",
    "StorageClass",
)
POD_WAIT_S = 60.0


def filled(value: Any) -> Any:
    if isinstance(value, LateValue):
        return f"value-of-{value.name}"
    if isinstance(value, dict):
        return {key: filled(inner) for key, inner in value.items()}
    return [filled(inner) for inner in value] if isinstance(value, list) else value


def path(item: PlatformObject) -> str:
    version, metadata = item.manifest["apiVersion"], item.manifest["metadata"]
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    space = "" if item.kind in CLUSTER_SCOPED else f"/namespaces/{metadata['namespace']}"
    return f"{root}{space}/{PLURALS.get(item.kind, item.kind.lower() + 's')}/{metadata['name']}"


def apply(plane: ControlPlane, item: PlatformObject) -> None:
    query = "?fieldManager=test&force=true&fieldValidation=Strict"
    try:
        plane.call("PATCH", path(item) + query, filled(item.manifest), "application/apply-patch+yaml")
    except urllib.error.HTTPError as error:
        with error:
            pytest.fail(f"{item.name}: {json.loads(error.read())['message']}")


def in_namespace(provider: Provider) -> Deployment:
    """The sample in a namespace of its own: all three share one control plane."""
    deployment = sample(provider)
    return deployment.model_copy(update={"mesh": f"llm-{provider}"})


def until(check: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + POD_WAIT_S
    while True:
        found = check()
        if found or time.monotonic() > deadline:
            return found
        time.sleep(0.2)


@pytest.mark.lab
@pytest.mark.parametrize("provider", ["aws", "coreweave", "onprem"])
def test_the_api_server_takes_every_object_and_admits_every_pod(plane: ControlPlane, provider: Provider) -> None:
    found = admitted(plane, in_namespace(provider))
    ranks = {
        pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"]: pod for pod in of(found, "pretrain")
    }
    assert sorted(ranks) == ["0", "1", "2", "3"]
    assert ranks["0"]["spec"]["hostname"] == "pretrain-0"
    assert ranks["0"]["spec"]["subdomain"] == "pretrain"


@pytest.mark.lab
@pytest.mark.parametrize(("user", "level"), [(1001, "restricted"), ("root", "baseline"), ("image", "baseline")])
def test_pods_of_every_user_are_admitted_with_their_files(plane: ControlPlane, user: int | str, level: str) -> None:
    fields = {
        "user": user,
        "files": {"/etc/app/prompt.yaml": "be kind\n"},
        "secret_files": {"/run/mesh/hf": "hf-token"},
    }
    deployment = sample("aws").model_copy(update={"mesh": f"llm-{user}"})
    workloads = tuple(each.model_copy(update=fields) for each in deployment.workloads)
    deployment = deployment.model_copy(update={"workloads": workloads})
    labels = namespace_of(deployment)["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == level
    for pod in admitted(plane, deployment):
        mounts = {each["mountPath"]: each["name"] for each in pod["spec"]["containers"][0]["volumeMounts"]}
        assert mounts["/etc/app/prompt.yaml"] == "0-files"
        assert mounts["/run/mesh/hf"] == "0-secret-files"


@pytest.mark.lab
def test_root_for_the_sake_of_shared_files_is_admitted(plane: ControlPlane) -> None:
    deployment = sample("coreweave").model_copy(update={"mesh": "llm-shared"})
    workloads = tuple(each.model_copy(update={"root_for_files": True}) for each in deployment.workloads)
    found = admitted(plane, deployment.model_copy(update={"workloads": workloads}))
    assert {pod["spec"]["securityContext"]["runAsUser"] for pod in found} == {0}


def namespace_of(deployment: Deployment) -> dict[str, Any]:
    (found,) = [item.manifest for item in render.platform_objects(deployment) if item.kind == "Namespace"]
    return found


def admitted(plane: ControlPlane, deployment: Deployment) -> list[dict[str, Any]]:
    """The pods that the controllers made of all objects; fails with the reasons where one is refused."""
    for item in render.platform_objects(deployment):
        apply(plane, item)
    wanted = sum(workload.pods for workload in deployment.workloads)
    space = f"/api/v1/namespaces/{deployment.namespace}"

    def pods() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = plane.call("GET", f"{space}/pods")["items"]
        return found if len(found) >= wanted else []

    found = until(pods)
    events = plane.call("GET", f"{space}/events")["items"]
    refused = [event["message"] for event in events if event["reason"] == "FailedCreate"]
    assert len(found) == wanted, refused
    return list(found)


def of(pods: list[dict[str, Any]], workload: str) -> list[dict[str, Any]]:
    return [pod for pod in pods if pod["metadata"]["labels"]["app.kubernetes.io/name"] == workload]


@pytest.mark.lab
def test_the_controllers_number_the_pods_of_groups(plane: ControlPlane) -> None:
    deployment = sample("aws").model_copy(update={"mesh": "llm-groups"})
    fields = {"nodes_per_replica": 3}
    workloads = tuple(w.model_copy(update=fields) if w.name == "chat" else w for w in deployment.workloads)
    found = of(admitted(plane, deployment.model_copy(update={"workloads": workloads})), "chat")
    places = {pod["metadata"]["name"]: pod_groups.place_of(pod["metadata"]["labels"]) for pod in found}
    assert places == {pod_groups.pod("chat", group, rank): (group, rank) for group in range(2) for rank in range(3)}
    for pod in found:
        assert pod["spec"]["hostname"] == pod["metadata"]["name"]
        assert pod["spec"]["subdomain"] == "chat-pods"


@pytest.mark.lab
def test_suspending_a_training_removes_its_pods_and_resuming_brings_them_back(plane: ControlPlane) -> None:
    deployment = sample("aws").model_copy(update={"mesh": "llm-pause"})
    space = f"/api/v1/namespaces/{deployment.namespace}/pods"
    for item in render.platform_objects(deployment):
        apply(plane, item)
    assert until(lambda: len(of(plane.call("GET", space)["items"], "pretrain")) == 4)
    for item in render.platform_objects(deployment.paused(frozenset({"pretrain"}))):
        apply(plane, item)
    assert until(lambda: not of(plane.call("GET", space)["items"], "pretrain"))
    for item in render.platform_objects(deployment):
        apply(plane, item)
    assert until(lambda: len(of(plane.call("GET", space)["items"], "pretrain")) == 4)


@pytest.mark.lab
def test_node_labels(plane: ControlPlane) -> None:
    deployment = sample("onprem")
    items = [item for item in render.node_objects(deployment) if item.name.endswith("-0")]
    for item in items:
        apply(plane, item)
    try:
        assert plane.call("GET", "/api/v1/nodes/serve-0")["metadata"]["labels"]["meshctl.dev/pool"] == "serve"
    finally:
        for item in items:  # applied without labels, they are taken back
            bare = {**item.manifest, "metadata": {"name": item.manifest["metadata"]["name"]}}
            apply(plane, replace(item, manifest=bare))


@pytest.mark.lab
def test_variables_come_into_the_order_that_references_need(plane: ControlPlane) -> None:
    """Of a server whose variables an older meshctl has sorted: in the live object, not only in what is applied."""
    deployment = in_namespace("onprem").model_copy(update={"mesh": "llm-order"})
    texts = {"env": {"MASTER_ADDR": "$(MESH_POOL)", "A": "$(MESH_ADDRESS)", "Z": "1"}}
    workloads = [each.model_copy(update=texts) for each in deployment.workloads if each.name == "chat"]
    objects = {
        item.name: item
        for item in render.platform_objects(deployment.model_copy(update={"workloads": tuple(workloads)}))
    }
    new = objects["workload/chat:deployment"]
    old = replace(new, manifest=json.loads(json.dumps(filled(new.manifest))))
    main = old.manifest["spec"]["template"]["spec"]["containers"][0]
    main["env"] = sorted(
        (each for each in main["env"] if each["name"] != "MESH_ADDRESS"), key=lambda each: each["name"]
    )
    for item in (objects["platform:namespace"], old, new):
        apply(plane, item)
    live = plane.call("GET", path(new))["spec"]["template"]["spec"]["containers"][0]["env"]
    names = [each["name"] for each in new.manifest["spec"]["template"]["spec"]["containers"][0]["env"]]
    assert [each["name"] for each in live] == names
    assert names.index("MESH_POOL") < names.index("MASTER_ADDR")
