"""The `kubernetes` stand-in run by the real Pulumi engine against a real API server, as a user's stack would."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pulumi
import pulumi_kubernetes as k8s
import pytest
import yaml
from pulumi import automation as auto

from meshctl import tools
from tests.contract.kubernetes_recording import control_plane, samples
from tests.waiting import WAIT_S, wait_until

ROOT = Path(__file__).parents[2]


@pytest.fixture
def stack_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder whose `kubernetes` package is ours, run as the engine runs any plugin."""
    plugin = tmp_path / "plugin" / "pulumi-resource-kubernetes"
    plugin.parent.mkdir()
    text = f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m providers.kubernetes "$@"\n'
    plugin.write_text(text)
    plugin.chmod(0o755)
    listed = {"providers": [{"name": "kubernetes", "path": str(plugin.parent)}]}
    (tmp_path / "Pulumi.yaml").write_text(yaml.safe_dump({"name": "proj", "runtime": "python", "plugins": listed}))
    for key, value in control_plane.pulumi_environment(tmp_path).items():
        monkeypatch.setenv(key, value)
    monkeypatch.setenv("PATH", str(tools.find("pulumi").parent), prepend=":")
    return tmp_path


def open_stack(folder: Path, program: Callable[[], None]) -> auto.Stack:
    options = auto.LocalWorkspaceOptions(work_dir=str(folder))
    return auto.create_or_select_stack("rec", project_name="proj", program=program, opts=options)


def program(kubeconfig: str, *, image: str = "nginx:1.20", data: str = "0") -> None:
    cluster = k8s.Provider("cluster", kubeconfig=kubeconfig, namespace="default")
    options = pulumi.ResourceOptions(provider=cluster)
    namespace = k8s.core.v1.Namespace("ns", metadata={"name": "rec"}, opts=options)
    meta = {"namespace": namespace.metadata.name}
    k8s.core.v1.ConfigMap("cm", metadata={**meta, "name": "cm", "labels": {"v": data}}, data={"a": data}, opts=options)
    k8s.core.v1.ConfigMap("autonamed", metadata=meta, data={"a": "b"}, opts=options)
    k8s.core.v1.Secret("sec", metadata={**meta, "name": "sec"}, string_data={"token": "hush"}, opts=options)
    spec = samples.deployment("rec", image)["spec"]
    k8s.apps.v1.Deployment("dep", metadata={**meta, "name": "dep"}, spec=spec, opts=options)
    ports = {"selector": {"app": "x"}, "ports": [{"port": 80, "targetPort": 8000}]}
    k8s.core.v1.Service("svc", metadata={**meta, "name": "svc"}, spec=ports, opts=options)


def test_up_again_edit_refresh_destroy(plane: control_plane.ControlPlane, stack_folder: Path) -> None:
    where = str(plane.kubeconfig)
    stack = open_stack(stack_folder, lambda: program(where))
    assert stack.preview().change_summary == {"create": 8}
    assert stack.up().summary.resource_changes == {"create": 8}
    assert "hush" not in json.dumps(stack.export_stack().deployment)
    assert stack.up().summary.resource_changes == {"same": 8}
    edited = open_stack(stack_folder, lambda: program(plane.kubeconfig.read_text(), image="nginx:1.21", data="1"))
    # the kubeconfig as content is the same cluster: an update of the provider, nothing in it is replaced
    assert edited.up().summary.resource_changes == {"same": 5, "update": 2, "replace": 1}
    images = plane.call("GET", "/apis/apps/v1/namespaces/rec/deployments/dep")["spec"]["template"]["spec"]["containers"]
    assert [item["image"] for item in images] == ["nginx:1.21"]
    assert edited.refresh().summary.resource_changes == {"same": 8}
    assert edited.preview().change_summary == {"same": 8}
    edited.destroy()
    assert "rec" not in [item["metadata"]["name"] for item in plane.call("GET", "/api/v1/namespaces")["items"]]


def official_program() -> None:
    """The program of the recording."""
    cluster = k8s.Provider("cluster", kubeconfig="/etc/kubeconfig", namespace="default")
    options = pulumi.ResourceOptions(provider=cluster)
    for call in [item["request"] for item in samples.recorded("2-up", "Create")]:
        if call["name"] in {"sec", "autonamed", "npatch"}:
            continue
        properties = call["properties"]
        top = {key: value for key, value in properties.items() if key not in {"apiVersion", "kind", "metadata"}}
        k8s.apiextensions.CustomResource(
            call["name"],
            api_version=properties["apiVersion"],
            kind=properties["kind"],
            metadata=properties["metadata"],
            opts=options,
            **top,
        ) if call["name"] == "np" else made(call, top, options)


def made(call: dict[str, Any], top: dict[str, Any], options: pulumi.ResourceOptions) -> None:
    group, version = call["type"].split(":")[1].split("/")
    module = getattr(getattr(k8s, {"apiextensions.k8s.io": "apiextensions"}.get(group, group)), version)
    metadata = call["properties"]["metadata"]
    getattr(module, call["type"].split(":")[2])(call["name"], metadata=metadata, opts=options, **top)


