"""What is rendered for replicas that follow load: an autoscaler for CPU, a program of ours for what pods report."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl.model.deployment import Deployment, Metrics, Scale
from meshctl.model.pods import own_images
from meshctl.render import PlatformObject, platform_objects
from meshctl.render.objects import NumberRange
from tests.unit.render.sample import sample
from tests.unit.resolve.test_group_controller import deployed

RULE = {"target": 5.0, "cooldown_s": 120}


def scaled(metric: str, **changes: Any) -> Deployment:
    deployment = sample("onprem")
    ranged: dict[str, Any] = {
        "replicas": 2,
        "most_replicas": 6,
        "scale": Scale(metric=metric, **RULE),
        "metrics": Metrics(port="http", path="/metrics"),
        **changes,
    }
    workloads = [each.model_copy(update=ranged) if each.name == "chat" else each for each in deployment.workloads]
    return deployment.model_copy(update={"workloads": tuple(workloads)})


def of_chat(deployment: Deployment) -> dict[str, PlatformObject]:
    items = {item.name: item for item in platform_objects(deployment)}
    return {name.partition(":")[2]: item for name, item in items.items() if name.startswith("workload/chat:")}


def test_cpu_has_the_autoscaler_of_kubernetes() -> None:
    items = of_chat(scaled("cpu"))
    assert items["autoscaler"].manifest["spec"] == {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "chat"},
        "minReplicas": 2,
        "maxReplicas": 6,
        "metrics": [
            {
                "type": "ContainerResource",
                "containerResource": {
                    "name": "cpu",
                    "container": "main",
                    "target": {"type": "Utilization", "averageUtilization": 5},
                },
            }
        ],
        "behavior": {
            "scaleDown": {
                "stabilizationWindowSeconds": 120,
                "policies": [{"type": "Percent", "value": 25, "periodSeconds": 60}],
            }
        },
    }
    assert "scaler" not in items


def test_what_pods_report_has_a_program_with_rights_for_one_workload() -> None:
    items = of_chat(scaled("queue-depth"))
    assert "autoscaler" not in items
    assert items["scaler-role"].manifest["rules"] == [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
        {
            "apiGroups": ["apps"],
            "resources": ["deployments/scale"],
            "resourceNames": ["chat"],
            "verbs": ["get", "patch"],
        },
    ]
    pod = items["scaler"].manifest["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    variables = {each["name"]: each["value"] for each in container["env"]}
    namespace = items["scaler"].manifest["metadata"]["namespace"]
    assert variables["SCALE_SERIES"].split(",")[:2] == ["vllm:num_requests_waiting", "sglang:num_queue_reqs"]
    assert variables["SCALE_PATH"] == f"/apis/apps/v1/namespaces/{namespace}/deployments/chat/scale"
    assert (variables["SCALE_MIN"], variables["SCALE_MAX"], variables["SCALE_TARGET"]) == ("2", "6", "5")
    assert "app.kubernetes.io/name=chat" in variables["SCALE_SELECTOR"].split(",")
    assert items["scaler"].manifest["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/name"] == "chat-scaler"
    assert container["image"] == own_images.SCALER
    assert own_images.SCALER in own_images.of(scaled("queue-depth"))
    assert own_images.SCALER not in own_images.of(scaled("cpu"))
    assert "def main()" in items["scaler-files"].manifest["data"]["scaler.py"]


def test_a_metric_of_the_user_s_own_is_looked_for_by_its_name() -> None:
    (container,) = of_chat(scaled("app:open_sessions"))["scaler"].manifest["spec"]["template"]["spec"]["containers"]
    assert {"name": "SCALE_SERIES", "value": "app:open_sessions"} in container["env"]


@pytest.mark.parametrize(("paused", "replicas"), [(False, 2), (True, 0)])
def test_what_runs_the_pods_starts_with_the_least_and_says_its_range(paused: bool, replicas: int) -> None:
    items = of_chat(scaled("queue-depth", paused=paused))
    chat = items["deployment"]
    assert chat.manifest["spec"]["replicas"] == replicas
    assert chat.manifest["metadata"]["annotations"]["meshctl.dev/replicas"] == "2 to 6"
    assert chat.number_range == (None if paused else NumberRange("replicas", 2, 6))
    assert items["scaler"].manifest["spec"]["replicas"] == (0 if paused else 1)
    assert items["scaler"].wait is not paused


def test_only_where_all_replicas_are_there_one_goes_before_one_comes() -> None:
    spec = of_chat(scaled("cpu", roll_out="new-first-unless-full"))["deployment"].manifest["spec"]
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": "17%"}
    assert [replicas * 17 // 100 for replicas in range(2, 7)] == [0, 0, 0, 0, 1], "Kubernetes rounds it down"


def test_a_budget_keeps_pods_of_what_may_have_several() -> None:
    assert "disruption-budget" in of_chat(scaled("cpu", replicas=1))


def test_what_has_a_number_is_rendered_as_ever() -> None:
    deployment = sample("onprem")
    items = of_chat(deployment)
    assert not {"scaler", "autoscaler"} & items.keys()
    assert "meshctl.dev/replicas" not in items["deployment"].manifest["metadata"]["annotations"]
    assert items["deployment"].number_range is None


def test_groups_are_counted_by_their_leaders() -> None:
    deployment = deployed(has_controller=True)
    rule = {"most_replicas": 3, "scale": Scale(metric="queue-depth", **RULE), "ports": {"http": 8000}}
    ranged = {**rule, "metrics": Metrics(port="http", path="/metrics")}
    workloads = tuple(each.model_copy(update=ranged) for each in deployment.workloads)
    items = {item.name: item for item in platform_objects(deployment.model_copy(update={"workloads": workloads}))}
    assert items["workload/llama:leader-worker-set"].number_range == NumberRange("replicas", 1, 3)
    assert items["workload/llama:scaler-role"].manifest["rules"][1] == {
        "apiGroups": ["leaderworkerset.x-k8s.io"],
        "resources": ["leaderworkersets/scale"],
        "resourceNames": ["llama"],
        "verbs": ["get", "patch"],
    }
    (container,) = items["workload/llama:scaler"].manifest["spec"]["template"]["spec"]["containers"]
    variables = {each["name"]: each["value"] for each in container["env"]}
    assert "meshctl.dev/role=leader" in variables["SCALE_SELECTOR"]
