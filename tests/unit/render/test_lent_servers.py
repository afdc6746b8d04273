"""The Deployment of what serves on lent nodes, and what keeps it apart from the one on the workload's own pool."""

from __future__ import annotations

from typing import Any

from meshctl import render
from meshctl.model.deployment import MESH_LABEL, POOL_LABEL, Deployment
from meshctl.model.keys import lending
from meshctl.render import PlatformObject
from meshctl.render.objects import NumberRange
from tests.unit.resolve.lending_meshes import BURST, chat, serving_on_lent_nodes
from tests.unit.resolve.meshes import DC, H100

OWN, LENT, SCALER = "workload/chat:deployment", "workload/chat:lent-deployment", "workload/chat:scaler"


def objects(deployment: Deployment | None = None, **more: Any) -> dict[str, PlatformObject]:
    return {item.name: item for item in render.platform_objects(deployment or serving_on_lent_nodes(**more))}


def pod(item: PlatformObject) -> dict[str, Any]:
    template: dict[str, Any] = item.manifest["spec"]["template"]["spec"]
    return template


def rules(item: PlatformObject) -> list[Any]:
    required = pod(item)["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    return [term["matchExpressions"] for term in required["nodeSelectorTerms"]]


def test_the_own_pods_are_on_the_own_pool_and_the_others_on_nodes_of_lenders_alone() -> None:
    made = objects()
    assert pod(made[OWN])["nodeSelector"] == {MESH_LABEL: "m", POOL_LABEL: "serve"}
    assert pod(made[LENT])["nodeSelector"] == {MESH_LABEL: "m"}
    assert rules(made[LENT]) == [[{"key": POOL_LABEL, "operator": "In", "values": ["train"]}]]


def test_each_part_has_its_range_and_only_the_own_one_is_waited_for() -> None:
    made = objects()
    assert (made[OWN].number_range, made[OWN].wait) == (NumberRange("replicas", 1, 3), True)
    assert (made[LENT].number_range, made[LENT].wait) == (NumberRange("replicas", 0, 4), False)
    assert made[LENT].manifest["spec"]["replicas"] == 0


def test_a_target_begins_with_as_many_as_its_source_has() -> None:
    made = objects(serving_on_lent_nodes().with_least({"chat": 4}))
    assert [made[each].manifest["spec"]["replicas"] for each in (OWN, LENT)] == [3, 1]
    assert [made[each].number_range for each in (OWN, LENT)] == [
        NumberRange("replicas", 3, 3),
        NumberRange("replicas", 1, 4),
    ]


def test_a_larger_own_pool_leaves_what_runs_on_lent_nodes_to_the_scaler() -> None:
    made = objects(serve={**H100, "nodes": {"min": 3, "max": 4}})
    assert made[LENT].number_range == NumberRange("replicas", 0, 4)
    (container,) = pod(made[SCALER])["containers"]
    env = {each["name"]: each["value"] for each in container["env"]}
    assert (env["OWN_MAX"], env["LENT_MAX"], env["SCALE_MAX"]) == ("4", "1", "4")


def test_the_service_leads_to_both_and_each_deployment_selects_its_own() -> None:
    made = objects()
    service = made["workload/chat:service"].manifest["spec"]["selector"]
    labels = [each.manifest["spec"]["template"]["metadata"]["labels"] for each in (made[OWN], made[LENT])]
    assert all(service.items() <= each.items() for each in labels)
    selector = made[LENT].manifest["spec"]["selector"]["matchLabels"]
    assert selector.items() <= labels[1].items()
    assert not selector.items() <= labels[0].items()


def test_both_are_the_same_program_in_the_same_queue() -> None:
    made = objects()
    assert pod(made[OWN])["containers"] == pod(made[LENT])["containers"]
    labels = made[LENT].manifest["spec"]["template"]["metadata"]["labels"]
    assert (labels["kueue.x-k8s.io/queue-name"], labels["kueue.x-k8s.io/managed"]) == ("serve", "true")
    (group,) = made["pool/serve:cluster-queue"].manifest["spec"]["resourceGroups"]
    assert [each["name"] for each in group["flavors"]] == ["m.serve", "m.train"]


def test_a_pod_on_a_lent_node_pushes_nobody_out() -> None:
    made = objects()
    priority = made["platform:priority-lent"].manifest
    assert pod(made[LENT])["priorityClassName"] == priority["metadata"]["name"] == "m-lent"
    assert priority["preemptionPolicy"] == "Never"


def test_pods_that_wait_for_a_node_of_somebody_else_do_not_use_up_the_budget() -> None:
    selector = objects()["workload/chat:disruption-budget"].manifest["spec"]["selector"]
    assert selector["matchExpressions"] == [{"key": lending.LENT_LABEL, "operator": "DoesNotExist"}]


def test_one_program_moves_both_and_may_change_no_other() -> None:
    made = objects()
    scales = made["workload/chat:scaler-role"].manifest["rules"][1]
    assert (scales["resourceNames"], scales["resources"]) == (["chat", "chat-lent"], ["deployments/scale"])
    (container,) = pod(made[SCALER])["containers"]
    env = {each["name"]: each["value"] for each in container["env"]}
    assert container["command"][-1] == "/scaler/lent.py"
    assert (env["SCALE_MAX"], env["OWN_MAX"], env["LENT_MAX"]) == ("4", "3", "1")
    assert env["LENT_SCALE_PATH"] == "/apis/apps/v1/namespaces/m/deployments/chat-lent/scale"
    assert set(made["workload/chat:scaler-files"].manifest["data"]) == {"scaler.py", "lent.py"}


def test_a_pause_stops_both() -> None:
    paused = serving_on_lent_nodes().paused(frozenset({"chat"}))
    made = objects(paused)
    assert [made[each].manifest["spec"]["replicas"] for each in (OWN, LENT, SCALER)] == [0, 0, 0]
    assert [made[each].number_range for each in (OWN, LENT)] == [None, None]


def test_rules_of_environments_yaml_for_nodes_hold_as_well() -> None:
    zone = {"key": "topology.kubernetes.io/zone", "operator": "NotIn", "values": ["a"]}
    required = {"nodeSelectorTerms": [{"matchExpressions": [zone]}, {"matchExpressions": [zone]}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}
    environment = {**DC, "workloads": {"chat": {"pod": {"affinity": affinity}}}}
    pool = {"key": POOL_LABEL, "operator": "In", "values": ["train"]}
    assert rules(objects(environment=environment)[LENT]) == [[zone, pool], [zone, pool]]


def test_without_burst_nothing_of_it_is_made() -> None:
    made = objects(chat=chat(**{**BURST, "burst": False, "replicas": {"min": 1, "max": 3}}))
    assert not [name for name in made if "lent" in name]
    assert "matchExpressions" not in made["workload/chat:disruption-budget"].manifest["spec"]["selector"]
    assert pod(made[SCALER])["containers"][0]["command"][-1] == "/scaler/scaler.py"
