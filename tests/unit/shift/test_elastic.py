"""Elastic gangs in memory: with how many ranks they go on while a shift has their nodes, and that they grow back."""

from __future__ import annotations

import pytest

from meshctl.model.deployment import Deployment
from meshctl.shift.in_force import gang_sizes, waiting_gangs
from meshctl.shift.planning.plan import Request
from meshctl.shift.views import plan_document, plan_text, status_lines
from tests.unit.shift.test_shift import ONE, ended_by, kept, started
from tests.unit.shift.world import Killed, World, declared, world_of

WITH_CHAT = {"chat": 3}  # one of which waits for a node


def ranks(world: World) -> list[str]:
    """The number that each rank of the gang has started with."""
    return [pod["nodes"] for pod in world.of("pretrain")]


def test_an_elastic_gang_goes_on_with_the_ranks_that_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of(monkeypatch, deployment=declared(least=2), replicas=dict(WITH_CHAT))
    plan = world.shifts().plan(ONE)
    assert (plan.restarting, plan.waiting) == ((), ())
    assert "demo/pretrain: stops at its checkpoint and goes on with 3 of its 4 nodes until they are back" in plan_text(
        plan
    )
    assert plan_document(plan)["disturbs"] == [
        {
            "owner": "demo/pretrain",
            "pods": 1,
            "effect": "shrinks",
            "grace_s": 120,
            "without_room": 0,
            "nodes_before": 4,
            "nodes": 3,
        }
    ]
    world.shifts().start(plan)
    assert world.events == [
        "patch train-0 cordon",
        "suspend pretrain True",
        "resize pretrain 3",
        "patch train-0 to serve",
        "patch train-0 uncordon",
    ]
    world.sleep(10)
    assert world.placed("pretrain") == ["train-1", "train-2", "train-3"]
    assert ranks(world) == ["3", "3", "3"]
    assert (
        world.sizes["pretrain-gang"]["data"]["hosts"] == "pretrain-0.pretrain,pretrain-1.pretrain,pretrain-2.pretrain"
    )
    assert world.least_ready["chat"] == 2
    assert "pretrain goes on from its checkpoint with 3 of 4 nodes" in world.messages
    assert (gang_sizes(world.shifts().open()), waiting_gangs(world.shifts().open())) == ({"pretrain": 3}, frozenset())
    (line,) = status_lines([(world.shifts().open()[0].history, "in force")], world.now)
    assert "pretrain runs on 3 instead of 4 nodes" in line


def test_a_gang_in_a_queue_that_its_label_names_is_left_to_the_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    """As environments.yaml may give it, without meshctl's own `queue`."""
    made = declared(least=2)
    labels = {"kueue.x-k8s.io/queue-name": "nightly"}
    workloads = tuple(w.model_copy(update={"labels": labels}) if w.name == "pretrain" else w for w in made.workloads)
    world = world_of(monkeypatch, deployment=made.model_copy(update={"workloads": workloads}))
    plan = world.shifts().plan(ONE)
    assert (plan.restarting, plan.resized) == (("pretrain",), ())


