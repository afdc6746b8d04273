"""What is said of a pod: whether it is ready, and if not, why."""

from __future__ import annotations

from typing import Any

import pytest
from lightkube.resources.core_v1 import Node, Pod

from meshctl.engine import clusters
from meshctl.engine.cluster_access import ClusterAccess
from meshctl.engine.clusters import pod_state

BACK_OFF = {"waiting": {"reason": "CrashLoopBackOff"}}
CRASHED = {"terminated": {"exitCode": 1, "reason": "Error"}}
TALKED = {"terminated": {"exitCode": 1, "reason": "Error", "message": "Traceback:\nOSError: no weights\n"}}
OUT_OF_MEMORY = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
COMPLETED = {"terminated": {"exitCode": 0, "reason": "Completed"}}


def pod(state: dict[str, Any], last: dict[str, Any], **status: Any) -> Pod:
    container = {
        "name": "main", "image": "x", "imageID": "", "ready": False, "restartCount": 1, "state": state,
        "lastState": last,
    }  # fmt: skip
    return Pod.from_dict({"metadata": {"name": "chat-0"}, "status": {"containerStatuses": [container], **status}})


@pytest.mark.parametrize(
    ("state", "last", "reason"),
    [
        ({"waiting": {"reason": "ImagePullBackOff"}}, {}, "ImagePullBackOff"),
        (CRASHED, {}, "main ended with exit code 1"),
        (BACK_OFF, CRASHED, "CrashLoopBackOff, main ended with exit code 1"),
        (BACK_OFF, OUT_OF_MEMORY, "CrashLoopBackOff, main ended with exit code 137 (OOMKilled)"),
        ({"running": {}}, CRASHED, "main ended with exit code 1"),
        (BACK_OFF, TALKED, "CrashLoopBackOff, main ended with exit code 1: OSError: no weights"),
        (COMPLETED, CRASHED, ""),
        ({"running": {}}, {}, ""),
    ],
)
def test_a_container_says_why_it_does_not_run(state: dict[str, Any], last: dict[str, Any], reason: str) -> None:
    assert pod_state(pod(state, last)).reason == reason


def test_a_pod_that_fits_nowhere_says_so_first() -> None:
    full = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/4 nodes are available"}
    assert pod_state(pod(BACK_OFF, CRASHED, conditions=[full])).reason == "0/4 nodes are available"


def on_node(name: str, *, stopping: bool) -> Pod:
    stamp = {"deletionTimestamp": "2026-01-01T00:00:00Z"} if stopping else {}
    status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "False" if stopping else "True"}]}
    spec = {"nodeName": name, "containers": []}
    return Pod.from_dict({"metadata": {"name": f"on-{name}", **stamp}, "spec": spec, "status": status})


def node(name: str, ready: str) -> Node:
    return Node.from_dict({"metadata": {"name": name}, "status": {"conditions": [{"type": "Ready", "status": ready}]}})


class Cluster:
    """A cluster's API: three nodes, and a pod on each and on one that is gone. Which kinds were listed is noted."""

    def __init__(self, *, stopping: bool) -> None:
        self.stopping = stopping
        self.listed: list[type] = []

    def list(self, kind: type, **_: Any) -> list[Any]:
        self.listed.append(kind)
        if kind is Pod:
            return [on_node(name, stopping=self.stopping) for name in ("well", "silent", "ill", "gone")]
        ready = {"well": "True", "silent": "Unknown", "ill": "False"}
        return [node(name, status) for name, status in ready.items()]


def lost(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> dict[str, bool]:
    monkeypatch.setattr(ClusterAccess, "client", lambda _: cluster)
    return {pod.name: pod.node_lost for pod in clusters.pods(ClusterAccess("cw", "", "cw"), "mesh")}


def test_a_pod_that_is_to_stop_on_a_node_that_nobody_hears_of_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kubernetes leaves its phase at Running: the node's kubelet alone could say that it ended."""
    found = lost(Cluster(stopping=True), monkeypatch)
    assert found == {"on-well": False, "on-silent": True, "on-ill": True, "on-gone": True}


def test_nodes_are_not_asked_for_while_no_pod_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(stopping=False)
    assert not any(lost(cluster, monkeypatch).values())
    assert cluster.listed == [Pod]
