"""The `kubernetes` stand-in against what the official plugin said, a real API server, and the real Pulumi engine."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pulumi
import pulumi_kubernetes as k8s
import pytest
import yaml
from google.protobuf import json_format
from pulumi import automation as auto
from pulumi.runtime.proto import provider_pb2 as protocol

from meshctl import tools
from providers.base.provider import CreatedNotReady, ProviderError
from providers.base.serve import Servicer
from providers.kubernetes.provider import KubernetesProvider

RECORDING = Path(__file__).parent / "kubernetes_recording"
sys.path.insert(0, str(RECORDING))
import control_plane  # noqa: E402

ROOT = Path(__file__).parents[2]
URN = "urn:pulumi:rec::proj::kubernetes:{}::{}"
REQUESTS = {
    "CheckConfig": protocol.CheckRequest,
    "DiffConfig": protocol.DiffRequest,
    "Check": protocol.CheckRequest,
    "Diff": protocol.DiffRequest,
}


FILES = sorted(path.stem for path in RECORDING.glob("*.jsonl"))


def recorded(stem: str, *methods: str) -> list[dict[str, Any]]:
    calls = [json.loads(line) for line in (RECORDING / f"{stem}.jsonl").read_text().splitlines()]
    return [call for call in calls if call["method"] in methods]


class Context:
    def abort_with_status(self, status: Any) -> None:
        raise AssertionError(status.details)


def without_chance(answer: dict[str, Any]) -> dict[str, Any]:
    """Names that were drawn at random lose their end; fields that only repeat others are left out."""
    for key in ("diffs", "hasDetailedDiff"):
        answer.pop(key, None)
    meta = answer.get("inputs", {}).get("metadata", {})
    if meta.get("annotations", {}).get("pulumi.com/autonamed"):
        meta["name"] = meta["name"][:-8]
    return answer


@pytest.mark.parametrize("stem", FILES)
def test_answers_as_the_official_plugin_did(stem: str) -> None:
    provider = KubernetesProvider()
    provider.configure({"kubeconfig": "/nowhere/kubeconfig", "namespace": "default"})
    for call in recorded(stem, *REQUESTS):
        request = json_format.ParseDict(call["request"], REQUESTS[call["method"]](), ignore_unknown_fields=True)
        answer = getattr(Servicer(provider), call["method"])(request, Context())
        got = without_chance(json_format.MessageToDict(answer))
        assert got == without_chance(call["response"]), (call["method"], call["request"]["urn"])


# Against a real API server


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[control_plane.ControlPlane]:
    with control_plane.running(tmp_path_factory.mktemp("plane")) as started:
        yield started


@pytest.fixture
def provider(plane: control_plane.ControlPlane) -> Iterator[KubernetesProvider]:
    found = KubernetesProvider()
    found.configure({"kubeconfig": str(plane.kubeconfig)})
    yield found
    found.cancel()


@pytest.fixture
def space(plane: control_plane.ControlPlane) -> Iterator[str]:
    name = f"t{time.monotonic_ns()}"
    plane.call("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    yield name
    plane.call("DELETE", f"/api/v1/namespaces/{name}")


def create(provider: KubernetesProvider, token: str, name: str, news: dict[str, Any], **other: Any) -> Any:
    urn = URN.format(token, name)
    inputs, failures = provider.check(f"kubernetes:{token}", urn=urn, news=news, olds={})
    assert not failures
    options = {"timeout_s": 20.0, "preview": False, **other}
    return provider.create(f"kubernetes:{token}", urn=urn, inputs=plain(inputs), **options)


def plain(value: Any) -> Any:
    """As the wire would hand it on: without `Secret` wrappers."""
    if hasattr(value, "value"):
        return plain(value.value)
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def update(provider: KubernetesProvider, token: str, name: str, made: Any, news: dict[str, Any], **other: Any) -> Any:
    outputs = plain(made.outputs)
    options = {"timeout_s": 20.0, "preview": False, "ignore_changes": [], **other}
    return provider.update(
        f"kubernetes:{token}", urn=URN.format(token, name), id=made.id, old_inputs=outputs["__inputs"],
        old_outputs=outputs, news=news, **options,
    )  # fmt: skip


def delete(provider: KubernetesProvider, token: str, made: Any) -> None:
    outputs = plain(made.outputs)
    provider.delete(
        f"kubernetes:{token}", urn=URN.format(token, "x"), id=made.id, inputs=outputs["__inputs"], outputs=outputs,
        timeout_s=30.0,
    )  # fmt: skip


def read(provider: KubernetesProvider, token: str, made: Any) -> Any:
    outputs = plain(made.outputs)
    return provider.read(
        f"kubernetes:{token}", urn=URN.format(token, "x"), id=made.id, inputs=outputs["__inputs"], outputs=outputs
    )


def config_map(space: str, name: str = "cm", **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": space}, "data": data}


def deployment(space: str, image: str = "nginx:1", node: str | None = "gd-0", **more: Any) -> dict[str, Any]:
    pod = {"containers": [{"name": "c", "image": image, "env": [{"name": "A", "value": "1"}]}]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "dep", "namespace": space, **more},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": "x"}},
            "template": {
                "metadata": {"labels": {"app": "x"}},
                "spec": pod | ({"nodeName": node} if node else {}),
            },
        },
    }


CHANCE = {"uid", "resourceVersion", "creationTimestamp", "managedFields", "__fieldManager", "selfLink", "clusterIP",
          "clusterIPs", "lastTransitionTime", "lastUpdateTime", "namespace", "conditions"}  # fmt: skip


def shape(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items() if key not in CHANCE}
    return [shape(item) for item in value] if isinstance(value, list) else value


COMPARED = ("cm", "sa", "svc", "pvc", "np", "crd")


def test_state_has_the_shape_that_the_official_plugin_leaves(provider: KubernetesProvider, space: str) -> None:
    by_name = {call["request"]["name"]: call for call in recorded("2-up", "Create")}
    for name in ("crd", "cm", "sa", "pvc", "np"):
        call = by_name[name]
        news = call["request"]["properties"]
        if "namespace" in news["metadata"]:
            news["metadata"]["namespace"] = space
        made = create(provider, call["request"]["type"].removeprefix("kubernetes:"), name, news)
        want, got = shape(call["response"]["properties"]), shape(plain(made.outputs))
        if name == "crd":  # we wait until it is established; the official plugin lets what needs it wait
            want.pop("status"), got.pop("status")
        assert got == want, name
        assert made.id == call["response"]["id"].replace("rec/", f"{space}/")
        delete(provider, call["request"]["type"].removeprefix("kubernetes:"), made) if name != "crd" else None
    delete(provider, "apiextensions.k8s.io/v1:CustomResourceDefinition", create_again(provider, by_name["crd"]))


def create_again(provider: KubernetesProvider, call: dict[str, Any]) -> Any:
    """An interrupted run made it, and the state knows nothing of it: the next run finds and takes it."""
    return create(provider, "apiextensions.k8s.io/v1:CustomResourceDefinition", "crd", call["request"]["properties"])


def test_an_object_of_somebody_else_is_not_taken_over(
    provider: KubernetesProvider, plane: control_plane.ControlPlane, space: str
) -> None:
    plane.call("POST", f"/api/v1/namespaces/{space}/configmaps", {"metadata": {"name": "cm"}, "data": {"a": "theirs"}})
    with pytest.raises(ProviderError, match=r"already exists.*\[code=AlreadyExists\]"):
        create(provider, "core/v1:ConfigMap", "cm", config_map(space, a="ours"))


def test_fields_left_out_are_removed_and_restored_ones_come_back(
    provider: KubernetesProvider, plane: control_plane.ControlPlane, space: str
) -> None:
    path = f"/api/v1/namespaces/{space}/configmaps/cm"
    made = create(provider, "core/v1:ConfigMap", "cm", config_map(space, a="1", b="2"))
    update(provider, "core/v1:ConfigMap", "cm", made, config_map(space, a="3"))
    assert plane.call("GET", path)["data"] == {"a": "3"}
    plane.call("DELETE", path)
    assert read(provider, "core/v1:ConfigMap", made).id == ""
    update(provider, "core/v1:ConfigMap", "cm", made, config_map(space, a="4"))
    assert plane.call("GET", path)["data"] == {"a": "4"}


def test_a_preview_changes_nothing_and_a_missing_namespace_is_fine(
    provider: KubernetesProvider, plane: control_plane.ControlPlane, space: str
) -> None:
    made = create(provider, "core/v1:ConfigMap", "cm", config_map(space, a="1"), preview=True)
    assert made.id == ""
    assert made.outputs["metadata"]["uid"]
    assert plane.call("GET", f"/api/v1/namespaces/{space}/configmaps")["items"] != [made.outputs]
    elsewhere = create(provider, "core/v1:ConfigMap", "cm", config_map("not-yet", a="1"), preview=True)
    assert elsewhere.outputs == config_map("not-yet", a="1")


def test_a_conflict_names_the_other_owner_and_can_be_forced(
    provider: KubernetesProvider, plane: control_plane.ControlPlane, space: str
) -> None:
    made = create(provider, "apps/v1:Deployment", "dep", deployment(space))
    path = f"/apis/apps/v1/namespaces/{space}/deployments/dep?fieldManager=hpa"
    plane.call("PATCH", path, {"spec": {"replicas": 3}}, "application/merge-patch+json")
    with pytest.raises(ProviderError, match=r'conflict with "hpa".*patchForce.*\[code=Conflict\]'):
        update(provider, "apps/v1:Deployment", "dep", made, deployment(space))
    forced = deployment(space, annotations={"pulumi.com/patchForce": "true"})
    assert update(provider, "apps/v1:Deployment", "dep", made, forced)["spec"]["replicas"] == 1


def test_a_deployment_without_a_node_is_kept_and_says_why(provider: KubernetesProvider, space: str) -> None:
    with pytest.raises(CreatedNotReady) as caught:
        create(provider, "apps/v1:Deployment", "dep", deployment(space, node=None), timeout_s=2.0)
    assert caught.value.id == f"{space}/dep"
    assert caught.value.outputs["kind"] == "Deployment"
    assert "0 of 1 replicas are available [code=Timeout]" in caught.value.reasons[0]


def test_cancel_ends_a_wait(provider: KubernetesProvider, space: str) -> None:
    threading.Timer(1.0, provider.cancel).start()
    with pytest.raises(CreatedNotReady, match="cancelled"):
        create(provider, "apps/v1:Deployment", "dep", deployment(space, node=None), timeout_s=500.0)


def test_a_claim_that_cannot_be_provisioned_says_so(
    provider: KubernetesProvider, plane: control_plane.ControlPlane, space: str
) -> None:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    news = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "p", "namespace": space}}
    missing = {**news, "spec": {**spec, "storageClassName": "none"}}
    with pytest.raises(CreatedNotReady, match=r'"none" not found \[code=ProvisioningFailed\]'):
        create(provider, "core/v1:PersistentVolumeClaim", "p", missing, timeout_s=4.0)
    late = {"metadata": {"name": "late"}, "provisioner": "x.example/y", "volumeBindingMode": "WaitForFirstConsumer"}
    plane.call("POST", "/apis/storage.k8s.io/v1/storageclasses", late)
    later = {**news, "metadata": {"name": "q", "namespace": space}, "spec": {**spec, "storageClassName": "late"}}
    assert create(provider, "core/v1:PersistentVolumeClaim", "q", later).outputs["status"]["phase"] == "Pending"


def test_secrets_are_marked(provider: KubernetesProvider, space: str) -> None:
    news = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": space}}
    made = create(provider, "core/v1:Secret", "s", {**news, "stringData": {"token": "hush"}})
    assert "aHVzaA==" not in repr(made.outputs)
    assert plain(made.outputs["data"]) == plain(made.outputs["__inputs"]["data"]) == {"token": "aHVzaA=="}


def test_a_patch_lets_go_of_its_fields(provider: KubernetesProvider, plane: control_plane.ControlPlane) -> None:
    news = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "gd-0", "labels": {"pool": "train"}}}
    made = create(provider, "core/v1:NodePatch", "n", news)
    assert plane.call("GET", "/api/v1/nodes/gd-0")["metadata"]["labels"]["pool"] == "train"
    delete(provider, "core/v1:NodePatch", made)
    assert "pool" not in plane.call("GET", "/api/v1/nodes/gd-0")["metadata"]["labels"]


def test_deleting_is_done_when_the_object_is_gone(
    provider: KubernetesProvider, plane: control_plane.ControlPlane
) -> None:
    news = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "short-lived"}}
    made = create(provider, "core/v1:Namespace", "ns", news)
    create(provider, "core/v1:ConfigMap", "cm", config_map("short-lived"))
    delete(provider, "core/v1:Namespace", made)
    assert "short-lived" not in [i["metadata"]["name"] for i in plane.call("GET", "/api/v1/namespaces")["items"]]
    delete(provider, "core/v1:Namespace", made)


def test_unreachable_and_refused_are_never_gone(
    provider: KubernetesProvider, plane: control_plane.ControlPlane, space: str, tmp_path: Path
) -> None:
    made = create(provider, "core/v1:ConfigMap", "cm", config_map(space))
    wrong = KubernetesProvider()
    wrong.configure({"kubeconfig": json.dumps(plane.config(token="wrong"))})
    with pytest.raises(ProviderError, match=r"\[code=Unauthorized\]"):
        read(wrong, "core/v1:ConfigMap", made)
    nobody = plane.config()
    nobody["clusters"] = [{"name": "c", "cluster": {"server": f"https://127.0.0.1:{control_plane.free_port()}"}}]
    silent = KubernetesProvider()
    silent.configure({"kubeconfig": yaml.safe_dump(nobody)})
    with pytest.raises(ProviderError, match=r"\[code=Unreachable\]"):
        read(silent, "core/v1:ConfigMap", made)
    with pytest.raises(ProviderError, match=r"\[code=Unreachable\]"):
        delete(silent, "core/v1:ConfigMap", made)
    preview = create(silent, "core/v1:ConfigMap", "cm", config_map(space), preview=True)
    assert preview.outputs == config_map(space)


def test_a_credential_program_is_asked_again_when_its_token_ends(
    plane: control_plane.ControlPlane, tmp_path: Path
) -> None:
    calls = tmp_path / "calls"
    status = {"token": plane.token, "expirationTimestamp": "2020-01-01T00:00:00Z"}
    credential = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}
    script = f"open({str(calls)!r}, 'a').write('x'); print({json.dumps(credential)!r})"
    plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": sys.executable, "args": ["-c", script]}
    provider = KubernetesProvider()
    provider.configure({"kubeconfig": json.dumps(plane.config(user={"exec": plugin}))})
    with pytest.raises(ProviderError, match="already exists"):
        create(
            provider,
            "core/v1:Namespace",
            "other",
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}},
        )
    assert len(calls.read_text()) >= 2


# With the real Pulumi engine


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
    spec = deployment("rec", image)["spec"]
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
    for call in [item["request"] for item in recorded("2-up", "Create")]:
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
    state = json.loads((RECORDING / "2-up.state.json").read_text())
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
        spec = deployment("default", node=None)["spec"]
        k8s.apps.v1.Deployment("slow", metadata={"name": "slow"}, spec=spec, opts=options)

    stack = open_stack(stack_folder, waiting)
    with pytest.raises(auto.CommandError, match=r"default/slow is not ready after 2 s.*\[code=Timeout\]"):
        stack.up()
    kept = [item for item in stack.export_stack().deployment["resources"] if item.get("id") == "default/slow"]
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
        return sum(item["metadata"]["name"].startswith("k") and "a" in item["data"] for item in items)

    def kill() -> None:
        while made() < 20:
            time.sleep(0.02)
        for child in psutil.Process().children(recursive=True):
            if child.name().startswith("pulumi") or "providers.kubernetes" in " ".join(child.cmdline()):
                child.kill()

    stack = open_stack(stack_folder, many)
    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(auto.CommandError):
        stack.up()
    killer.join()
    stack.cancel()
    stack.up()
    assert made() == 60
    stack.destroy()
    assert made() == 0
