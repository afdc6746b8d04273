"""Nodes that die while a shift is under way or in force, and come again under their names."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest

from meshctl.errors import ShiftError
from meshctl.model.deployment import Taint
from meshctl.shift.planning.plan import Request
from meshwire.kubernetes.errors import ApiError
from meshwire.kubernetes.requests import Request as ApiRequest
from meshwire.kubernetes.resources import Resource
from tests.unit.shift.test_shift import ONE
from tests.unit.shift.world import MESH_LABEL, POOL_LABEL, World, declared, world_of


def anew(world: World, name: str) -> None:
    """The machine dies, and its successor has the name: it has no label of the mesh, no cordon and no pods."""
    world.add_node(name, {"zone": "a"})
    for pod in [pod for pod in world.pods.values() if pod["spec"].get("nodeName") == name]:
        del world.pods[pod["metadata"]["name"]]


def taken(world: World, name: str) -> dict[str, Any]:
    """The machine came anew, and the `up` of another mesh took it before anybody of this one saw it. Returns what that
    mesh has made of the node."""
    anew(world, name)
    node = world.nodes[name]
    node["metadata"]["labels"] |= {MESH_LABEL: "other", POOL_LABEL: "rag"}
    node["spec"]["taints"] = [{"key": "serve", "value": "other", "effect": "NoSchedule"}]
    return copy.deepcopy(node)


def labels(world: World, name: str) -> dict[str, Any]:
    return dict(world.nodes[name]["metadata"]["labels"])


def test_a_node_that_comes_again_while_it_is_emptied_is_handed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """As one of the mesh: its pods ask for the label of the mesh, too."""
    world = world_of(monkeypatch, replicas={"chat": 3}, stubborn=frozenset({"pretrain"}))
    before = {name: labels(world, name) for name in world.nodes}
    plan = world.shifts().plan(ONE)
    sleep = world.sleep

    def dying(seconds: float) -> None:
        if labels(world, "train-0").get(POOL_LABEL) == "train" and "suspend pretrain True" in world.events:
            anew(world, "train-0")
        sleep(seconds)

    monkeypatch.setattr(world, "sleep", dying)
    assert world.shifts().start(plan).state == "in-force"
    monkeypatch.setattr(world, "sleep", sleep)
    assert labels(world, "train-0").items() >= world.deployment.node_labels("serve").items()
    assert "train-0" in world.placed("chat")
    assert world.least_ready["chat"] == 2
    assert world.shifts().undo().state == "undone"
    assert {name: labels(world, name) for name in world.nodes} == before


def test_a_node_that_comes_again_while_the_shift_is_in_force_is_given_again(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of(monkeypatch, replicas={"chat": 3})
    shifts = world.shifts()
    shifts.start(shifts.plan(ONE))
    anew(world, "train-0")
    assert world.shifts().resume().state == "in-force"
    assert "train-0" in world.placed("chat")
    assert world.shifts().undo().state == "undone"
    assert labels(world, "train-0").items() >= world.deployment.node_labels("train").items()


def test_a_rank_on_a_lost_node_holds_no_shift_of_another_node(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its gang waits, so that nobody works with it until the cluster knows that it has ended."""
    world = world_of(monkeypatch, replicas={"chat": 3})
    world.kill_node("train-0")
    plan = world.shifts().plan(ONE)
    assert (plan.nodes, plan.waiting) == (("train-1",), ("pretrain",))
    began = world.now
    assert world.shifts().start(plan).state == "in-force"
    assert world.now - began < plan.end_limit_s
    (lost,) = world.of("pretrain")
    assert any(f"{lost['metadata']['name']} may still run on train-0" in text for text in world.messages)
    assert "train-1" in world.placed("chat")
    assert world.shifts().undo().state == "undone"


def test_a_rank_whose_node_is_lost_on_the_way_is_waited_for_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of(monkeypatch, replicas={"chat": 3}, stubborn=frozenset({"pretrain"}))
    plan = world.shifts().plan(ONE)
    sleep = world.sleep

    def dying(seconds: float) -> None:
        if "suspend pretrain True" in world.events and "train-2" not in world.dead:
            world.kill_node("train-2")
        sleep(seconds)

    monkeypatch.setattr(world, "sleep", dying)
    assert world.shifts().start(plan).state == "in-force"
    assert any("may still run on train-2" in text for text in world.messages)


