"""Workloads that turn from single pods to groups, or from one form of groups to the other, end before they start."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Self

import pytest

from meshctl import render
from meshctl.changes.notes import changed_groups as words
from meshctl.clients.kubernetes.cluster_access import ClusterAccess
from meshctl.deploy.guards.running.pods import changed_groups
from meshctl.errors import NotReadyError
from meshctl.model.deployment import Deployment, Mount
from meshctl.model.stack_state import Resource, StackOutputs, StackState
from meshwire.kubernetes.errors import ApiError
from meshwire.kubernetes.requests import Request
from stacks import platform
from tests.unit.fake_cluster import client_of
from tests.unit.render.sample import CHAT, sample

SINGLE = CHAT
GROUPS = CHAT.model_copy(update={"nodes_per_replica": 2})
KEEPING = GROUPS.model_copy(update={"mounts": (Mount(storage="rows", kind="block", path="/rows"),)})


def deployed(workload: Any, *, has_controller: bool = True) -> Deployment:
    made = sample("coreweave")
    return made.model_copy(update={"workloads": (workload,), "has_group_controller": has_controller})


def state_of(deployment: Deployment) -> StackState:
    resources = [
        Resource({"urn": f"urn:pulumi:e::m::{platform.token(item)}::{item.name}", "type": platform.token(item),
                  "inputs": item.manifest})
        for item in render.platform_objects(deployment)
    ]  # fmt: skip
    return StackState(tuple(resources), outputs=StackOutputs(deployment=deployment))


class Client:
    """Objects that are there for some looks after their end was asked for."""

    def __init__(self, looks: int) -> None:
        self.looks = looks
        self.deleted: list[tuple[str, str]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def send(self, request: Request) -> dict[str, Any]:
        if request.method == "DELETE":
            self.deleted.append((request.path.split("/")[-2] + "/" + request.path.split("/")[-1],
                                 request.body["propagationPolicy"]))  # fmt: skip
            return {}
        self.looks -= 1
        if self.looks < 0:
            raise ApiError(404, "not found")
        return {}


def ended(
    monkeypatch: pytest.MonkeyPatch, before: Deployment, now: Deployment, looks: int = 2
) -> list[tuple[str, str]]:
    client, clock = Client(looks), SimpleNamespace(now=0.0)

    def sleep(seconds: float) -> None:
        clock.now += seconds

    monkeypatch.setattr(ClusterAccess, "client", client_of(client))
    monkeypatch.setattr(changed_groups, "time", SimpleNamespace(monotonic=lambda: clock.now, sleep=sleep))
    changed_groups.end_old(now, state_of(before))
    return client.deleted


def test_groups_of_a_controller_are_gone_before_others_of_their_names_come(monkeypatch: pytest.MonkeyPatch) -> None:
    kept, written = deployed(GROUPS), deployed(KEEPING)
    assert ended(monkeypatch, kept, written) == [("leaderworkersets/chat", "Foreground")]
    with pytest.raises(NotReadyError, match="the groups of workload/chat did not end"):
        ended(monkeypatch, kept, written, looks=10_000)
    (note,) = words.notes(kept, written)
    assert note.endswith("start anew as StatefulSets, as they have the same names: it is down until these are ready")


def test_single_pods_make_room_for_groups_and_groups_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ended(monkeypatch, deployed(SINGLE), deployed(GROUPS)) == [("deployments/chat", "Background")]
    assert ended(monkeypatch, deployed(GROUPS), deployed(SINGLE)) == [("leaderworkersets/chat", "Foreground")]
    (note,) = words.notes(deployed(SINGLE), deployed(GROUPS))
    assert "its single pods end before its groups of 2 pods start" in note


def test_what_keeps_its_form_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    bigger = GROUPS.model_copy(update={"nodes_per_replica": 4, "image": "vllm/vllm-openai:v2"})
    for before, now in ((GROUPS, bigger), (SINGLE, SINGLE)):
        assert ended(monkeypatch, deployed(before), deployed(now)) == []
        assert words.notes(deployed(before), deployed(now)) == ()
    assert words.notes(None, deployed(GROUPS)) == ()
