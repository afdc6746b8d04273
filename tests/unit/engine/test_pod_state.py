"""What is said of a pod: whether it is ready, and if not, why."""

from __future__ import annotations

from typing import Any, cast

import pytest

from meshctl.clients.kubernetes import clusters
from meshctl.clients.kubernetes.cluster_access import ClusterAccess
from meshctl.clients.kubernetes.clusters import pod_state
from meshwire.kubernetes.errors import ApiError
from meshwire.kubernetes.objects import Pod
from meshwire.kubernetes.resources import Resource
from tests.unit.fake_cluster import FakeClient, client_of

BACK_OFF = {"waiting": {"reason": "CrashLoopBackOff"}}
CRASHED = {"terminated": {"exitCode": 1, "reason": "Error"}}
TALKED = {"terminated": {"exitCode": 1, "reason": "Error", "message": "Traceback:\nOSError: no weights\n"}}
OUT_OF_MEMORY = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
COMPLETED = {"terminated": {"exitCode": 0, "reason": "Completed"}}


def as_pod(fields: dict[str, Any]) -> Pod:
    return cast("Pod", fields)


def pod(state: dict[str, Any], last: dict[str, Any], **status: Any) -> Pod:
    container = {
        "name": "main", "image": "x", "imageID": "", "ready": False, "restartCount": 1, "state": state,
        "lastState": last,
    }  # fmt: skip
    return as_pod({"metadata": {"name": "chat-0"}, "status": {"containerStatuses": [container], **status}})


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
    return as_pod({"metadata": {"name": f"on-{name}", **stamp}, "spec": spec, "status": status})


def node(name: str, ready: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "status": {"conditions": [{"type": "Ready", "status": ready}]}}


class OneByOne(FakeClient):
    """A cluster's API that shows some nodes, and no list of them: that is not everybody's to see."""

    def get(self, resource: Resource[Any], name: str, **_: Any) -> Any:
        if name == "hidden":
            raise ApiError(403, name)
        return super().get(resource, name)


def test_of_a_node_that_does_not_answer_nobody_can_say_what_runs_there(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = OneByOne({"nodes": [node("well", "True"), node("silent", "Unknown"), node("ill", "False")]})
    monkeypatch.setattr(ClusterAccess, "client", client_of(cluster))
    lost = clusters.lost_nodes(ClusterAccess("cw", "", "cw"), ["well", "silent", "ill", "gone", "hidden"])
    assert lost == {"silent", "ill", "gone", "hidden"}
    assert cluster.is_closed


def test_a_pod_that_was_told_to_end_is_stopping() -> None:
    """Kubernetes leaves its phase at Running: the node's kubelet alone could say that it ended."""
    assert [clusters.pod_state(on_node("n", stopping=stopping)).stopping for stopping in (True, False)] == [True, False]


class Unready(FakeClient):
    """Lists one pod, which has a health check and is not ready, and its events. `refuses`: events may not be read."""

    def __init__(self, *events: dict[str, Any], last: dict[str, Any] | None = None, refuses: bool = False) -> None:
        container = {"name": "main", "startupProbe": {"grpc": {"port": 50051}}}
        status = {
            "name": "main", "image": "x", "imageID": "", "ready": False, "restartCount": 1, "state": {"running": {}},
            "lastState": last or {},
        }  # fmt: skip
        pod = {
            "metadata": {"name": "chat-0", "namespace": "demo", "uid": "u-1"},
            "spec": {"containers": [container]},
            "status": {"phase": "Running", "containerStatuses": [status]},
        }
        super().__init__({"pods": [pod], "events": list(events)}, {"events": 403} if refuses else {})

    def list_objects(self, resource: Resource[Any], **options: Any) -> list[Any]:
        assert resource.plural != "events" or options["fields"] == {"involvedObject.uid": "u-1"}
        return super().list_objects(resource, **options)


def reason(client: Unready) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ClusterAccess, "client", client_of(client))
        (state,) = clusters.pods(ClusterAccess("cw", "", "cw"), "demo")
    return state.reason


FAILS = {"reason": "Unhealthy", "message": 'Startup probe failed: service unhealthy (responded with "NOT_SERVING")'}
KILLS = {"reason": "Killing", "message": "Container main failed startup probe, will be restarted"}
ANSWER = 'the last answer was: service unhealthy (responded with "NOT_SERVING")'


def test_a_pod_that_is_not_ready_tells_the_last_answer_of_its_health_check() -> None:
    assert reason(Unready(FAILS)) == f"the health check does not pass yet; {ANSWER}"
    assert reason(Unready()) == ""
    assert reason(Unready(FAILS, refuses=True)) == ""


def test_a_pod_that_was_ended_for_its_health_tells_what_to_do() -> None:
    ended = {"terminated": {"exitCode": 137, "reason": "Error"}}
    assert reason(Unready(FAILS, last=ended)) == "main ended with exit code 137"
    assert reason(Unready(FAILS, KILLS, last=ended)) == (
        f"the health check did not pass within `health.startup`, so the container is started again; {ANSWER}; if a "
        "start takes longer, raise `health.startup`"
    )


def test_a_pod_of_a_leader_worker_set_is_seen_as_such() -> None:
    labels = {"leaderworkerset.sigs.k8s.io/group-index": "0", "leaderworkerset.sigs.k8s.io/worker-index": "1"}
    assert pod_state(as_pod({"metadata": {"name": "chat-0-1", "labels": labels}})).in_leader_worker_set
    of_set = {"meshctl.dev/group": "0", "apps.kubernetes.io/pod-index": "1"}
    assert not pod_state(as_pod({"metadata": {"name": "chat-0-workers-1", "labels": of_set}})).in_leader_worker_set
