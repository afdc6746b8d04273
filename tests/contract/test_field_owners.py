"""Fields that other programs own, at a real API server: found before an apply, and taken over for it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from meshctl import render, tools
from meshctl.deploy.fields import ownership
from meshctl.deploy.fields.ownership import Ownership
from meshctl.engine.events import Progress
from meshctl.errors import OwnedFieldsError
from meshctl.model.deployment import Cluster, Deployment, Metrics, Scale
from meshctl.model.stack_state import Resource, StackState
from meshctl.render import PlatformObject
from providers.kubernetes import objects
from providers.kubernetes.provider import KubernetesProvider
from providers.plugin.provider import ProviderError
from stacks import platform
from stacks.platform import token
from tests.contract.kubernetes_recording import control_plane
from tests.unit.deployments import deployment as small
from tests.waiting import wait_until

IMAGE = "workload/chat:.spec.template.spec.containers[main].image"
CHAT = "/apis/apps/v1/namespaces/llm-prod/deployments/chat"
JOB = "/apis/batch/v1/namespaces/llm-prod/jobs/pretrain"
SERVERS = ("workload/chat:deployment", "workload/pretrain:job")


class Environment:
    """A mesh whose workloads were made in the cluster by the stand-in, as an `up` makes them."""

    def __init__(self, plane: control_plane.ControlPlane) -> None:
        self.plane = plane
        self.provider = KubernetesProvider()
        self.provider.configure({"kubeconfig": str(plane.kubeconfig), "enableServerSideApply": "true"})
        self.made: dict[str, Any] = {}
        plane.call("POST", "/api/v1/namespaces", {"metadata": {"name": "llm-prod"}})
        for item in self.objects(self.deployment()):
            made = self.provider.create(token(item), urn=urn(item), inputs=inputs(item), timeout_s=20.0, preview=False)
            self.made[item.name] = made

    def deployment(self, **changes: Any) -> Deployment:
        return small("dc1", cluster=Cluster(name="dc1", kubeconfig=str(self.plane.kubeconfig)), **changes)

    def objects(self, deployment: Deployment) -> list[PlatformObject]:
        return [item for item in render.platform_objects(deployment) if item.name in SERVERS]

    @property
    def state(self) -> StackState:
        made = [Resource({"urn": urn(item), "type": token(item)}) for item in self.objects(self.deployment())]
        return StackState(tuple(made))

    def kubectl(self, *arguments: str) -> None:
        command = [str(tools.find("kubectl")), "--kubeconfig", str(self.plane.kubeconfig), "-n", "llm-prod"]
        subprocess.run([*command, *arguments], check=True, capture_output=True, timeout=60)

    def live(self, path: str = CHAT) -> dict[str, Any]:
        found: dict[str, Any] = self.plane.call("GET", path)
        return found

    def look(self, deployment: Deployment, *take_over: str) -> Ownership:
        return ownership.read_ownership(deployment, self.state, take_over)

    def up(self, deployment: Deployment) -> None:
        for item in self.objects(deployment):
            self.change(item)

    def change(self, item: PlatformObject, *, preview: bool = False) -> Any:
        outputs = self.made[item.name].outputs
        options: dict[str, Any] = {"timeout_s": 20.0, "preview": preview, "ignore_changes": []}
        return self.provider.update(
            token(item), urn=urn(item), id=self.made[item.name].id, old_inputs=outputs["__inputs"],
            old_outputs=outputs, news=inputs(item), **options,
        )  # fmt: skip


def urn(item: PlatformObject) -> str:
    return f"urn:pulumi:dc1::llm-prod::{token(item)}::{item.name}"


def inputs(item: PlatformObject) -> dict[str, Any]:
    """As `stacks.platform` declares it; nothing is waited for, as no container runs here."""
    manifest: dict[str, Any] = json.loads(json.dumps(item.manifest, default=lambda _late: "1"))
    manifest["metadata"].setdefault("annotations", {})[objects.SKIP_AWAIT] = "true"
    return manifest


@pytest.fixture
def environment(plane: control_plane.ControlPlane) -> Iterator[Environment]:
    made = Environment(plane)
    yield made
    made.provider.cancel()
    made.provider.close()
    plane.call("DELETE", "/api/v1/namespaces/llm-prod")
    wait_until(lambda: "llm-prod" not in namespaces(plane))


def namespaces(plane: control_plane.ControlPlane) -> list[str]:
    return [item["metadata"]["name"] for item in plane.call("GET", "/api/v1/namespaces")["items"]]


def test_what_others_set_is_found_before_an_apply_and_taken_over_for_it(environment: Environment) -> None:
    deployment = environment.deployment()
    assert environment.look(deployment).decisions == ()
    environment.kubectl("scale", "deployment/chat", "--replicas=3")
    environment.kubectl("set", "image", "deployment/chat", "main=vllm/vllm-openai:v0.12.0")
    environment.kubectl("patch", "job/pretrain", "-p", '{"spec":{"suspend":true,"parallelism":2}}')
    with pytest.raises(ProviderError, match=r'(?s)conflicts with "kubectl".*\[code=FieldConflict\]'):
        environment.up(deployment)
    with pytest.raises(OwnedFieldsError) as caught:
        environment.look(deployment).refuse("up")
    assert [field.name for field in caught.value.fields] == [IMAGE]

    found = environment.look(deployment, IMAGE)
    found.refuse("up")
    before = environment.live()
    said: list[Progress] = []
    found.take_over(said.append)
    assert sorted(moment.action for moment in said) == [
        "takes over .spec.parallelism of job pretrain from kubectl-patch (2 -> 4)",
        "takes over .spec.replicas of deployment chat from kubectl (3 -> 2)",
        "takes over .spec.suspend of job pretrain from kubectl-patch (true -> false)",
        "takes over .spec.template.spec.containers[main].image of deployment chat from kubectl-set"
        " (vllm/vllm-openai:v0.12.0 -> vllm/vllm-openai:v0.11.0)",
    ]
    assert environment.live()["spec"] == before["spec"]  # nothing but the owners has changed
    job = environment.live(JOB)
    environment.up(deployment)
    assert environment.look(deployment).decisions == ()
    chat = environment.live()["spec"]
    assert (chat["replicas"], chat["template"]["spec"]["containers"][0]["image"]) == (2, "vllm/vllm-openai:v0.11.0")
    after = environment.live(JOB)
    assert (after["spec"]["parallelism"], after["spec"]["suspend"]) == (4, False)
    assert after["metadata"]["uid"] == job["metadata"]["uid"]

    environment.kubectl("scale", "deployment/chat", "--replicas=3")
    paused = deployment.paused(frozenset({"chat"}))
    environment.look(paused).take_over(None)
    environment.up(paused)
    assert environment.live()["spec"]["replicas"] == 0
    environment.up(deployment)  # and goes on as if nobody had ever scaled it
    assert environment.live()["spec"]["replicas"] == 2


def test_an_autoscaler_keeps_its_replicas_until_the_workload_is_paused(environment: Environment) -> None:
    deployment = environment.deployment()
    environment.kubectl("autoscale", "deployment/chat", "--min=3", "--max=6", "--cpu=80%")
    wait_until(lambda: environment.live()["spec"]["replicas"] == 3)  # the controller keeps to its minimum
    found = environment.look(deployment)
    assert [decision.forecast for decision in found.decisions] == [
        "workload/chat: .spec.replicas of deployment chat is 3, set by the autoscaler chat: `up` does not set the"
        " mesh's 2, because the autoscaler chat scales it"
    ]
    assert found.kept_values(preview=False) == {render.live_value_name("workload/chat:deployment", "spec.replicas"): 3}
    paused = deployment.paused(frozenset({"chat"}))
    environment.look(paused).take_over(None)
    environment.up(paused)
    assert environment.live()["spec"]["replicas"] == 0


def test_a_preview_shows_what_up_will_do_about_fields_of_others(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment.kubectl("scale", "deployment/chat", "--replicas=3")
    (chat, *_) = environment.objects(environment.deployment())
    with pytest.raises(ProviderError, match="FieldConflict"):
        environment.change(chat, preview=True)
    monkeypatch.setenv(objects.ENABLE_PATCH_FORCE, "true")  # as `EngineStack.preview` has it
    assert environment.change(chat, preview=True)["spec"]["replicas"] == 2
    assert environment.live()["spec"]["replicas"] == 3  # it was a preview


def test_an_object_that_changes_meanwhile_is_read_again(environment: Environment) -> None:
    environment.kubectl("scale", "deployment/chat", "--replicas=3")
    found = environment.look(environment.deployment())
    environment.kubectl("label", "deployment/chat", "touched=yes")
    found.take_over(None)
    assert environment.live()["metadata"]["labels"]["touched"] == "yes"
    environment.up(environment.deployment())
    assert environment.live()["spec"]["replicas"] == 2


def ranged(environment: Environment, metric: str, **changes: Any) -> Deployment:
    """`chat` with two to six replicas by load."""
    deployment = environment.deployment()
    rule = {
        "replicas": 2,
        "most_replicas": 6,
        "scale": Scale(metric=metric, target=70, cooldown_s=300),
        "metrics": Metrics(port="http", path="/metrics"),
        "cpu": 1,
        **changes,
    }
    workloads = tuple(each.model_copy(update=rule) if each.name == "chat" else each for each in deployment.workloads)
    return deployment.model_copy(update={"workloads": workloads})


def as_an_up_declares_it(environment: Environment, deployment: Deployment) -> PlatformObject:
    """`chat` with the values that an `up` keeps."""
    chat = next(item for item in environment.objects(deployment) if item.name == SERVERS[0])
    kept = environment.look(deployment).kept_values(preview=False)
    late = {**dict.fromkeys(render.late_names([chat]), "1"), **kept}
    return replace(chat, manifest=platform._inputs(chat, late))


def test_replicas_that_follow_load_stay_whatever_changes_and_whenever(environment: Environment) -> None:
    deployment = ranged(environment, "queue-depth")
    environment.kubectl("scale", "deployment/chat", "--replicas=4")
    assert environment.look(deployment).decisions == ()
    declared = as_an_up_declares_it(environment, deployment)
    assert "replicas" not in declared.manifest["spec"]
    environment.kubectl("scale", "deployment/chat", "--replicas=5")  # while the engine runs
    environment.change(declared)
    live = environment.live()
    assert (live["spec"]["replicas"], live["metadata"]["annotations"]["meshctl.dev/replicas"]) == (5, "2 to 6")
    environment.kubectl("scale", "deployment/chat", "--replicas=9")
    beyond = environment.look(deployment)
    assert [(each.conflict.live, each.conflict.wanted) for each in beyond.decisions] == [(9, 6)]
    declared = as_an_up_declares_it(environment, deployment)
    beyond.take_over(None)
    environment.change(declared)
    assert environment.live()["spec"]["replicas"] == 6


def test_a_range_in_place_of_a_number_keeps_the_pods_that_there_are(environment: Environment) -> None:
    fixed = ranged(environment, "cpu", replicas=4, most_replicas=0, scale=None)
    environment.change(next(item for item in environment.objects(fixed) if item.name == SERVERS[0]))
    environment.change(as_an_up_declares_it(environment, ranged(environment, "cpu")))
    assert environment.live()["spec"]["replicas"] == 4


@pytest.mark.parametrize("metric", ["cpu", "queue-depth"])
def test_what_moves_the_replicas_is_as_the_api_server_wants_it(environment: Environment, metric: str) -> None:
    paths = {
        "HorizontalPodAutoscaler": "/apis/autoscaling/v2/namespaces/llm-prod/horizontalpodautoscalers",
        "ServiceAccount": "/api/v1/namespaces/llm-prod/serviceaccounts",
        "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/llm-prod/roles",
        "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/llm-prod/rolebindings",
        "ConfigMap": "/api/v1/namespaces/llm-prod/configmaps",
        "Deployment": "/apis/apps/v1/namespaces/llm-prod/deployments",
    }
    items = render.platform_objects(ranged(environment, metric))
    scaling = [item for item in items if item.name.startswith(("workload/chat:scaler", "workload/chat:autoscaler"))]
    assert len(scaling) == (1 if metric == "cpu" else 5)
    for item in scaling:
        body = inputs(item)
        answer = environment.plane.call("POST", f"{paths[item.kind]}?dryRun=All&fieldValidation=Strict", body)
        assert answer["metadata"]["name"] == body["metadata"]["name"]
