"""The rules by which the lab plays KAI Scheduler, as its documents have them."""

from __future__ import annotations

from typing import Any

from meshctl.lab.controllers import kai
from meshctl.lab.controllers.kai_rules import Decision, Node, Pod, Queue, decide

NOW = 1000.0
FREE = {"cpu": -1, "memory": -1}


def queue(name: str, quota: int, limit: int, parent: str = "m", **more: Any) -> Queue:
    return Queue(name, parent, {**FREE, "gpu": quota}, {**FREE, "gpu": limit}, **more)


QUEUES = {
    each.name: each
    for each in (
        queue("m", 24, -1, ""),
        queue("m.serve", 16, 16),
        queue("m.train", 8, 8),
        queue("m.serve.lent", 0, 8, priority=50),
    )
}
NODES = [
    Node(name, {"pool": pool}, ({"key": "nvidia.com/gpu", "effect": "NoSchedule"},), {"gpu": 8})
    for name, pool in (("s1", "serve"), ("s2", "serve"), ("t1", "train"))
]
TOLERATES = ({"key": "nvidia.com/gpu", "operator": "Exists"},)


def pod(name: str, queue: str, node: str = "", pools: tuple[str, ...] = (), **more: Any) -> Pod:
    rule = {"key": "pool", "operator": "In", "values": pools}
    terms = ({"matchExpressions": [rule]},) if pools else ()
    fields: dict[str, Any] = {"terms": terms, "tolerations": TOLERATES, "is_preemptible": queue.endswith(".lent")}
    return Pod(name, "m", name, node, {"gpu": 8}, queue, {"gpu": 8}, **{**fields, **more})


def chat(name: str, node: str = "", **more: Any) -> Pod:
    return pod(name, "m.serve", node, ("serve",), **more)


def sweep(name: str, node: str = "", **more: Any) -> Pod:
    return pod(name, "m.serve.lent", node, ("train", "serve"), **more)


def decided(*pods: Pod, queues: dict[str, Queue] = QUEUES) -> Decision:
    return decide(queues, NODES, pods, NOW)


def bound(decision: Decision) -> dict[str, str]:
    return {pod.name: node for pod, node in decision.bound}


def evicted(decision: Decision) -> list[str]:
    return [pod.name for pod in decision.evicted]


def test_what_is_lent_is_had_up_to_the_limit_and_its_own_pool_is_preferred() -> None:
    own = {"weight": 100, "preference": {"matchExpressions": [{"key": "pool", "operator": "In", "values": ["train"]}]}}
    decision = decided(sweep("a", preferred=(own,)), sweep("b", created="later"))
    assert bound(decision) == {"a": "t1"}
    assert decision.waits == {"b": "queue m.serve.lent has reached its limit"}


def test_owners_take_back_what_is_above_a_quota_the_newest_first() -> None:
    larger = {**QUEUES, "m.serve.lent": queue("m.serve.lent", 0, 16)}
    loans = (sweep("old", "s1", started=1), sweep("new", "s2", started=2))
    decision = decided(*loans, chat("c"), queues=larger)
    assert evicted(decision) == ["new"]
    assert bound(decision) == {}, "it gets the node once the other has ended"
    ending = sweep("new", "s2", started=2, is_ending=True)
    after = decided(loans[0], ending, chat("c"), queues=larger)
    assert (evicted(after), bound(after)) == ([], {}), "nobody else ends while one is ending already"
    assert bound(decided(loans[0], chat("c"), queues=larger)) == {"c": "s2"}


def test_only_pods_whose_nodes_help_are_taken_back() -> None:
    larger = {**QUEUES, "m.serve.lent": queue("m.serve.lent", 0, 16)}
    decision = decided(
        chat("up", "s1"), sweep("there", "s2", started=1), sweep("here", "t1", started=2), chat("c"), queues=larger
    )
    assert evicted(decision) == ["there"]


