"""The `kubernetes` stand-in against what the official plugin said, and against a real API server."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import json_format
from pulumi.runtime.proto import provider_pb2 as protocol

from meshctl.lab.network.ports import free_ports
from providers.kubernetes.provider import KubernetesProvider
from providers.plugin.provider import CreatedNotReady, ProviderError
from providers.plugin.serve import Servicer
from providers.plugin.values import UNKNOWN
from tests.contract.kubernetes_recording import control_plane
from tests.contract.kubernetes_recording.samples import FILES, deployment, recorded

URN = "urn:pulumi:rec::proj::kubernetes:{}::{}"
REQUESTS = {
    "CheckConfig": protocol.CheckRequest,
    "DiffConfig": protocol.DiffRequest,
    "Check": protocol.CheckRequest,
    "Diff": protocol.DiffRequest,
}


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


@pytest.fixture
def provider(plane: control_plane.ControlPlane) -> Iterator[KubernetesProvider]:
    found = KubernetesProvider()
    found.configure({"kubeconfig": str(plane.kubeconfig)})
    yield found
    found.cancel()
    found.close()


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


def delete(provider: KubernetesProvider, token: str, made: Any, timeout_s: float = 30.0) -> None:
    outputs = plain(made.outputs)
    provider.delete(
        f"kubernetes:{token}", urn=URN.format(token, "x"), id=made.id, inputs=outputs["__inputs"], outputs=outputs,
        timeout_s=timeout_s,
    )  # fmt: skip


def read(provider: KubernetesProvider, token: str, made: Any) -> Any:
    outputs = plain(made.outputs)
    return provider.read(
        f"kubernetes:{token}", urn=URN.format(token, "x"), id=made.id, inputs=outputs["__inputs"], outputs=outputs
    )


def config_map(space: str, name: str = "cm", **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": space}, "data": data}


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
    with pytest.raises(ProviderError, match=r'conflict with "hpa".*another program has set.*\[code=FieldConflict\]'):
        update(provider, "apps/v1:Deployment", "dep", made, deployment(space))
    forced = deployment(space, annotations={"pulumi.com/patchForce": "true"})
    assert update(provider, "apps/v1:Deployment", "dep", made, forced)["spec"]["replicas"] == 1


def service(space: str, port: int) -> dict[str, Any]:
    spec = {"type": "ClusterIP", "selector": {"app": "a"}, "ports": [{"name": "http", "port": port, "protocol": "TCP"}]}
    meta = {"name": "svc", "namespace": space, "annotations": {"pulumi.com/skipAwait": "true"}}
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec}


def test_a_port_can_change_its_number_in_a_preview_too(
    provider: KubernetesProvider, plane: control_plane.ControlPlane, space: str
) -> None:
    """Ports are told by their number: an apply that has not taken over what the POST set would keep both."""
    token, path = "core/v1:Service", f"/api/v1/namespaces/{space}/services/svc"
    made = create(provider, token, "svc", service(space, 8000))
    seen = update(provider, token, "svc", made, service(space, 8001), preview=True)
    assert [port["port"] for port in seen["spec"]["ports"]] == [8001]
    assert plane.call("GET", path)["spec"]["ports"][0]["port"] == 8000  # it was a preview
    with pytest.raises(ProviderError, match=r"spec\.ports\[0\]\.port"):  # what is wrong is still said
        update(provider, token, "svc", made, service(space, 80_000), preview=True)
    update(provider, token, "svc", made, service(space, 8001))
    assert [port["port"] for port in plane.call("GET", path)["spec"]["ports"]] == [8001]


def test_a_deployment_without_a_node_is_kept_and_says_why(provider: KubernetesProvider, space: str) -> None:
    with pytest.raises(CreatedNotReady) as caught:
        create(provider, "apps/v1:Deployment", "dep", deployment(space, node=None), timeout_s=6.0)
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
        create(provider, "core/v1:PersistentVolumeClaim", "p", missing, timeout_s=10.0)
    late = {"metadata": {"name": "late"}, "provisioner": "x.example/y", "volumeBindingMode": "WaitForFirstConsumer"}
    plane.call("POST", "/apis/storage.k8s.io/v1/storageclasses", late)
    later = {**news, "metadata": {"name": "q", "namespace": space}, "spec": {**spec, "storageClassName": "late"}}
    assert create(provider, "core/v1:PersistentVolumeClaim", "q", later).outputs["status"]["phase"] == "Pending"


def test_secrets_are_marked(provider: KubernetesProvider, space: str) -> None:
    news = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": space}}
    made = create(provider, "core/v1:Secret", "s", {**news, "stringData": {"token": "hush"}})
    assert "aHVzaA==" not in repr(made.outputs)
    assert plain(made.outputs["data"]) == plain(made.outputs["__inputs"]["data"]) == {"token": "aHVzaA=="}


def test_the_last_words_of_a_container_show_no_secret(
    provider: KubernetesProvider, plane: control_plane.ControlPlane, space: str
) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": space}}
    create(provider, "core/v1:Secret", "s", {**secret, "stringData": {"token": "hf_abcdefgh"}})
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": space}}
    ended = {"terminated": {"exitCode": 1, "reason": "Error", "message": "started\n401: no access for hf_abcdefgh"}}
    container = {"name": "main", "image": "x", "imageID": "", "ready": False, "restartCount": 2, "lastState": ended}
    crashing = {**container, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}
    path = f"/api/v1/namespaces/{space}/pods/p"

    def crash() -> None:
        plane.call("PUT", f"{path}/status", {**plane.call("GET", path), "status": {"containerStatuses": [crashing]}})

    threading.Timer(1.0, crash).start()
    said: list[str] = []
    provider.host.status = lambda urn, message: said.append(message)  # type: ignore[method-assign]
    spec = {"containers": [{"name": "main", "image": "x"}]}
    with pytest.raises(CreatedNotReady) as caught:
        create(provider, "core/v1:Pod", "p", {**pod, "spec": spec}, timeout_s=9.0)
    told = "pod p: container main: CrashLoopBackOff: exit code 1: 401: no access for [secret]"
    assert any(told in reason for reason in caught.value.reasons)
    assert any(told in message for message in said)
    assert "hf_abcdefgh" not in repr((said, caught.value.reasons))


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


def volume(name: str, namespace: str, policy: str) -> dict[str, Any]:
    """One that a driver made for a claim, which nobody but the driver deletes."""
    spec = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "persistentVolumeReclaimPolicy": policy,
        "csi": {"driver": "ebs.csi.aws.com", "volumeHandle": name},
        "claimRef": {"namespace": namespace, "name": "c", "uid": f"uid-of-{name}"},
    }
    return {"metadata": {"name": name}, "spec": spec}


def test_a_namespace_is_gone_when_the_volumes_of_its_claims_are(
    provider: KubernetesProvider, plane: control_plane.ControlPlane
) -> None:
    news = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "with-volumes"}}
    made = create(provider, "core/v1:Namespace", "ns", news)
    for one in (volume("goes", "with-volumes", "Delete"), volume("stays", "with-volumes", "Retain")):
        plane.call("POST", "/api/v1/persistentvolumes", one)

    def there() -> set[str]:
        return {item["metadata"]["name"] for item in plane.call("GET", "/api/v1/persistentvolumes")["items"]}

    with pytest.raises(ProviderError, match="PersistentVolume goes is still there"):
        delete(provider, "core/v1:Namespace", made, timeout_s=15.0)
    made = create(provider, "core/v1:Namespace", "ns", news)
    threading.Timer(2.0, lambda: plane.call("DELETE", "/api/v1/persistentvolumes/goes")).start()
    delete(provider, "core/v1:Namespace", made, timeout_s=60.0)
    assert there() & {"goes", "stays"} == {"stays"}
    plane.call("DELETE", "/api/v1/persistentvolumes/stays")


def test_unreachable_and_refused_are_never_gone(
    provider: KubernetesProvider, plane: control_plane.ControlPlane, space: str, tmp_path: Path
) -> None:
    made = create(provider, "core/v1:ConfigMap", "cm", config_map(space))
    wrong = KubernetesProvider()
    wrong.configure({"kubeconfig": json.dumps(plane.config(token="wrong"))})
    with pytest.raises(ProviderError, match=r"\[code=Unauthorized\]"):
        read(wrong, "core/v1:ConfigMap", made)
    nobody = plane.config()
    nobody["clusters"] = [{"name": "c", "cluster": {"server": f"https://127.0.0.1:{free_ports(1)[0]}"}}]
    silent = KubernetesProvider()
    silent.configure({"kubeconfig": yaml.safe_dump(nobody)})
    with pytest.raises(ProviderError, match=r"\[code=Unreachable\]"):
        read(silent, "core/v1:ConfigMap", made)
    with pytest.raises(ProviderError, match=r"\[code=Unreachable\]"):
        delete(silent, "core/v1:ConfigMap", made)
    preview = create(silent, "core/v1:ConfigMap", "cm", config_map(space), preview=True)
    assert preview.outputs == config_map(space)
    wrong.close()
    silent.close()


THING = {"apiVersion": "x.example/v1", "kind": "Thing", "metadata": {"name": "x"}}
POOL = {"apiVersion": "compute.coreweave.com/v1alpha1", "kind": "NodePool", "metadata": {"name": "train"}}


def unanswered(plane: control_plane.ControlPlane, trouble: str) -> KubernetesProvider:
    """A provider whose cluster refuses it, or does not answer."""
    config = plane.config(token="wrong" if trouble == "Unauthorized" else None)
    if trouble == "Unreachable":
        config["clusters"] = [{"name": "c", "cluster": {"server": f"https://127.0.0.1:{free_ports(1)[0]}"}}]
    provider = KubernetesProvider()
    given = "/nowhere/kubeconfig" if trouble == "Kubeconfig" else json.dumps(config)
    provider.configure({"kubeconfig": given})
    return provider


@pytest.mark.parametrize("trouble", ["Unauthorized", "Unreachable", "Kubeconfig"])
def test_the_scope_of_an_object_is_never_guessed(plane: control_plane.ControlPlane, trouble: str) -> None:
    provider = unanswered(plane, trouble)
    token, urn = "kubernetes:compute.coreweave.com/v1alpha1:NodePool", URN.format("NodePool", "train")
    lived, failures = provider.check(token, urn=urn, news=POOL, olds=POOL)
    assert not failures
    difference = provider.diff(
        token, urn=urn, id="train", old_inputs=POOL, old_outputs={}, news=plain(lived), ignore_changes=[]
    )
    assert not difference.replaces, "one that lives is not replaced because its kind can't be asked for"
    with pytest.raises(ProviderError, match=rf"\[code={trouble}\]"):
        provider.check(token, urn=urn, news=POOL, olds={})
    provider.close()


def test_a_kind_that_is_not_there_yet_counts_as_namespaced(provider: KubernetesProvider) -> None:
    later = KubernetesProvider()  # a preview before the cluster is there: no kubeconfig yet
    later.configure({"kubeconfig": UNKNOWN, "namespace": "default"})
    for asked in (provider, later):
        found, _ = asked.check("kubernetes:x.example/v1:Thing", urn=URN.format("Thing", "x"), news=THING, olds={})
        assert plain(found)["metadata"]["namespace"] == "default"


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
    provider.close()