def test_a_rank_on_a_lost_node_is_waited_for_before_its_gang_goes_on_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two runs of one training would write the same checkpoints."""
    world = world_of(monkeypatch, deployment=declared(least=2), replicas={"chat": 3})
    world.kill_node("train-0")
    plan = world.shifts().plan(ONE)
    assert [each.workload for each in plan.resized] == ["pretrain"]
    with pytest.raises(ShiftError, match=r"can't tell whether pretrain-\d+ still runs"):
        world.shifts().start(plan)


def test_a_pod_on_a_lost_node_that_was_put_back_ends_once_the_node_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it would have a node of the trainers for as long as it lives."""
    world = world_of(monkeypatch, replicas={"chat": 3})
    shifts = world.shifts()
    shifts.start(shifts.plan(ONE))
    world.sleep(10)
    assert "train-0" in world.placed("chat")
    world.kill_node("train-0")
    began = world.now
    assert world.shifts().undo().state == "undone"
    assert world.now == began
    assert any("may still run on train-0, which does not answer" in text for text in world.messages)
    world.revive_node("train-0")
    world.sleep(10)
    world.sleep(10)
    assert "train-0" not in world.placed("chat")
    assert len(world.placed("pretrain")) == 4


def test_a_pod_on_a_lost_node_that_its_budget_holds_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of(monkeypatch, replicas={"chat": 3}, budgets={"chat": 0})
    shifts = world.shifts()
    shifts.start(shifts.plan(ONE))
    world.sleep(10)
    world.kill_node("train-0")
    assert world.shifts().undo().state == "undone"
    assert any("it was not evicted (the disruption budget chat needs all pods)" in text for text in world.messages)


def test_a_node_that_another_mesh_has_taken_is_left_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its taints, which have the keys of this mesh's pools."""
    serve = Taint(key="serve", value="yes", effect="NoSchedule")
    made = declared()
    tainted = tuple(p.model_copy(update={"taints": (serve,)}) if p.name == "serve" else p for p in made.pools)
    world = world_of(monkeypatch, deployment=made.model_copy(update={"pools": tainted}), replicas={"chat": 4})
    before = {name: labels(world, name) for name in world.nodes}
    shifts = world.shifts()
    shifts.start(shifts.plan(Request("train", "serve", 2)))
    theirs = taken(world, "train-0")
    with pytest.raises(ShiftError, match="train-0 belongs to mesh other now") as caught:
        world.shifts().resume()
    assert "`meshctl shift dc1 --undo`" in caught.value.hint
    assert world.nodes["train-0"] == theirs
    assert world.shifts().undo().state == "undone"
    assert world.nodes["train-0"] == theirs
    assert labels(world, "train-1") == before["train-1"]
    assert world.messages.count("train-0 belongs to mesh other now, and is left unchanged") == 1


def test_a_node_that_another_mesh_takes_on_the_way_is_not_handed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of(monkeypatch, replicas={"chat": 3}, stubborn=frozenset({"pretrain"}))
    plan = world.shifts().plan(ONE)
    sleep, theirs = world.sleep, dict[str, Any]()

    def dying(seconds: float) -> None:
        if not theirs and "suspend pretrain True" in world.events:
            theirs.update(taken(world, "train-0"))
        sleep(seconds)

    monkeypatch.setattr(world, "sleep", dying)
    with pytest.raises(ShiftError, match="train-0 belongs to mesh other now") as caught:
        world.shifts().start(plan)
    assert "--undo" in caught.value.hint
    with pytest.raises(ShiftError, match="train-0 belongs to mesh other now"):
        world.shifts().resume()
    assert world.shifts().undo().state == "undone"
    assert world.nodes["train-0"] == theirs
    assert len(world.of("pretrain")) == 4


def lending(patch: pytest.MonkeyPatch, **changes: Any) -> World:
    """A shift of two nodes is in force, and pods of chat run on both."""
    world = world_of(patch, replicas={"chat": 4}, **changes)
    shifts = world.shifts()
    shifts.start(shifts.plan(Request("train", "serve", 2)))
    world.sleep(10)
    assert world.placed("chat") == ["serve-0", "serve-1", "train-0", "train-1"]
    return world


def on(world: World, node: str) -> str:
    """The name of the pod there."""
    return next(name for name, pod in world.pods.items() if pod["spec"].get("nodeName") == node)


