"""A pod that finds no node says what its pool has, and who holds it."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl.clients.kubernetes import clusters, holders
from meshctl.clients.kubernetes.cluster_access import ClusterAccess
from tests.unit.deployments import deployment
from tests.unit.fake_cluster import FakeClient, client_of

GPU = "nvidia.com/gpu"
LABELS = {"meshctl.dev/mesh": "llm-prod", "meshctl.dev/pool": "train"}
REFUSED = (
    "0/6 nodes are available: 2 Insufficient nvidia.com/gpu, 4 node(s) didn't match Pod's node affinity/selector."
    " preemption: 0/6 nodes are available: 2 No preemption victims found for incoming pod."
)


def node(name: str, labels: dict[str, str] | None = None) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": labels or {}}, "status": {"allocatable": {GPU: "8"}}}


def pod(name: str, namespace: str, on: str, gpus: int, phase: str = "Running") -> dict[str, Any]:
    labels = {"app.kubernetes.io/name": name, "app.kubernetes.io/managed-by": "meshctl"}
    return {
        "metadata": {"name": f"{name}-0", "namespace": namespace, "labels": labels},
        "spec": {"nodeName": on, "containers": [{"resources": {"requests": {GPU: str(gpus)}}}]},
        "status": {"phase": phase},
    }


def waiting() -> Any:
    made: Any = pod("pretrain", "llm-prod", "", 8, phase="Pending")
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": REFUSED}
    made["status"]["conditions"] = [condition]
    return clusters.pod_state(made)


def reason(cluster: FakeClient, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(ClusterAccess, "client", client_of(cluster))
    (state,) = holders.with_holders(ClusterAccess("cw"), deployment("cw"), [waiting()])
    return state.reason


def test_the_pool_what_is_short_and_who_holds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = FakeClient(
        {
            "nodes": [node("t1", LABELS), node("t2", LABELS), node("other")],
            "pods": [
                pod("embed", "llm-prod", "t1", 4),
                pod("notebook", "vision", "t2", 8),
                pod("done", "vision", "t1", 4, phase="Succeeded"),
                pod("elsewhere", "vision", "other", 8),
            ],
        }
    )
    assert reason(cluster, monkeypatch) == (
        "no node takes it: 2 nodes have too little nvidia.com/gpu free, 4 nodes are not of its pool; pool train has 16"
        " nvidia.com/gpu on 2 nodes, of which the namespace vision holds 8, embed holds 4"
    )


def test_a_pool_that_has_no_nodes_yet_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    assert reason(FakeClient({"nodes": [node("other")]}), monkeypatch).endswith("; pool train has no nodes yet")


def test_who_may_not_see_pods_of_others_gets_the_schedulers_words(monkeypatch: pytest.MonkeyPatch) -> None:
    found = reason(FakeClient({"nodes": [node("t1", LABELS)]}, {"pods": 403}), monkeypatch)
    assert found.endswith("4 nodes are not of its pool")


def test_nothing_is_asked_where_every_pod_has_a_node() -> None:
    running = clusters.pod_state(pod("embed", "llm-prod", "t1", 4))  # type: ignore[arg-type]
    assert holders.with_holders(ClusterAccess("cw"), deployment("cw"), [running]) == [running]
