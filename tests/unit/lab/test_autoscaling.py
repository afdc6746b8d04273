"""What the lab's Cluster Autoscaler decides: which pods order nodes, and which nodes may go."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl.lab.controllers import autoscaling, coreweave
from meshctl.lab.controllers.autoscaling import Growth, Pool, Room, growth, is_waiting, unneeded, why_it_stays
from meshctl.lab.controllers.nodes import manifest

Object = dict[str, Any]
CPU_TYPE, GPU_TYPE = "cd-gp-i96-icelake", "gd-8xh100ib-i128"
UNSCHEDULABLE = [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]
GATED = [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]


def item(name: str, machine: str) -> Object:
    labels = {"meshctl.dev/pool": name}
    return {"metadata": {"name": name, "uid": name}, "spec": {"instanceType": machine, "nodeLabels": labels}}


def node(pool: str, number: int, machine: str = CPU_TYPE, **metadata: Any) -> Object:
    made = manifest(coreweave.group_of(item(pool, machine), "US-EAST-04A"), number)
    made["metadata"] |= metadata
    return made


def pool(name: str, nodes: int, *, least: int = 1, most: int = 4, target: int = -1, machine: str = CPU_TYPE) -> Pool:
    present = tuple(node(name, number, machine) for number in range(nodes))
    one_more = autoscaling.template(present, node(name, 99, machine))
    return Pool(name, nodes if target < 0 else target, least, most, present, one_more)


def pod(name: str, on: str = "", *, pool: str = "web", **requests: str) -> Object:
    made: Object = {
        "metadata": {
            "name": name,
            "namespace": "m",
            "labels": {"app": "chat"},
            "ownerReferences": [{"kind": "ReplicaSet", "controller": True}],
        },
        "spec": {
            "nodeSelector": {"meshctl.dev/pool": pool},
            "containers": [{"name": "main", "resources": {"requests": requests or {"cpu": "60"}}}],
        },
        "status": {"phase": "Pending", "conditions": UNSCHEDULABLE},
    }
    if on:
        made["spec"]["nodeName"] = on
        made["status"] = {"phase": "Running"}
    return made


class TestGrowth:
    def test_pods_without_a_node_order_as_many_as_they_need_up_to_the_most(self) -> None:
        web = pool("web", 1)
        pods = [pod("a", "web-0"), *(pod(f"b{number}") for number in range(5))]
        assert growth([web], web.nodes, pods) == Growth("web", 4)
        assert growth([web], web.nodes, pods[:3]) == Growth("web", 3)
        small = [pod("a", "web-0"), *(pod(f"b{number}", cpu="30") for number in range(5))]
        assert growth([web], web.nodes, small) == Growth("web", 3), "one on the node that there is, three on each other"

    def test_nothing_is_ordered_for_pods_that_nodes_ordered_before_will_take(self) -> None:
        web = pool("web", 1, target=2)
        assert growth([web], web.nodes, [pod("a", "web-0"), pod("b")]) is None

    def test_a_pool_with_the_most_nodes_gets_no_more(self) -> None:
        web = pool("web", 2, most=2)
        assert growth([web], web.nodes, [pod("a", "web-0"), pod("b", "web-1"), pod("c")]) is None

    @pytest.mark.parametrize(
        "waiting",
        [
            pod("other", pool="train"),
            pod("large", cpu="500"),
            pod("gpu", **{"nvidia.com/gpu": "1"}),
            pod("lora", cpu="60", **{"example.com/thing": "1"}),
        ],
        ids=["another pool", "too large", "no GPUs", "no such resource"],
    )
    def test_pods_that_a_new_node_would_not_take_order_none(self, waiting: Object) -> None:
        web = pool("web", 1)
        assert growth([web], web.nodes, [pod("a", "web-0"), waiting]) is None

    def test_a_taint_keeps_pods_from_ordering_a_node(self) -> None:
        web = pool("web", 0)
        tainted = {**web.template, "spec": {"taints": [{"key": "k", "value": "v", "effect": "NoSchedule"}]}}
        web = Pool("web", 0, 0, 4, (), tainted)
        tolerating = pod("b")
        assert growth([web], (), [pod("a")]) is None
        tolerating["spec"]["tolerations"] = [{"key": "k", "operator": "Exists"}]
        assert growth([web], (), [tolerating]) == Growth("web", 1)

    def test_the_pool_that_helps_most_pods_gets_the_node(self) -> None:
        pools = [pool("a", 0, least=0), pool("b", 0, least=0)]
        waiting = [pod("x", pool="a"), pod("y", pool="b"), pod("z", pool="b")]
        assert growth(pools, (), waiting) == Growth("b", 2)

    def test_gated_pods_and_those_that_go_are_not_seen(self) -> None:
        """Issue 5279 of the autoscaler: a pod with a scheduling gate orders no node."""
        gated, leaving, expendable = pod("a"), pod("b"), pod("c")
        gated["status"]["conditions"] = GATED
        leaving["metadata"]["deletionTimestamp"] = "2026-11-29T00:00:00Z"
        expendable["spec"]["priority"] = -11
        assert [each for each in (gated, leaving, expendable) if is_waiting(each)] == []
        assert is_waiting(pod("d"))

    def test_of_a_pool_without_nodes_the_devices_of_the_fabric_are_not_known(self) -> None:
        """CoreWeave's table of instance types has CPU, memory, disk, GPUs and the number of pods."""
        wanted = pod("a", pool="train", **{"nvidia.com/gpu": "8", "rdma/ib": "1"})
        none, one = (pool("train", count, least=0, machine=GPU_TYPE) for count in (0, 1))
        assert growth([none], (), [wanted]) is None
        assert growth(
            [one], one.nodes, [pod("b", "train-0", pool="train", **{"nvidia.com/gpu": "8"}), wanted]
        ) == Growth("train", 2)

    def test_a_new_node_has_no_cordon_and_no_taint_of_its_neighbour(self) -> None:
        gone = node("web", 0)
        taint = {"key": autoscaling.LEAVING, "value": "1", "effect": "NoSchedule"}
        gone["spec"] = {"unschedulable": True, "taints": [taint, {"key": "k", "effect": "NoSchedule"}]}
        assert autoscaling.template([gone], node("web", 1))["spec"] == {
            "unschedulable": False,
            "taints": [{"key": "k", "effect": "NoSchedule"}],
        }