def test_a_stack_of_the_official_plugin_previews_as_unchanged(stack_folder: Path) -> None:
    state = json.loads((samples.RECORDING / "2-up.state.json").read_text())
    kept = ("autonamed", "sec", "npatch")
    state["resources"] = [item for item in state["resources"] if item["urn"].split("::")[-1] not in kept]
    stack = open_stack(stack_folder, official_program)
    stack.import_stack(auto.Deployment(version=3, deployment=state))
    summary = stack.preview().change_summary
    assert {key: count for key, count in summary.items() if count} == {"same": len(state["resources"])}


def test_a_wait_that_ended_badly_goes_on_in_the_next_run(plane: control_plane.ControlPlane, stack_folder: Path) -> None:
    """The Deployment's pod finds no node in time; the state keeps it, and the next `up` waits for the same object."""
    limits = pulumi.CustomTimeouts(create="2s", update="20s")

    def waiting() -> None:
        cluster = k8s.Provider("cluster", kubeconfig=str(plane.kubeconfig), namespace="default")
        options = pulumi.ResourceOptions(provider=cluster, custom_timeouts=limits)
        spec = samples.deployment("default", node=None)["spec"]
        k8s.apps.v1.Deployment("slow", metadata={"name": "slow"}, spec=spec, opts=options)

    stack = open_stack(stack_folder, waiting)
    with pytest.raises(auto.CommandError, match=r"default/slow is not ready after 2 s.*\[code=Timeout\]"):
        stack.up()
    kept = [item for item in (stack.export_stack().deployment or {})["resources"] if item.get("id") == "default/slow"]
    assert "Timeout" in kept[0]["initErrors"][0]
    uid = kept[0]["outputs"]["metadata"]["uid"]
    threading.Timer(2.0, bind_pods, [plane, "default"]).start()
    assert stack.up().summary.resource_changes == {"same": 2, "update": 1}
    assert plane.call("GET", "/apis/apps/v1/namespaces/default/deployments/slow")["metadata"]["uid"] == uid
    stack.destroy()


def bind_pods(plane: control_plane.ControlPlane, namespace: str) -> None:
    """What the scheduler would do."""
    for pod in plane.call("GET", f"/api/v1/namespaces/{namespace}/pods")["items"]:
        name = pod["metadata"]["name"]
        target = {"apiVersion": "v1", "kind": "Node", "name": "gd-0"}
        body = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": target}
        plane.call("POST", f"/api/v1/namespaces/{namespace}/pods/{name}/binding", body)


def test_a_cluster_that_is_not_known_yet_is_said_to_be_so(
    plane: control_plane.ControlPlane, stack_folder: Path
) -> None:
    def chained() -> None:
        first = k8s.Provider("first", kubeconfig=str(plane.kubeconfig), namespace="default")
        options = pulumi.ResourceOptions(provider=first)
        made = k8s.core.v1.ConfigMap("made", metadata={"name": "made"}, opts=options)
        later = k8s.Provider("later", kubeconfig=made.id.apply(lambda _: plane.kubeconfig.read_text()))
        k8s.core.v1.ConfigMap("inside", metadata={"name": "inside"}, opts=pulumi.ResourceOptions(provider=later))

    stack = open_stack(stack_folder, chained)
    preview = stack.preview()
    assert preview.change_summary == {"create": 5}
    assert "the cluster isn't known yet" in " ".join(preview.stdout.split())
    assert stack.up().summary.resource_changes == {"create": 5}
    stack.destroy()


def test_a_killed_run_loses_nothing_and_doubles_nothing(plane: control_plane.ControlPlane, stack_folder: Path) -> None:
    plane.call("POST", "/api/v1/namespaces", {"metadata": {"name": "killed"}})

    def many() -> None:
        cluster = k8s.Provider("cluster", kubeconfig=str(plane.kubeconfig), namespace="killed")
        options = pulumi.ResourceOptions(provider=cluster)
        for index in range(60):
            k8s.core.v1.ConfigMap(f"k{index}", metadata={"name": f"k{index}"}, data={"a": "1"}, opts=options)

    def made() -> int:
        items = plane.call("GET", "/api/v1/namespaces/killed/configmaps")["items"]
        return sum("a" in item.get("data", {}) for item in items)

    def kill() -> None:
        wait_until(lambda: made() >= 20, every_s=0.02)
        for child in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if child.name().startswith("pulumi") or "providers.kubernetes" in child.cmdline():
                    child.kill()

    stack = open_stack(stack_folder, many)
    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(auto.CommandError):
        stack.up()
    killer.join(WAIT_S)
    stack.cancel()
    stack.up()
    assert made() == 60
    stack.destroy()
    assert made() == 0
