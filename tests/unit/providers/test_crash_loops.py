"""When a wait gives up on pods whose containers end again and again, and when it goes on."""

from __future__ import annotations

import threading
from typing import Any, cast

import pytest

from providers.kubernetes import objects
from providers.kubernetes.waits import crash_loops, waiting

GVK = objects.Gvk("apps", "v1", "Deployment")
OWNER = {
    "kind": "Deployment",
    "metadata": {"name": "chat", "namespace": "llm", "generation": 1},
    "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "chat"}}},
    "status": {"observedGeneration": 1},
}


def crashing(restarts: int, *, exit_code: int = 1, name: str = "chat-0", message: str = "", **state: Any) -> Any:
    """A pod whose container waits to be started again, or is in `state`."""
    ended = {"terminated": {"exitCode": exit_code, "reason": "Error", "message": message}}
    container = {
        "name": "main",
        "ready": False,
        "restartCount": restarts,
        "state": state or {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": ended,
    }
    return pod(name, containerStatuses=[container])


def pod(name: str, *, ready: bool = False, job: bool = False, phase: str = "Running", **status: Any) -> dict[str, Any]:
    owners = [{"kind": "Job", "name": "prepare"}] if job else []
    conditions = [{"type": "Ready", "status": str(ready)}]
    return {
        "metadata": {"name": name, "uid": f"uid-of-{name}", "ownerReferences": owners},
        "status": {"phase": phase, "conditions": conditions, **status},
    }


def verdict(*looks: list[dict[str, Any]], others: tuple[dict[str, Any], ...] = ()) -> str:
    """What is said of the pods of the last look; "" while the wait goes on."""
    loops = crash_loops.CrashLoops()
    said = ""
    for pods in looks:
        loops.look_at(OWNER, pods)
        said = loops.verdict([*pods, *others])
    return said


def restarted(*counts: int, **more: Any) -> list[list[dict[str, Any]]]:
    return [[crashing(count, **more)] for count in counts]


def test_a_pod_that_ends_alike_five_times_is_given_up_with_what_it_said_last() -> None:
    said = verdict(*restarted(0, 2, 5, message="Traceback:\n  line 3\nKeyError: 'rope'\n"))
    assert said == (
        "pod chat-0: container main: CrashLoopBackOff: it has been started 6 times and ended each time "
        "with exit code 1; its last lines: Traceback: | line 3 | KeyError: 'rope' [code=CrashLoopBackOff]"
    )
    assert "its last lines" not in verdict(*restarted(0, 5))


def test_few_restarts_another_exit_or_a_moment_of_readiness_go_on() -> None:
    assert verdict(*restarted(0, 3, 4)) == ""
    assert verdict([crashing(2, exit_code=3)], *restarted(4, 5)) == ""
    well = crashing(3, running={})
    well["status"]["containerStatuses"][0]["ready"] = True
    assert verdict([well], *restarted(4, 5, 6)), "without a probe, whatever has started is ready"
    well["spec"] = {"containers": [{"name": "main", "readinessProbe": {"tcpSocket": {"port": 80}}}]}
    assert verdict([well], *restarted(4, 5, 6)) == ""
    assert verdict(*restarted(0, 4), [crashing(5, running={})]) == "", "it runs: this time it may get ready"


def test_a_pod_of_an_earlier_run_gets_one_more_start_first() -> None:
    assert verdict(*restarted(40, 40)) == ""
    assert "started 42 times" in verdict(*restarted(40, 41))


@pytest.mark.parametrize(
    "other",
    [
        pod("partner", phase="Pending"),
        pod("partner"),
        crashing(3, name="partner"),
        pod("prepare", ready=True, job=True),
    ],
    ids=["has no node", "is not ready", "has been started less often", "is of a job"],
)
def test_it_may_wait_for_another_pod_that_is_on_its_way(other: dict[str, Any]) -> None:
    assert verdict(*restarted(0, 3, 6), others=(other,)) == ""


def test_what_is_ready_has_ended_or_leaves_is_not_waited_for() -> None:
    leaving = pod("old")
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    others = (pod("up", ready=True), leaving, pod("done", phase="Succeeded"), pod("lost", phase="Failed"))
    assert verdict(*restarted(0, 3, 5), others=others)


@pytest.mark.parametrize("other", [pod("leader"), pod("prepare", ready=True, job=True)], ids=["leader", "job"])
def test_what_it_waited_for_gives_it_one_more_start(other: dict[str, Any]) -> None:
    """It is still in back-off when the leader gets ready, or when the job has ended and its pod is gone."""
    loops = crash_loops.CrashLoops()
    texts = []
    for restarts, others in ((0, [other]), (6, [other]), (6, []), (7, []), (8, [])):
        pods = [crashing(restarts)]
        loops.look_at(OWNER, pods)
        texts.append(loops.verdict([*pods, *others]))
    assert [bool(text) for text in texts] == [False, False, False, False, True]


def test_a_single_pod_is_given_up_at_its_fifth_restart() -> None:
    assert verdict(*restarted(0, 1, 2, 3, 4, 5))


def test_a_job_that_runs_is_waited_for_up_to_ten_restarts() -> None:
    assert verdict(*restarted(0, 3, 10), others=(pod("prepare", ready=True, job=True),))


def test_pods_of_an_earlier_version_of_a_stateful_set_do_not_count() -> None:
    old = crashing(9)
    old["metadata"]["labels"] = {"controller-revision-hash": "v1"}
    owner = {"kind": "StatefulSet", "status": {"updateRevision": "v2"}}
    loops = crash_loops.CrashLoops()
    for restarts in (5, 9):
        old["status"]["containerStatuses"][0]["restartCount"] = restarts
        loops.look_at(owner, [old])
    assert loops.verdict([old]) == ""


class Cluster:
    """Has one pod, which ends once more between two looks."""

    restarts = 3

    def items(self, gvk: objects.Gvk, _namespace: str, **_query: str) -> list[dict[str, Any]]:
        if gvk.kind != "Pod":
            return []
        self.restarts += 1
        return [crashing(self.restarts)]

    def get(self, *_: Any) -> dict[str, Any]:
        return OWNER


def test_a_wait_ends_long_before_its_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "DETAILS_EVERY_S", 0)
    cancelled = threading.Event()
    timer = threading.Timer(20, cancelled.set)
    timer.start()
    waiter = waiting.Waiter(cast("Any", Cluster()), cancelled)
    outcome = waiter.until_ready(GVK, OWNER, timeout_s=7200, status=lambda _: None)
    timer.cancel()
    assert len(outcome.reasons) == 1
    assert outcome.reasons[0].startswith("Deployment llm/chat failed: pod chat-0: container main: CrashLoopBackOff")