class TestUnneeded:
    def test_empty_nodes_come_first(self) -> None:
        web = pool("web", 3)
        pods = [pod("a", "web-0", cpu="60"), pod("b", "web-1", cpu="10")]
        found = unneeded([web], web.nodes, pods, [])
        assert [(each.name, len(each.pods)) for each in found] == [("web-2", 0), ("web-1", 1)]

    @pytest.mark.parametrize(("least", "target"), [(2, 2), (1, 3), (1, 1)])
    def test_a_pool_at_its_least_and_one_that_changes_keep_all(self, least: int, target: int) -> None:
        web = pool("web", 2, least=least, target=target)
        assert unneeded([web], web.nodes, [], []) == []

    def test_a_node_that_is_half_used_stays(self) -> None:
        web = pool("web", 2)
        (allocatable,) = {each["status"]["allocatable"]["cpu"] for each in web.nodes}
        half = f"{int(allocatable.removesuffix('m')) // 2 + 1}m"
        assert [each.name for each in unneeded([web], web.nodes, [pod("a", "web-0", cpu=half)], [])] == ["web-1"]

    def test_of_a_node_with_gpus_only_these_count(self) -> None:
        """A trainer that takes all GPUs of its node is never moved, however little CPU it asks for."""
        train = pool("train", 2, machine=GPU_TYPE)
        full = pod("a", "train-0", pool="train", cpu="1", **{"nvidia.com/gpu": "8"})
        few = pod("a", "train-0", pool="train", cpu="100", **{"nvidia.com/gpu": "3"})
        assert [each.name for each in unneeded([train], train.nodes, [full], [])] == ["train-1"]
        assert [each.name for each in unneeded([train], train.nodes, [few], [])] == ["train-1", "train-0"]

    def test_a_node_whose_pods_fit_nowhere_else_stays(self) -> None:
        web = pool("web", 2)
        pods = [pod("a", "web-0", cpu="90"), pod("b", "web-1", cpu="20")]
        assert unneeded([web], web.nodes, pods, []) == []

    def test_pods_of_daemon_sets_and_those_that_ended_hold_no_node(self) -> None:
        web = pool("web", 2)
        daemon, done = pod("d", "web-1", cpu="1"), pod("j", "web-1", cpu="80")
        daemon["metadata"]["ownerReferences"] = [{"kind": "DaemonSet", "controller": True}]
        done["status"]["phase"] = "Succeeded"
        found = unneeded([web], web.nodes, [pod("a", "web-0", cpu="60"), daemon, done], [])
        assert [(each.name, each.pods) for each in found] == [("web-1", ())]

    def test_the_annotation_of_a_node_keeps_it(self) -> None:
        web = pool("web", 2)
        web.nodes[1]["metadata"]["annotations"][autoscaling.STAYS] = "true"
        assert [each.name for each in unneeded([web], web.nodes, [], [])] == ["web-0"]