def test_it_grows_back_with_the_undo(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of(monkeypatch, deployment=declared(least=2), replicas=dict(WITH_CHAT))
    before, job = kept(world), dict(world.jobs["pretrain"]["spec"])
    started(world)
    world.sleep(10)
    world.events.clear()
    assert world.shifts().undo().state == "undone"
    assert world.events[-2:] == ["suspend pretrain True", "resize pretrain 4"]
    world.sleep(10)
    assert ranks(world) == ["4"] * 4
    assert (kept(world), world.jobs["pretrain"]["spec"]) == (before, job)
    assert gang_sizes(world.shifts().open()) == {}


def test_with_too_few_nodes_left_it_waits_as_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of(monkeypatch, deployment=declared(least=3))
    assert world.shifts().plan(Request("train", "serve", 1)).waiting == ()
    assert world.shifts().plan(Request("train", "serve", 2)).waiting == ("pretrain",)


def test_with_a_node_to_spare_it_keeps_all_of_its_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of(monkeypatch, deployment=declared(gang=3, least=2))
    plan = world.shifts().plan(Request("train", "serve", 2))
    assert ([each.nodes for each in plan.resized], plan.nodes) == ([2], ("train-0", "train-3"))
    world.add_node("train-4", world.deployment.node_labels("train"))
    plan = world.shifts().plan(Request("train", "serve", 3))
    assert [each.nodes for each in plan.resized] == [2]
    assert world.shifts().plan(Request("train", "serve", 2)).resized == ()


def test_shifts_on_top_of_each_other_shrink_it_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of(monkeypatch, deployment=declared(least=2))
    sizes = []
    for _ in range(2):
        started(world)
        world.sleep(10)
        sizes.append(ranks(world))
    assert sizes == [["3"] * 3, ["2"] * 2]
    assert gang_sizes(world.shifts().open()) == {"pretrain": 2}
    assert world.shifts().plan(ONE).waiting == ("pretrain",)
    for expected in (3, 4):
        world.shifts().undo()
        world.sleep(10)
        assert ranks(world) == [str(expected)] * expected


def test_a_gang_that_ends_while_it_is_small_is_not_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of(monkeypatch, deployment=declared(least=2))
    job = dict(world.jobs["pretrain"]["spec"])
    started(world)
    world.sleep(10)
    world.jobs["pretrain"]["status"] = {"conditions": [{"type": "Complete", "status": "True"}]}
    world.replicas["pretrain"] = 0
    world.pods = {name: pod for name, pod in world.pods.items() if pod not in world.of("pretrain")}
    world.events.clear()
    world.shifts().undo()
    assert "suspend pretrain True" not in world.events
    assert world.jobs["pretrain"]["spec"] == job  # as the last `up` has declared it


def test_a_gang_that_an_up_has_paused_meanwhile_grows_and_stays_paused(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of(monkeypatch, deployment=declared(least=2))
    started(world)
    paused = world.deployment.paused(frozenset({"pretrain"}))
    world.deployment = paused
    world.jobs["pretrain"]["spec"]["suspend"] = True
    world.shifts().undo()
    assert world.jobs["pretrain"]["spec"] == {"suspend": True, "completions": 4, "parallelism": 4}


def test_a_rank_on_a_node_that_was_given_back_by_hand_restarts_the_gang(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others would wait for that rank: all save, and start again together."""
    world = world_of(monkeypatch, deployment=declared(least=2), replicas={"chat": 3})
    started(world)
    world.sleep(10)
    world.add_node("train-4", {**world.deployment.node_labels("train"), "zone": "a"})
    for pod in world.of("chat"):
        if pod["spec"].get("nodeName") == "train-0":
            del world.pods[pod["metadata"]["name"]]
    world.add_node("train-0", {**world.deployment.node_labels("train"), "zone": "a"})
    world.of("pretrain")[0]["spec"]["nodeName"] = "train-0"
    first = {pod["metadata"]["name"] for pod in world.of("pretrain")}
    assert world.shifts().resume().state == "in-force"
    world.sleep(10)
    assert ranks(world) == ["3"] * 3
    assert not first & {pod["metadata"]["name"] for pod in world.of("pretrain")}
    assert "train-0" not in world.placed("pretrain")


def two_gangs() -> Deployment:
    """Of four nodes, a fixed gang has one half and an elastic one the other."""
    made = declared(gang=2, least=1)
    fixed = made.workload("pretrain").model_copy(update={"name": "tune", "least_nodes": 0})
    return made.model_copy(update={"workloads": (*made.workloads, fixed)})


def test_gangs_do_not_count_on_the_same_free_node(monkeypatch: pytest.MonkeyPatch) -> None:
    """One loses a node, then both: of the last node the elastic one makes use, where the fixed one needs two."""
    world = world_of(monkeypatch, deployment=two_gangs())
    plan = world.shifts().plan(ONE)
    assert (plan.waiting, plan.restarting, plan.resized[0].workload, len(plan.resized)) == ((), (), "pretrain", 1)
    plan = world.shifts().plan(Request("train", "serve", 3))
    assert (plan.waiting, [(each.workload, each.nodes) for each in plan.resized]) == (("tune",), [("pretrain", 1)])


@pytest.mark.parametrize("way", ["resume", "undo"])
def test_killed_at_every_moment_it_ends_the_same(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    def at_work() -> World:
        return world_of(monkeypatch, deployment=declared(least=2), replicas=dict(WITH_CHAT))

    whole = at_work()
    at_first = kept(whole)
    started(whole)
    for moment in range(1, whole.moments + 1):
        world = at_work()
        plan = world.shifts().plan(ONE)
        world.kill_at = moment
        with pytest.raises(Killed):
            world.shifts().start(plan)
        world.survive()
        world.sleep(1)
        assert ended_by(world, way, plan), moment
        world.sleep(20)
        expected = 3 if way == "resume" else 4
        assert kept(world) == (kept(whole) if way == "resume" else at_first), moment
        assert ranks(world) == [str(expected)] * expected, moment
        size = {"suspend": False, "completions": expected, "parallelism": expected}
        assert world.jobs["pretrain"]["spec"] == size, moment
        assert world.least_ready["chat"] == 2, moment


def test_an_undo_killed_at_every_moment_ends_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def in_force() -> World:
        world = world_of(monkeypatch, deployment=declared(least=2), replicas=dict(WITH_CHAT))
        started(world)
        return world

    whole = in_force()
    begun = whole.moments
    whole.shifts().undo()
    for moment in range(begun + 1, whole.moments + 1):
        world = in_force()
        world.kill_at = moment
        with pytest.raises(Killed):
            world.shifts().undo()
        world.survive()
        if world.shifts().open():
            assert world.shifts().undo().state == "undone"
        world.sleep(20)
        assert ranks(world) == ["4"] * 4, moment
        assert world.jobs["pretrain"]["spec"] == {"suspend": False, "completions": 4, "parallelism": 4}, moment
