"""What the program that releases gangs asks of the API server, and what it changes there."""

from __future__ import annotations

import importlib
import io
import sys
import urllib.error
from collections.abc import Iterator
from email.message import Message
from typing import Any

import pytest

from meshctl.model.deployment import POOL_LABEL
from meshctl.model.keys import gangs as names
from meshctl.render.templates import FOLDER

LABELS = {POOL_LABEL: "train"}


@pytest.fixture(scope="module")
def program() -> Iterator[Any]:
    folder = str(FOLDER / "gang_hold")
    sys.path.insert(0, folder)
    try:
        yield importlib.import_module("gang_hold")
    finally:
        sys.path.remove(folder)
        for name in ("gang_hold", "gangs"):
            del sys.modules[name]


class FakeApi:
    def __init__(self, nodes: int, pods: list[Any], refused: int = 0) -> None:
        ready = {"conditions": [{"type": "Ready", "status": "True"}], "allocatable": {"cpu": "8", "pods": "10"}}
        self.nodes = [{"metadata": {"name": f"n{each}", "labels": LABELS}, "status": ready} for each in range(nodes)]
        self.pods = pods
        self.jobs: list[Any] = []
        self.refused = refused
        self.changes: list[tuple[str, Any]] = []

    def ask(self, path: str, body: Any = None, method: str = "PATCH") -> Any:
        if body is not None:
            if self.refused and method == "PATCH":
                raise urllib.error.HTTPError(path, self.refused, "no", Message(), io.BytesIO())
            self.changes.append((path.partition("?")[0], body))
            return {}
        own = [pod for pod in self.pods if pod["metadata"]["namespace"] == "m"]
        items = {
            "/api/v1/nodes": self.nodes,
            "/apis/batch/v1/namespaces/m/jobs": self.jobs,
            "/api/v1/namespaces/m/pods": own,
        }
        return {"items": items.get(path, self.pods)}


def pod(rank: int, *, gates: bool = True, node: str = "") -> dict[str, Any]:
    return {
        "metadata": {
            "uid": f"u{rank}",
            "name": f"t-{rank}",
            "namespace": "m",
            "resourceVersion": "7",
            "labels": {"app.kubernetes.io/name": "t"},
            "annotations": {names.GANG: "t", names.SIZE: "2"},
        },
        "spec": {
            "nodeName": node,
            "nodeSelector": LABELS,
            "schedulingGates": [{"name": "acme/x"}, {"name": names.GATE}] if gates else [],
            "containers": [{"resources": {"requests": {"cpu": "8"}}}],
        },
        "status": {"phase": "Pending"},
    }


def test_a_gang_is_as_large_as_its_job_is_now(program: Any) -> None:
    """A shift gives the Job of an elastic gang fewer pods, and can't change what stands in its template."""
    small = pod(0)
    small["metadata"]["labels"]["batch.kubernetes.io/controller-uid"] = "j1"
    api = FakeApi(1, [small])
    api.jobs = [{"metadata": {"uid": "j1"}, "spec": {"parallelism": 1}}]
    assert program.GangHold("m", api).look() == "released 1 pods of t"


def test_ranks_that_have_ended_well_are_not_waited_for_where_their_pods_are_gone(program: Any) -> None:
    """Pods that have ended are deleted with their node, and by whoever tidies up: the Job still counts them."""
    anew = pod(0)
    anew["metadata"]["labels"]["batch.kubernetes.io/controller-uid"] = "j1"
    api = FakeApi(1, [anew])
    api.jobs = [{"metadata": {"uid": "j1"}, "spec": {"parallelism": 2}, "status": {"succeeded": 1}}]
    assert program.GangHold("m", api).look() == "released 1 pods of t"
    done = pod(1, gates=False, node="n0")
    done["metadata"]["labels"], done["status"] = anew["metadata"]["labels"], {"phase": "Succeeded"}
    api.pods, api.jobs[0]["spec"]["parallelism"] = [anew, done], 3
    api.changes.clear()
    assert program.GangHold("m", api).look() == "", "one that the Job counts and that is there is one"
    api.jobs[0]["status"] = {}
    assert program.GangHold("m", api).look() == "", "the Job may not have counted it yet"
    api.jobs[0]["spec"]["parallelism"] = 2
    assert program.GangHold("m", api).look() == "released 1 pods of t"