def budget(allowed: int) -> Object:
    selector = {"matchLabels": {"app": "chat"}}
    return {
        "metadata": {"name": "chat", "namespace": "m"},
        "spec": {"selector": selector},
        "status": {"disruptionsAllowed": allowed},
    }


class TestWhyItStays:
    def test_a_pod_of_a_controller_moves(self) -> None:
        assert why_it_stays(pod("a", "web-0"), [budget(1)]) == ""

    def test_a_budget_that_allows_none(self) -> None:
        other = {**budget(0), "metadata": {"name": "chat", "namespace": "other"}}
        assert why_it_stays(pod("a", "web-0"), [other]) == ""
        assert "budget" in why_it_stays(pod("a", "web-0"), [budget(0)])

    @pytest.mark.parametrize(("said", "why"), [("false", "not safe"), ("true", "")])
    def test_what_the_pod_says(self, said: str, why: str) -> None:
        own = pod("a", "web-0")
        own["metadata"] |= {"annotations": {autoscaling.SAFE: said}, "ownerReferences": []}
        found = why_it_stays(own, [])
        assert (why in found) if why else not found

    def test_a_pod_without_a_controller(self) -> None:
        own = pod("a", "web-0")
        del own["metadata"]["ownerReferences"]
        assert "no controller" in why_it_stays(own, [])

    def test_a_pod_of_the_system_needs_a_budget(self) -> None:
        own = pod("a", "web-0")
        own["metadata"]["namespace"] = "kube-system"
        assert "kube-system" in why_it_stays(own, [])
        assert not why_it_stays(own, [{**budget(1), "metadata": {"name": "x", "namespace": "kube-system"}}])

    @pytest.mark.parametrize(
        ("volume", "safe", "stays"),
        [
            ({"emptyDir": {}}, "", True),
            ({"emptyDir": {"medium": "Memory"}}, "", False),
            ({"hostPath": {"path": "/mnt/local"}}, "", True),
            ({"emptyDir": {}}, "other,data", False),
            ({"configMap": {"name": "c"}}, "", False),
        ],
    )
    def test_data_on_the_node(self, volume: Object, safe: str, *, stays: bool) -> None:
        own = pod("a", "web-0")
        own["spec"]["volumes"] = [{"name": "data", **volume}]
        own["metadata"]["annotations"] = {autoscaling.SAFE_VOLUMES: safe}
        assert bool(why_it_stays(own, [])) is stays


class TestRoom:
    def test_sidecars_count_and_init_containers_only_where_they_are_larger(self) -> None:
        own = pod("a", cpu="10")
        own["spec"]["initContainers"] = [
            {"name": "side", "restartPolicy": "Always", "resources": {"requests": {"cpu": "5"}}},
            {"name": "first", "resources": {"requests": {"cpu": "12", "memory": "1Gi"}}},
        ]
        assert autoscaling.requests_of(own) == {"pods": 1.0, "cpu": 15.0, "memory": 2.0**30}

    @pytest.mark.parametrize(
        ("operator", "values", "takes"),
        [("In", ["web"], True), ("In", ["train"], False), ("NotIn", ["web"], False), ("Exists", [], True)],
    )
    def test_required_affinity_to_nodes(self, operator: str, values: list[str], *, takes: bool) -> None:
        own = pod("a")
        expression = {"key": "meshctl.dev/pool", "operator": operator, "values": values}
        terms = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
        own["spec"]["affinity"] = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}
        assert Room([node("web", 0)]).place(own) is takes