@pytest.mark.parametrize("is_held", [False, True])
def test_a_node_that_is_lost_while_the_undo_waits(monkeypatch: pytest.MonkeyPatch, is_held: bool) -> None:
    """Its pod, which a budget has held so far, is evicted as soon as the budget allows it, and named in any case."""
    world = lending(monkeypatch, budgets={"chat": 2}, stubborn=frozenset({"chat"}))
    first, second = on(world, "train-0"), on(world, "train-1")
    world.pods[on(world, "serve-1")] |= {"ready_at": math.inf, "status": {"phase": "Running"}}
    sleep = world.sleep

    def dying(seconds: float) -> None:
        if f"evict {first}" in world.events and "train-1" not in world.dead:
            world.kill_node("train-1")
        sleep(seconds)
        if first not in world.pods and not is_held:
            world.budgets["chat"] = 4

    monkeypatch.setattr(world, "sleep", dying)
    assert world.shifts().undo().state == "undone"
    assert (f"evict {second}" in world.events) is not is_held
    (text,) = [each for each in world.messages if f"{second} may still run on train-1" in each]
    assert ("it was not evicted" in text) is is_held


def test_a_pod_that_is_gone_when_it_is_to_be_evicted_is_not_named(monkeypatch: pytest.MonkeyPatch) -> None:
    world = lending(monkeypatch)
    world.kill_node("train-0")
    lost, send = on(world, "train-0"), world.send

    def sent(request: ApiRequest) -> Any:
        if f"/{lost}/" in request.path:
            world.pods.pop(lost, None)
        return send(request)

    monkeypatch.setattr(world, "send", sent)
    assert world.shifts().undo().state == "undone"
    assert not any("may still run" in text for text in world.messages)


def test_an_undo_outlasts_a_cluster_that_does_not_answer_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """As one that has just lost nodes."""
    world = lending(monkeypatch)
    world.kill_node("train-0")
    lost, send, refused = on(world, "train-0"), world.send, list[str]()

    def sent(request: ApiRequest) -> Any:
        if f"/{lost}/" in request.path and not refused:
            refused.append(lost)
            raise ApiError(503, "the server is currently unable to handle the request")
        return send(request)

    monkeypatch.setattr(world, "send", sent)
    assert world.shifts().undo().state == "undone"
    assert refused
    assert f"evict {lost}" in world.events


def test_a_shift_outlasts_a_cluster_that_does_not_answer_when_all_have_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of(monkeypatch, replicas={"chat": 3})
    world.kill_node("train-0")
    plan = world.shifts().plan(ONE)
    list_objects, looks = world.list_objects, list[int]()

    def listed(resource: Resource[Any], **words: Any) -> Any:
        if resource.plural == "pods" and "suspend pretrain True" in world.events and len(world.of("pretrain")) == 1:
            looks.append(len(looks))
            if len(looks) == 2:
                raise ApiError(503, "the server is currently unable to handle the request")
        return list_objects(resource, **words)

    monkeypatch.setattr(world, "list_objects", listed)
    assert world.shifts().start(plan).state == "in-force"
    assert len(looks) > 2


def test_the_nodes_of_ranks_alone_are_looked_at_while_they_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """All nodes of a large cluster are tens of megabytes, at each look."""
    world = world_of(monkeypatch, replicas={"chat": 3})
    world.kill_node("train-0")
    plan = world.shifts().plan(ONE)
    list_objects, lists = world.list_objects, list[str]()

    def listed(resource: Resource[Any], **words: Any) -> Any:
        lists.extend([resource.plural] if "suspend pretrain True" in world.events else [])
        return list_objects(resource, **words)

    monkeypatch.setattr(world, "list_objects", listed)
    assert world.shifts().start(plan).state == "in-force"
    assert "pods" in lists
    assert "nodes" not in lists


def test_an_undo_names_the_rank_without_which_its_gang_does_not_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of(monkeypatch, replicas={"chat": 3})
    world.kill_node("train-0")
    shifts = world.shifts()
    shifts.start(shifts.plan(ONE))
    (lost,) = world.of("pretrain")
    assert world.shifts().undo().state == "undone"
    text = f"once {lost['metadata']['name']} on train-0 has ended: its node does not answer"
    assert f"pretrain goes on from its last checkpoint {text}" in world.messages


def test_a_gang_whose_ranks_have_all_ended_goes_on_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of(monkeypatch, replicas={"chat": 3})
    shifts = world.shifts()
    shifts.start(shifts.plan(ONE))
    world.shifts().undo()
    assert "pretrain goes on from its last checkpoint" in world.messages


def test_pods_on_lost_nodes_are_asked_to_leave_before_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """A budget counts them as missing already, and their successors make room in it for the next eviction."""
    world = lending(monkeypatch)
    world.kill_node("train-1")
    lost, other = on(world, "train-1"), on(world, "train-0")
    world.shifts().undo()
    assert [each for each in world.events if each.startswith("evict")] == [f"evict {lost}", f"evict {other}"]
