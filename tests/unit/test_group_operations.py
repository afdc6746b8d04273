"""Groups of pods in operation: what `status` shows, how `restart` goes, and what a plan says of their size and form."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, Self, cast

import pytest

from meshctl.changes.fields import fields
from meshctl.changes.losses import Seen, losses, outcome_of_destroy
from meshctl.changes.notes import changed_groups as changed_notes
from meshctl.changes.notes import roll_outs
from meshctl.changes.steps import PropertyChange, Step
from meshctl.clients.kubernetes import clusters
from meshctl.clients.kubernetes.cluster_access import ClusterAccess
from meshctl.deploy.guards.running.pods import changed_groups
from meshctl.errors import NotReadyError
from meshctl.model.deployment import Block, Deployment, Mount, Price
from meshctl.model.observed import PodState
from meshctl.model.stack_state import as_outputs
from meshctl.operate import group_restarts
from meshctl.operate.status import EnvironmentStatus, status_text, workload_status
from tests.unit import states
from tests.unit.deployments import deployment
from tests.unit.fake_cluster import client_of

SET = "kubernetes:apps/v1:StatefulSet"


def grouped(replicas: int = 2, nodes: int = 2, **changes: Any) -> Deployment:
    given = deployment("cw")
    fields_ = {"nodes_per_replica": nodes, "replicas": replicas, **changes}
    workloads = tuple(w.model_copy(update=fields_) if w.name == "chat" else w for w in given.workloads)
    return given.model_copy(update={"workloads": workloads})


def pod(group: int, rank: int, *, ready: bool = True, reason: str = "", uid: str = "old") -> PodState:
    name = f"chat-{group}-{rank}"
    return PodState(
        name, "chat", "Running", ready, "node", 0, reason, uid=f"{uid}-{name}", group=group, rank=rank, grace_s=60
    )


def test_status_counts_groups() -> None:
    pods = [pod(group, rank) for group in (0, 1) for rank in (0, 1)]
    shown = workload_status(grouped(), "chat", pods)
    assert (shown.groups, shown.groups_ready, shown.ready, shown.wanted) == (2, 2, 4, 4)
    text = status_text(EnvironmentStatus("cw", "up", workloads=(shown,)))
    assert text == "cw: up\n  workload  chat  2/2 groups ready, 4/4 pods\n"


def test_status_names_the_rank_that_explains_the_others() -> None:
    pods = [pod(0, 0), pod(0, 1), pod(1, 0, ready=False), pod(1, 1, ready=False, reason="0/4 nodes have room")]
    shown = workload_status(grouped(), "chat", pods)
    assert (shown.groups_ready, shown.ready) == (1, 2)
    assert shown.reason == "rank 1 of group 1 is not ready: chat-1-1: 0/4 nodes have room"
    missing = workload_status(grouped(), "chat", [pod(0, 0), pod(0, 1), pod(1, 0)])
    assert missing.reason == "rank 1 of group 1 has no pod"


def test_a_paused_workload_shows_no_groups() -> None:
    shown = workload_status(grouped(paused=True), "chat", [])
    assert (shown.groups, shown.wanted, shown.reason) == (0, 0, "")


class Cluster:
    """A cluster whose controllers make pods anew once they were deleted; each is ready when it was asked for twice."""

    name = "cw"

    def __init__(self, pods: Iterable[PodState], *, heals: bool = True) -> None:
        self.pods = {each.name: each for each in pods}
        self.deleted: list[str] = []
        self.propagations: list[str] = []
        self.heals = heals

    def connected(self) -> Self:
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def send(self, request: Any) -> dict[str, Any]:
        name = request.path.rpartition("/")[2]
        self.deleted.append(name)
        self.propagations.append(request.body.get("propagationPolicy", ""))
        old = self.pods[name]
        assert all(each.ready for each in self.pods.values() if each.group != old.group), "another group is down"
        assert old.group is not None
        assert old.rank is not None
        ending = [
            each for each in self.pods.values() if each is old or (self.propagations[-1] and each.group == old.group)
        ]
        for each in ending:
            again = pod(old.group, each.rank or 0, ready=False, reason="ContainerCreating", uid="new")
            self.pods[each.name] = replace(again, in_leader_worker_set=old.in_leader_worker_set)
        return {}

    def listed(self, *_: Any) -> list[PodState]:
        current = list(self.pods.values())
        if self.heals:
            for each in current:
                self.pods[each.name] = replace(each, ready=True, reason="")
        return current


@pytest.fixture
def restarted(monkeypatch: pytest.MonkeyPatch) -> Callable[[Cluster], list[str]]:
    def run(cluster: Cluster) -> list[str]:
        clock = iter(range(1000))
        monkeypatch.setattr(clusters, "pods", cluster.listed)
        patched = SimpleNamespace(monotonic=lambda: next(clock), sleep=lambda _: None)
        monkeypatch.setattr(group_restarts, "time", patched)
        said: list[str] = []
        workload = grouped().workload("chat")
        group_restarts.restart(cast("ClusterAccess", cluster), "llm-prod", workload, timeout_s=5, say=said.append)
        return said

    return run


def test_a_restart_ends_one_group_after_the_other(restarted: Callable[[Cluster], list[str]]) -> None:
    cluster = Cluster(pod(group, rank) for group in (0, 1) for rank in (0, 1))
    said = restarted(cluster)
    assert cluster.deleted == ["chat-0-0", "chat-0-1", "chat-1-0", "chat-1-1"]
    assert said == ["group 0 starts again (1 of 2)", "group 1 starts again (2 of 2)"]


def test_of_a_controller_s_group_only_the_leader_ends_and_takes_the_others_with_it(
    restarted: Callable[[Cluster], list[str]],
) -> None:
    """The controller makes the leader anew for each worker that ends, too."""
    pods = (replace(pod(group, rank), in_leader_worker_set=True) for group in (0, 1) for rank in (0, 1))
    cluster = Cluster(pods)
    restarted(cluster)
    assert cluster.deleted == ["chat-0-0", "chat-1-0"]
    assert cluster.propagations == ["Foreground", "Foreground"]


def test_a_group_that_does_not_come_back_stops_the_restart(restarted: Callable[[Cluster], list[str]]) -> None:
    cluster = Cluster((pod(group, rank) for group in (0, 1) for rank in (0, 1)), heals=False)
    with pytest.raises(NotReadyError, match="group 0 of chat is not back after 5 s") as refused:
        restarted(cluster)
    assert refused.value.why == "rank 0 is not ready: chat-0-0: ContainerCreating"
    assert cluster.deleted == ["chat-0-0", "chat-0-1"]


def of_workers(replicas: int) -> dict[str, Any]:
    return {"spec": {"replicas": replicas, "ordinals": {"start": 1}}}


@pytest.mark.parametrize(("old", "new", "text"), [(1, 2, "nodes 2 -> 3"), (1, 0, "replicas 1 -> 0")])
def test_the_size_of_a_group_is_its_nodes(old: int, new: int, text: str) -> None:
    change = (PropertyChange("spec.replicas"),)
    step = Step("urn:w", SET, "update", of_workers(old), of_workers(new), change)
    assert [each.text() for each in fields(step)] == [text]


def test_a_changed_form_is_said_with_what_it_costs() -> None:
    single = deployment("cw")
    (note,) = changed_notes.notes(single, grouped())
    assert note.startswith("workload/chat: its single pods end before its groups of 2 pods start")
    (back,) = changed_notes.notes(grouped(), single)
    assert back.startswith("workload/chat: its groups end before its single pods start")
    assert not changed_notes.notes(grouped(), grouped(nodes=3))
    assert not changed_notes.notes(None, grouped())


@pytest.mark.parametrize(("replicas", "count"), [(1, 1), (2, 0)])
def test_a_plan_that_makes_the_only_group_anew_says_that_there_is_none_meanwhile(replicas: int, count: int) -> None:
    urn = f"urn:pulumi:cw::llm-prod::{SET}::workload/chat:group-0-leader"
    change = PropertyChange("spec.template.spec.containers[0].image", forces_replace=True)
    step = Step(urn, SET, "replace", {}, {}, (change,))
    assert len(roll_outs.notes(grouped(replicas), [step])) == count


def state_of(given: Deployment, *named: tuple[str, str, str]) -> Any:
    """The state of what is deployed with these objects: type, logical name, name."""
    resources = [
        {
            "type": type_,
            "urn": f"urn:pulumi:cw::llm-prod::{type_}::{logical}",
            "inputs": {"metadata": {"name": name}, "spec": {}},
        }
        for type_, logical, name in named
    ]
    stack = {
        "type": "pulumi:pulumi:Stack",
        "urn": "urn:pulumi:cw::llm-prod::pulumi:pulumi:Stack::s",
        "outputs": as_outputs(given),
    }
    return states.state(stack, *resources)


class Deleting:
    def __init__(self) -> None:
        self.paths: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def send(self, request: Any) -> dict[str, Any]:
        self.paths.append(request.path)
        return {}


def test_the_old_form_ends_before_the_new_one_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Deleting()
    monkeypatch.setattr(ClusterAccess, "client", client_of(client))
    up = ("kubernetes:apps/v1:Deployment", "workload/chat:deployment", "chat")
    changed_groups.end_old(grouped(), state_of(deployment("cw"), up))
    assert client.paths == ["/apis/apps/v1/namespaces/llm-prod/deployments/chat"]
    changed_groups.end_old(deployment("cw"), state_of(deployment("cw"), up))
    sets = (SET, "workload/chat:group-2-worker", "chat-2-workers")
    changed_groups.end_old(grouped(), state_of(grouped(3), sets))  # the engine deletes it: no form changes
    assert len(client.paths) == 1
    changed_groups.end_old(deployment("cw"), state_of(grouped(3), sets))
    assert client.paths[1:] == ["/apis/apps/v1/namespaces/llm-prod/statefulsets/chat-2-workers"]


def test_the_volumes_of_workers_are_counted_from_their_first_number() -> None:
    price = Price(subject="storage/data", usd_per_hour=None, source="by hand")
    mounts = (Mount(storage="data", kind="block", path="/data"),)
    given = grouped(1, 3, mounts=mounts).model_copy(
        update={"blocks": (Block(name="data", size_gib=5, storage_class="gp3", price=price),)}
    )
    claim = {"metadata": {"name": "data"}, "spec": {"resources": {"requests": {"storage": "5Gi"}}}}
    spec = {"replicas": 2, "ordinals": {"start": 1}, "volumeClaimTemplates": [claim]}
    workers = {
        "type": SET,
        "urn": f"urn:pulumi:cw::llm-prod::{SET}::workload/chat:group-0-worker",
        "inputs": {"metadata": {"name": "chat-0-workers"}, "spec": spec},
    }
    namespace = {
        "type": "kubernetes:core/v1:Namespace",
        "urn": "urn:pulumi:cw::llm-prod::kubernetes:core/v1:Namespace::platform:namespace",
        "inputs": {},
    }
    state = states.state(namespace, workers)
    lost = losses(state, given, outcome_of_destroy(state), Seen())
    assert [each.identity for each in lost] == ["claim data-chat-0-workers-1", "claim data-chat-0-workers-2"]
