"""What an `up` does about the replicas of a workload whose number follows load: nothing, within the range."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from meshctl import render
from meshctl.clients.kubernetes.cluster_access import ClusterAccess
from meshctl.deploy.fields import live_objects, ownership
from meshctl.deploy.fields.ownership import Ownership
from meshctl.model.deployment import Cluster, Deployment, Scale
from meshctl.model.stack_state import StackState
from tests.unit.deployments import deployment
from tests.unit.fake_cluster import FakeClient, client_of
from tests.unit.states import state

CHAT, SCALER = "workload/chat:deployment", "workload/chat:autoscaler"
TOKEN, AUTOSCALER = "kubernetes:apps/v1:Deployment", "kubernetes:autoscaling/v2:HorizontalPodAutoscaler"
REPLICAS = render.live_value_name(CHAT, "spec.replicas")
HPA = {
    "apiVersion": "autoscaling/v2",
    "kind": "HorizontalPodAutoscaler",
    "metadata": {"name": "chat", "namespace": "llm-prod"},
}


def with_range(tmp_path: Path, least: int = 2, most: int = 6, **changes: Any) -> Deployment:
    declared = deployment("dc1", cluster=Cluster(name="dc1", kubeconfig=str(tmp_path / "kubeconfig")))
    ranged = {"replicas": least, "most_replicas": most, "scale": Scale(metric="cpu", target=70, cooldown_s=300)}
    workloads = tuple(
        each.model_copy(update={**ranged, **changes}) if each.name == "chat" else each for each in declared.workloads
    )
    return declared.model_copy(update={"workloads": workloads})


def of_state(*, with_scaler: bool = True) -> StackState:
    resources = [{"urn": f"urn:pulumi:dc1::llm-prod::{TOKEN}::{CHAT}", "type": TOKEN}]
    if with_scaler:
        urn = f"urn:pulumi:dc1::llm-prod::{AUTOSCALER}::{SCALER}"
        resources.append({"urn": urn, "type": AUTOSCALER, "inputs": HPA})  # type: ignore[dict-item]
    return state(*resources)


def owned(
    monkeypatch: pytest.MonkeyPatch,
    declared: Deployment,
    replicas: int,
    scalers: dict[tuple[str, str], str] | None = None,
    *,
    is_ours: bool = False,
    is_nobodys: bool = False,
) -> Ownership:
    """With a live Deployment of so many replicas, which somebody else has scaled, or nobody since the last `up`."""
    (item,) = [each for each in render.platform_objects(declared) if each.name == CHAT]
    live = copy.deepcopy(item.manifest)
    live["spec"]["replicas"] = replicas
    live["metadata"]["managedFields"] = [
        {"manager": "kube-controller-manager", "operation": "Update", "subresource": "scale", "apiVersion": "apps/v1",
         "fieldsV1": {"f:spec": {"f:replicas": {}}}}
    ]  # fmt: skip
    if is_ours:
        live["metadata"]["managedFields"][0] |= {"manager": "pulumi-kubernetes-1", "operation": "Apply"}
    if is_nobodys:
        live["metadata"]["managedFields"] = []
    monkeypatch.setattr(live_objects, "read", lambda _client, wanted, *_: {r: live for r in wanted if r.name == "chat"})
    monkeypatch.setattr(live_objects, "autoscalers", lambda *_: scalers or {})
    monkeypatch.setattr(ClusterAccess, "client", client_of(FakeClient({})))
    return ownership.read_ownership(declared, of_state())


@pytest.mark.parametrize("replicas", [2, 4, 6])
def test_within_the_range_the_live_number_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, replicas: int) -> None:
    found = owned(monkeypatch, with_range(tmp_path), replicas)
    assert found.decisions == ()
    assert found.kept_values(preview=True)[REPLICAS] == replicas
    assert found.kept_values(preview=False)[REPLICAS] is None, "it may change until the engine comes to it"
    ours = owned(monkeypatch, with_range(tmp_path), replicas, is_ours=True)
    assert ours.kept_values(preview=False)[REPLICAS] == replicas, "without it the server would set one replica"
    assert found.left_paths(CHAT) == ["spec.replicas"], "it is neither drift nor a change of the plan"


@pytest.mark.parametrize(("replicas", "wanted"), [(1, 2), (9, 6)])
def test_beyond_the_range_it_is_brought_to_the_nearest_bound(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, replicas: int, wanted: int
) -> None:
    found = owned(monkeypatch, with_range(tmp_path), replicas)
    assert [each.report for each in found.decisions] == [
        f"takes over .spec.replicas of deployment chat from an autoscaler ({replicas} -> {wanted})"
    ]
    assert found.kept_values(preview=False)[REPLICAS] == wanted
    assert found.left_paths(CHAT) == []


def test_a_paused_workload_goes_to_zero_and_starts_with_the_least(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    paused = owned(monkeypatch, with_range(tmp_path, paused=True), 4)
    assert [each.conflict.wanted for each in paused.decisions] == [0]
    assert REPLICAS not in paused.kept_values(preview=False)
    started = owned(monkeypatch, with_range(tmp_path), 0)
    assert [each.conflict.wanted for each in started.decisions] == [2]
    assert REPLICAS not in started.kept_values(preview=False)


def test_what_load_has_brought_to_zero_stays_there_and_what_was_paused_starts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sleeping = with_range(tmp_path, 1, 6, sleeps=True)
    asleep = owned(monkeypatch, sleeping, 0, is_nobodys=True)
    assert asleep.decisions == ()
    assert asleep.kept_values(preview=True)[REPLICAS] == 0
    assert asleep.kept_values(preview=False)[REPLICAS] is None
    assert asleep.left_paths(CHAT) == ["spec.replicas"]
    paused_before = owned(monkeypatch, sleeping, 0, is_ours=True)
    assert REPLICAS not in paused_before.kept_values(preview=False), "it starts with one"
    moved_here = owned(monkeypatch, with_range(tmp_path, 1, 6, sleeps=True, least_while_moving=2), 0)
    assert [each.conflict.wanted for each in moved_here.decisions] == [2]


def test_a_start_after_a_migration_has_the_replicas_of_the_source(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    started = owned(monkeypatch, with_range(tmp_path, least_while_moving=5), 0)
    assert [each.conflict.wanted for each in started.decisions] == [5]


def test_an_autoscaler_of_somebody_else_is_left_alone_as_ever(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = owned(monkeypatch, with_range(tmp_path, scale=None), 9, {("Deployment", "chat"): "own-hpa"})
    assert [each.verdict.name for each in found.decisions] == ["LEAVE"]


def test_a_number_in_place_of_a_range_ends_the_autoscaler_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The engine deletes it last, and until then it would undo the number."""
    declared = with_range(tmp_path, 3, 0, scale=None)
    found = owned(monkeypatch, declared, 5)
    assert [(each.conflict.live, each.conflict.wanted) for each in found.decisions] == [(5, 3)]
    assert [each.name for each in found.retired_scalers] == ["chat"]
    calls: list[str] = []
    monkeypatch.setattr(live_objects, "delete", lambda _client, ref: calls.append(f"delete {ref.kind}"))
    monkeypatch.setattr(live_objects, "release", lambda *_: calls.append("release"))
    found.take_over(None)
    assert calls == ["delete HorizontalPodAutoscaler", "release"]
    assert owned(monkeypatch, with_range(tmp_path), 4).retired_scalers == ()