def test_a_gang_with_room_loses_its_gates_and_nobody_else_s(program: Any) -> None:
    api = FakeApi(2, [pod(0), pod(1)])
    assert program.GangHold("m", api).look() == "released 2 pods of t"
    path, body = api.changes[0]
    assert path == "/api/v1/namespaces/m/pods/t-0"
    assert body["spec"] == {"schedulingGates": [{"name": "acme/x"}]}
    assert body["metadata"] == {"resourceVersion": "7", "uid": "u0", "annotations": {names.WAITS: None}}
    assert len(api.changes) == 2


def test_a_gang_without_room_is_told_why_once(program: Any) -> None:
    api = FakeApi(1, [pod(0), pod(1)])
    hold = program.GangHold("m", api)
    assert hold.look() == ""
    assert not api.changes, "what is so for a moment is nothing to wait for"
    hold.look()
    text = "is larger than pool train: 1 node with room for 1 of its 2 pods, even when nothing else runs there"
    assert [body for _, body in api.changes] == [{"metadata": {"annotations": {names.WAITS: text}}}] * 2
    for each in api.pods:
        each["metadata"]["annotations"][names.WAITS] = text
    hold.look()
    assert len(api.changes) == 2


def test_the_looks_are_rare_while_nothing_changes(program: Any) -> None:
    api = FakeApi(1, [pod(0), pod(1)])
    hold = program.GangHold("m", api)
    for _ in range(program.SAME_LOOKS):
        hold.look()
        assert hold.period_s == program.PERIOD_S
    hold.look()
    assert hold.period_s == program.LONG_PERIOD_S
    api.nodes += FakeApi(2, []).nodes[1:]
    assert hold.look().startswith("released")
    assert hold.period_s == program.PERIOD_S


@pytest.mark.parametrize("status", [404, 409])
def test_a_pod_that_has_changed_is_looked_at_again(program: Any, status: int) -> None:
    api = FakeApi(2, [pod(0), pod(1)], refused=status)
    hold = program.GangHold("m", api)
    hold.look()
    assert api.changes == []
    api.refused = 0
    hold.look()
    assert [path for path, _ in api.changes] == [f"/api/v1/namespaces/m/pods/t-{rank}" for rank in (0, 1)]


def test_what_the_server_refuses_is_said(program: Any) -> None:
    with pytest.raises(program.UNANSWERED):
        program.GangHold("m", FakeApi(2, [pod(0), pod(1)], refused=403)).look()


def test_a_released_gang_without_its_nodes_is_said_in_one_event(program: Any) -> None:
    now = [0.0]
    api = FakeApi(2, [pod(0, gates=False), pod(1, gates=False, node="n0")])
    hold = program.GangHold("m", api, clock=lambda: now[0])
    hold.look()
    assert not api.changes
    for now[0] in (program.LATE_S, program.LATE_S + 5):
        hold.look()
    ((path, event),) = api.changes
    assert path == "/api/v1/namespaces/m/events"
    assert (event["reason"], event["involvedObject"]["name"]) == ("GangNotWhole", "t-0")
    assert event["message"].startswith("the gang t was let start 120 s ago")


def test_a_gang_of_another_mesh_keeps_none_of_this_one_waiting(program: Any) -> None:
    """Its own program may be down: here nobody may change its pods, and it must not be let start again and again."""
    others = [pod(7), pod(8)]
    for each in others:
        each["metadata"] |= {"namespace": "a", "creationTimestamp": "2026-11-29T09:00:00Z"}
        each["spec"]["nodeSelector"] = {POOL_LABEL: "other"}
    api = FakeApi(2, [*others, pod(0), pod(1)])
    api.nodes += [
        {**node, "metadata": {"name": f"o{number}", "labels": {POOL_LABEL: "other"}}}
        for number, node in enumerate(api.nodes)
    ]
    assert program.GangHold("m", api).look() == "released 2 pods of t"
    assert [path.rpartition("/")[2] for path, _ in api.changes] == ["t-0", "t-1"]


def test_a_released_pod_that_the_scheduler_never_places_keeps_no_other_gang_waiting(program: Any) -> None:
    """Its volume is in another zone, or its claim of a device has no device: the arithmetic does not know of it."""
    now = [0.0]
    stuck = [pod(7, gates=False), pod(8, gates=False, node="n0")]
    for each in stuck:
        each["metadata"]["annotations"][names.GANG] = "stuck"
    api = FakeApi(4, [*stuck, pod(0), pod(1)])
    hold = program.GangHold("m", api, clock=lambda: now[0])
    assert hold.look() == "", "it may be on its way"
    now[0] = program.LATE_S
    assert hold.look() == "released 2 pods of t"
    api.nodes.pop()
    assert hold.look() == "", "the room of the pod without a node stays its own"