def test_nothing_within_a_quota_is_taken_back_and_nobody_takes_for_more_than_its_own() -> None:
    assert evicted(decided(pod("p", "m.train", "s2", is_preemptible=True), chat("up", "s1"), chat("c"))) == []
    small = {**QUEUES, "m.serve": queue("m.serve", 8, 16)}
    preemptible = chat("c", is_preemptible=True)
    assert evicted(decided(chat("up", "s1"), sweep("b", "s2"), preemptible, queues=small)) == []
    final = decided(chat("up", "s1"), chat("c"), queues=small)
    assert final.waits == {"c": "a non-preemptible workload would be over the quota of queue m.serve"}


def test_what_has_not_run_for_the_minimum_stays_until_then() -> None:
    patient = {**QUEUES, "m.serve.lent": queue("m.serve.lent", 0, 8, min_runtime_s=30)}
    pods = (chat("up", "s1"), sweep("b", "s2", started=NOW - 10), chat("c"))
    decision = decided(*pods, queues=patient)
    assert (evicted(decision), decision.again_s) == ([], 20)
    assert evicted(decide(patient, NODES, pods, NOW + 20)) == ["b"]


def test_a_gang_starts_as_a_whole() -> None:
    both = {**QUEUES, "m.train": queue("m.train", 16, 16)}
    gang: dict[str, Any] = {"gang": "job", "gang_size": 2, "pools": ("train", "serve")}
    first, second = pod("g0", "m.train", **gang), pod("g1", "m.train", **gang)
    assert decided(first, queues=both).waits == {"g0": "1 of 2 pods of the gang exist"}
    full = (chat("up", "s1"), chat("up2", "s2"))
    assert bound(decided(*full, first, second, queues=both)) == {}
    assert len(bound(decided(first, second, queues=both))) == 2
    again = pod("g1", "m.train", "t1", **gang)
    assert bound(decided(first, again, queues=both)) == {"g0": "s2"}, "one that is made anew joins those that run"


def test_a_queue_that_is_no_leaf_or_is_missing_takes_nothing() -> None:
    assert decided(pod("a", "m")).waits == {"a": "queue m is not a leaf queue"}
    assert decided(pod("a", "other")).waits == {"a": "queue other does not exist"}


def test_labels_and_taints_keep_pods_off() -> None:
    assert bound(decided(chat("c", tolerations=()))) == {}
    assert bound(decided(pod("p", "m.train", selector={"pool": "train"}))) == {"p": "t1"}


def test_objects_are_read_as_kai_reads_them() -> None:
    spec: dict[str, Any] = {"parentQueue": "m", "reclaimMinRuntime": "1m30s"}
    spec |= {"resources": {"gpu": {"quota": 8}, "memory": {"quota": 1}, "cpu": {"quota": -1, "limit": -1}}}
    read = kai.queue_of({"metadata": {"name": "q"}, "spec": spec})
    assert read.limit == {"gpu": 8, "cpu": -1, "memory": 10**6}, "without a limit a queue has its quota and no more"
    assert (read.priority, read.min_runtime_s) == (100, 90)
    container = {"resources": {"requests": {"cpu": "1500m", "memory": "2Gi", "nvidia.com/gpu": "8"}}}
    item: dict[str, Any] = {
        "metadata": {"uid": "1", "namespace": "m", "name": "p", "labels": {"kai.scheduler/queue": "m.train"}},
        "spec": {"schedulerName": "kai-scheduler", "containers": [container], "priority": 50_000},
    }
    pod = kai.pod_of(item, {})
    assert pod.counted == {"gpu": 8, "cpu": 1500, "memory": 2 * 1024**3}
    assert (pod.queue, pod.is_preemptible) == ("m.train", False), "a PriorityClass of 100 and more"
    item["metadata"]["labels"]["kai.scheduler/preemptibility"] = "preemptible"
    assert kai.pod_of(item, {}).is_preemptible
    other = {**item, "spec": {**item["spec"], "schedulerName": "default-scheduler"}}
    assert kai.pod_of(other, {}).queue == ""
