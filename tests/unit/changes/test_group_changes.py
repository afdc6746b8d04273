"""Changes of groups of pods (LeaderWorkerSets) in the words of a mesh, each said once."""

from __future__ import annotations

from typing import Any

from meshctl.changes.fields import fields
from meshctl.changes.leader_worker_sets import LEADER_WORKER_SET
from meshctl.changes.notes import roll_outs
from meshctl.changes.steps import PropertyChange, Step
from tests.unit.render.sample import CHAT, sample

URN = f"urn:pulumi:cw::llm-prod::{LEADER_WORKER_SET}::workload/chat:leader-worker-set"
GROUPS = "spec.leaderWorkerTemplate"


def inputs(image: str, *, replicas: int = 2, size: int = 2, port: int = 8000, level: str = "info") -> dict[str, Any]:
    container: dict[str, Any] = {"name": "main", "image": image, "env": [{"name": "LOG_LEVEL", "value": level}]}
    leader = {"spec": {"containers": [{**container, "ports": [{"name": "http", "containerPort": port}]}]}}
    worker = {"spec": {"containers": [container]}}
    groups = {"size": size, "leaderTemplate": leader, "workerTemplate": worker}
    return {"spec": {"replicas": replicas, "leaderWorkerTemplate": groups}}


def step(old: dict[str, Any], new: dict[str, Any], *paths: str) -> Step:
    return Step(URN, LEADER_WORKER_SET, "update", old, new, tuple(map(PropertyChange, paths)))


def said(*arguments: Any) -> list[str]:
    return [field.text() for field in fields(step(*arguments))]


def test_what_leader_and_workers_share_is_said_once() -> None:
    main = "{}.spec.containers[0].{}"
    paths = [main.format(f"{GROUPS}.{name}", key) for key in ("image", "env[0].value") for name in _TEMPLATES]
    old, new = inputs("vllm:1"), inputs("vllm:2", level="debug")
    assert said(old, new, *paths) == ["image vllm:1 -> vllm:2", "env LOG_LEVEL info -> debug"]


_TEMPLATES = ("leaderTemplate", "workerTemplate")


def test_what_only_the_leader_has_is_said() -> None:
    path = f"{GROUPS}.leaderTemplate.spec.containers[0].ports[0].containerPort"
    assert said(inputs("v"), inputs("v", port=9000), path) == ["port http 8000 -> 9000"]


def test_the_number_and_the_size_of_groups_have_the_words_of_the_mesh() -> None:
    changed = inputs("v", replicas=3, size=4)
    assert said(inputs("v"), changed, "spec.replicas", f"{GROUPS}.size") == ["replicas 2 -> 3", "nodes 2 -> 4"]


def test_bookkeeping_is_not_shown() -> None:
    assert said(inputs("v"), inputs("v"), 'metadata.annotations["pulumi.com/waitFor"]') == []


def test_a_roll_out_that_leaves_no_group_is_noted() -> None:
    workload = CHAT.model_copy(update={"replicas": 1, "nodes_per_replica": 2})
    deployment = sample("coreweave").model_copy(update={"workloads": (workload,), "has_group_controller": True})
    rolled = step(inputs("v"), inputs("w"), f"{GROUPS}.workerTemplate.spec.containers[0].image")
    (note,) = roll_outs.notes(deployment, [rolled])
    assert "without a group" in note
    assert roll_outs.notes(deployment, [step(inputs("v"), inputs("v", replicas=3), "spec.replicas")]) == []
