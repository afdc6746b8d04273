"""Whole shifts in memory: what they move, how they end, and that they go back exactly."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from meshctl.errors import LockedError, ShiftError, UsageError
from meshctl.migrate.migration import Migrations
from meshctl.migrate.planning.inputs import Options, Share
from meshctl.model.deployment import Taint
from meshctl.shift.in_force import open_shifts, refuse_in_force, shifted_nodes, state_text, waiting_gangs
from meshctl.shift.planning.plan import Request, ShiftPlan
from meshctl.shift.views import plan_document, plan_text
from tests.unit.migrate.fake_gateway import FakeGateway
from tests.unit.shift.world import POOL_LABEL, Killed, World, declared, world_of

ONE = Request("train", "serve", 1)


def started(world: World, request: Request = ONE) -> str:
    shifts = world.shifts()
    return shifts.start(shifts.plan(request)).state


def kept(world: World) -> dict[str, Any]:
    """Nodes, Jobs and the ConfigMaps of gangs as a whole, but for their status and version."""
    objects = {**world.nodes, **world.jobs, **world.sizes}
    return {name: copy.deepcopy(_but_version(each)) for name, each in objects.items()}


def _but_version(item: dict[str, Any]) -> dict[str, Any]:
    metadata = {key: value for key, value in item["metadata"].items() if key != "resourceVersion"}
    return {**{key: value for key, value in item.items() if key != "status"}, "metadata": metadata}


def pools(world: World) -> dict[str, str]:
    return {name: node["metadata"]["labels"][POOL_LABEL] for name, node in world.nodes.items()}


def test_an_idle_node_is_given_to_the_pod_that_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of(monkeypatch, deployment=declared(gang=3), replicas={"chat": 3})
    assert started(world) == "in-force"
    assert pools(world)["train-3"] == "serve"
    assert "train-3" in world.placed("chat")
    assert world.placed("pretrain") == ["train-0", "train-1", "train-2"]
    assert world.least_ready == {"chat": 2, "pretrain": 3}
    assert [each for each in world.events if "evict" in each or "suspend" in each] == []


def test_undo_puts_labels_taints_and_pods_back(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of(monkeypatch, replicas={"chat": 3})
    before = kept(world)
    started(world)
    assert kept(world) != before
    assert world.shifts().undo().state == "undone"
    assert kept(world) == before
    assert world.shifts().open() == []
    world.sleep(10)
    assert len(world.placed("pretrain")) == 4
    assert world.placed("chat") == ["serve-0", "serve-1"]


def test_a_gang_that_has_no_room_left_saves_and_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of(monkeypatch, replicas={"chat": 3})
    shifts = world.shifts()
    plan = shifts.plan(ONE)
    assert plan.waiting == ("pretrain",)
    assert [each.model_dump() for each in plan.disturbed] == [
        {"owner": "demo/pretrain", "pods": 1, "effect": "waits", "grace_s": 120}
    ]
    assert "demo/pretrain: stops at its checkpoint and waits until the nodes are back" in plan_text(plan)
    shifts.start(plan)
    assert world.of("pretrain") == []
    assert world.least_ready["chat"] == 2
    assert waiting_gangs(world.shifts().open()) == {"pretrain"}
    order = [each for each in world.events if not each.startswith("evict")]
    assert order == [
        "patch train-0 cordon",
        "suspend pretrain True",
        "patch train-0 to serve",
        "patch train-0 uncordon",
    ]


def test_a_gang_that_fits_on_the_rest_starts_again_there_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of three nodes of the gang is taken although a fourth is idle: it is taken for a second node."""
    world = world_of(monkeypatch, deployment=declared(gang=2))
    world.nodes["train-3"]["spec"]["unschedulable"] = True  # the user's own cordon: not for a shift
    world.nodes["train-2"]["metadata"]["labels"]["nvidia.com/gpu.clique"] = "x"
    shifts = world.shifts()
    plan = shifts.plan(Request("train", "serve", 1))
    assert plan.nodes == ("train-2",)  # idle
    shifts.start(plan)
    del world.nodes["train-3"]["spec"]["unschedulable"]
    plan = shifts.plan(Request("train", "serve", 2))
    assert (plan.nodes, plan.waiting) == (("train-0", "train-3"), ("pretrain",))
    world.add_node("train-4", world.deployment.node_labels("train"))
    world.add_node("train-5", world.deployment.node_labels("train"), [])
    plan = shifts.plan(Request("train", "serve", 4))
    assert plan.waiting == ("pretrain",)


def test_the_plan_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of(monkeypatch, deployment=declared(gang=3), replicas={"chat": 3})
    document = plan_document(world.shifts().plan(ONE))
    assert document == {
        "environment": "dc1",
        "from": "train",
        "to": "serve",
        "nodes": ["train-3"],
        "disturbs": [],
        "longest_end_s": 120,
        "gains": {"nodes": 1, "accelerators": 8, "model": "", "pods_waiting": 1, "market": "on-demand", "ends": None},
        "until": None,
        "until_time": None,
    }
    assert world.moments == 0


def test_pods_of_a_gang_that_is_held_are_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """They may lack more than the shifted nodes, and start whenever there is room for all of them."""
    world = world_of(monkeypatch, deployment=declared(gang=3))
    world.held = frozenset({"chat"})
    world.replicas["chat"] = 3
    assert started(world) == "in-force"
    assert any("no pod of pool serve waits for a node" in text for text in world.messages)


def test_pods_of_a_gang_that_is_let_start_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The nodes are for them, as for a group of what serves; the program that lets them start looks now and then."""
    world = world_of(monkeypatch, deployment=declared(gang=3))
    world.held, world.released_after_s = frozenset({"chat"}), 12
    world.replicas["chat"] = 3
    assert started(world) == "in-force"
    assert not any("no pod of pool serve waits for a node" in text for text in world.messages)
    assert any("is held until there is room for all pods of its gang" in text for text in world.messages)
    assert "train-3" in world.placed("chat")


def test_without_a_waiting_pod_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of(monkeypatch, deployment=declared(gang=3))
    assert started(world) == "in-force"
    assert any("no pod of pool serve waits for a node" in text for text in world.messages)


def test_pods_of_others_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of(monkeypatch, deployment=declared(gang=3))
    world.pods["notebook"] = {
        "metadata": {"name": "notebook", "namespace": "team", "uid": "n", "labels": {}},
        "spec": {"nodeName": "train-3", "terminationGracePeriodSeconds": 5, "nodeSelector": {}},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    }
    plan = world.shifts().plan(Request("train", "serve", 4))
    assert plan.pods_of_others == 1
    world.shifts().start(plan)
    assert "notebook" in world.pods


def test_a_budget_of_zero_is_refused_before_anything_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of(monkeypatch, budgets={"chat": 0})
    with pytest.raises(ShiftError, match="the disruption budget chat needs all pods"):
        world.shifts().plan(Request("serve", "train", 1))
    assert world.events == []


def test_a_budget_that_holds_one_pod_at_a_time_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two pods that must not go at once: the second goes when the first runs elsewhere."""
    world = world_of(monkeypatch, budgets={"chat": 1})
    for number in (2, 3):
        world.add_node(f"serve-{number}", world.deployment.node_labels("serve"))
    shifts = world.shifts()
    plan = shifts.plan(Request("serve", "train", 2))
    assert plan.nodes == ("serve-2", "serve-3")  # idle
    plan = plan.model_copy(update={"nodes": ("serve-0", "serve-1")})
    assert shifts.start(plan).state == "in-force"
    assert world.least_ready["chat"] == 1
    assert world.placed("chat") == ["serve-2", "serve-3"]


def test_a_pod_that_ignores_its_signal_is_waited_for_until_its_grace_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of(monkeypatch, stubborn=frozenset({"pretrain"}))
    assert started(world) == "in-force"
    assert any("used its whole grace period of 120 s" in text for text in world.messages)


def test_a_node_that_dies_while_it_is_drained_stops_the_shift(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of(monkeypatch, stubborn=frozenset({"pretrain"}))
    shifts = world.shifts()
    plan = shifts.plan(ONE)
    before = kept(world)
    sleep = world.sleep

    def dying(seconds: float) -> None:
        if world.events and "train-0" not in world.dead:
            world.kill_node("train-0")
        sleep(seconds)

    monkeypatch.setattr(world, "sleep", dying)
    with pytest.raises(ShiftError, match=r"can't tell whether pretrain-\d+ still runs") as caught:
        world.shifts().start(plan)
    assert "train-0 does not answer" in caught.value.why
    assert "meshctl shift dc1 --undo" in caught.value.hint
    (stopped,) = world.shifts().open()
    assert state_text(stopped).startswith("stopped: can't tell whether pretrain-")
    assert world.shifts().undo().state == "undone"
    assert kept(world) == before
    assert world.jobs["pretrain"]["spec"]["suspend"] is False


def test_a_node_that_is_gone_stops_the_shift_and_is_left_out_of_the_undo(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of(monkeypatch)
    shifts = world.shifts()
    plan = shifts.plan(Request("train", "serve", 2))
    del world.nodes["train-1"]
    with pytest.raises(ShiftError, match="train-1 is no longer in the cluster"):
        shifts.start(plan)
    assert world.shifts().undo().state == "undone"
    assert set(pools(world).values()) == {"train", "serve"}
    assert not any(node["spec"].get("unschedulable") for node in world.nodes.values())


def test_refused_while_something_else_changes_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of(monkeypatch)
    plan = world.shifts().plan(ONE)
    world.running_change = "an `up` by me"
    with pytest.raises(LockedError, match="an `up` by me"):
        world.shifts().start(plan)
    world.running_change = ""
    rolled = {"metadata": {"name": "chat", "namespace": "demo", "generation": 2}, "spec": {}}
    world.servers = [{**rolled, "status": {"observedGeneration": 2, "replicas": 3, "updatedReplicas": 1}}]
    with pytest.raises(LockedError, match="chat is being rolled out"):
        world.shifts().plan(ONE)
    world.servers = [{**rolled, "status": {"observedGeneration": 2, "replicas": 3, "updatedReplicas": 3}}]
    assert world.shifts().plan(ONE).nodes == ("train-0",)


def test_refused_while_a_controller_replaces_groups_of_pods(monkeypatch: pytest.MonkeyPatch) -> None:
    """A LeaderWorkerSet has no observedGeneration, and "UpdateInProgress" only once it has been rolled out."""
    made = declared()
    chat = made.workload("chat").model_copy(update={"nodes_per_replica": 2})
    grouped = {"has_group_controller": True, "workloads": (chat, made.workload("pretrain"))}
    world = world_of(monkeypatch, deployment=made.model_copy(update=grouped))
    group: dict[str, Any] = {"metadata": {"name": "chat", "namespace": "demo", "generation": 2}, "spec": {}}
    for conditions in (
        [],
        [{"type": "Progressing", "status": "True"}],
        [{"type": "UpdateInProgress", "status": "False"}],
    ):
        world.groups = [{**group, "status": {"replicas": 2, "updatedReplicas": 2, "conditions": conditions}}]
        assert world.shifts().plan(ONE).nodes == ("train-0",)
    for status in (
        {"replicas": 2, "updatedReplicas": 1},
        {"replicas": 2, "updatedReplicas": 2, "conditions": [{"type": "UpdateInProgress", "status": "True"}]},
    ):
        world.groups = [{**group, "status": status}]
        with pytest.raises(LockedError, match="chat is being rolled out"):
            world.shifts().plan(ONE)


def test_another_shift_is_refused_while_one_is_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of(monkeypatch)
    plan = world.shifts().plan(ONE)
    world.kill_at = 8
    with pytest.raises(Killed):
        world.shifts().start(plan)
    world.survive()
    with pytest.raises(LockedError, match="is part of a shift") as caught:
        world.shifts().plan(Request("train", "serve", 2))
    assert "--resume" in caught.value.hint
    assert "--undo" in caught.value.hint


@pytest.mark.parametrize("way", ["resume", "undo"])
def test_killed_at_every_moment_it_ends_the_same(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    whole = world_of(monkeypatch, replicas={"chat": 3})
    at_first = kept(whole)
    started(whole)
    moments = whole.moments
    assert moments > 20
    for moment in range(1, moments + 1):
        world = world_of(monkeypatch, replicas={"chat": 3})
        plan = world.shifts().plan(ONE)
        world.kill_at = moment
        with pytest.raises(Killed):
            world.shifts().start(plan)
        world.survive()
        world.sleep(1)
        ended = ended_by(world, way, plan)
        assert kept(world) == (kept(whole) if way == "resume" else at_first), moment
        assert world.jobs["pretrain"]["spec"]["suspend"] is (way == "resume"), moment
        assert world.least_ready["chat"] == 2, moment
        assert ended, moment


def ended_by(world: World, way: str, plan: ShiftPlan) -> bool:
    statuses = world.shifts().open()
    if not statuses:  # killed before the first record was written
        if way == "resume":
            world.shifts().start(plan)
        return True
    if way == "undo":
        return world.shifts().undo().state == "undone"
    if not statuses[0].history.is_under_way:
        return statuses[0].history.state == "in-force"
    return world.shifts().resume().state == "in-force"


def test_an_undo_killed_at_every_moment_ends_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = world_of(monkeypatch, replicas={"chat": 3})
    at_first = kept(whole)
    started(whole)
    begun = whole.moments
    whole.shifts().undo()
    for moment in range(begun + 1, whole.moments + 1):
        world = world_of(monkeypatch, replicas={"chat": 3})
        started(world)
        world.kill_at = moment
        with pytest.raises(Killed):
            world.shifts().undo()
        world.survive()
        if world.shifts().open():
            assert world.shifts().undo().state == "undone"
        assert kept(world) == at_first, moment
        assert world.jobs["pretrain"]["spec"]["suspend"] is False, moment


def test_shifts_on_top_of_each_other_are_undone_newest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of(monkeypatch, deployment=declared(gang=2))
    before = kept(world)
    started(world)
    started(world)
    nodes = shifted_nodes(open_shifts(world.shifts().store, "demo", "dc1"))
    assert {name: (each.home, each.pool) for name, each in nodes.items()} == {
        "train-2": ("train", "serve"),
        "train-3": ("train", "serve"),
    }
    assert world.shifts().undo().plan.nodes == ("train-3",)
    assert world.shifts().undo().plan.nodes == ("train-2",)
    assert kept(world) == before
    with pytest.raises(UsageError, match="no shift of dc1 is in force"):
        world.shifts().undo()


def test_until_is_due_when_its_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of(monkeypatch, deployment=declared(gang=3))
    with pytest.raises(UsageError, match="--until is in the past"):
        world.shifts().plan(Request("train", "serve", 1, until_s=world.now - 1))
    started(world, Request("train", "serve", 1, until_s=world.now + 3600))
    assert world.shifts().due() == []
    world.sleep(3700)
    assert [status.history.plan.nodes for status in world.shifts().due()] == [("train-3",)]


def test_a_node_that_comes_again_with_its_old_label_is_given_again(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of(monkeypatch, deployment=declared(gang=2), replicas={"chat": 4})
    before = kept(world)
    started(world, Request("train", "serve", 2))
    world.sleep(10)
    assert world.placed("chat") == ["serve-0", "serve-1", "train-2", "train-3"]
    for name in [name for name, pod in world.pods.items() if pod["spec"].get("nodeName") == "train-3"]:
        del world.pods[name]
    world.add_node("train-3", {**world.deployment.node_labels("train"), "zone": "a"})
    world.least_ready.clear()
    assert world.shifts().resume().state == "in-force"
    assert pools(world)["train-3"] == "serve"
    assert world.least_ready["chat"] == 3  # nobody else was disturbed
    with pytest.raises(UsageError, match="no shift of dc1 is under way"):
        world.shifts().resume()
    world.shifts().undo()
    assert kept(world) == before


def test_taints_are_exchanged_with_the_label(monkeypatch: pytest.MonkeyPatch) -> None:
    made = declared(gang=3)
    taint = {pool: Taint(key=pool, value="", effect="NoSchedule") for pool in ("train", "serve")}
    tainted = tuple(pool.model_copy(update={"taints": (taint[pool.name],)}) for pool in made.pools)
    world = world_of(monkeypatch, deployment=made.model_copy(update={"pools": tainted}))
    before = kept(world)
    started(world)
    assert [each["key"] for each in world.nodes["train-3"]["spec"]["taints"]] == ["serve"]
    world.shifts().undo()
    assert kept(world) == before


def test_a_shift_below_a_newer_one_goes_back_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of(monkeypatch, deployment=declared(gang=2))
    started(world, Request("train", "serve", 1, until_s=world.now + 60))
    started(world)
    world.sleep(100)
    assert world.shifts().due() == []
    world.shifts().undo()
    assert len(world.shifts().due()) == 1


def test_refused_while_a_migration_has_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    made = declared().model_copy(update={"environment": "east"})
    world = world_of(monkeypatch, deployment=made)
    gateway = FakeGateway().begin()
    migrations = Migrations("demo", gateway, world.shifts().store, data=gateway)
    migrations.start(migrations.plan("east", "west", Options(observe_s=6)))
    with pytest.raises(LockedError, match="east is part of migration") as caught:
        world.shifts().plan(ONE)
    assert "meshctl migrations show" in caught.value.hint


@pytest.mark.parametrize(("environment", "is_refused"), [("east", False), ("west", True)])
def test_the_source_of_an_expansion_may_shift_its_nodes(
    monkeypatch: pytest.MonkeyPatch, environment: str, is_refused: bool
) -> None:
    world = world_of(monkeypatch, deployment=declared().model_copy(update={"environment": environment}))
    gateway = FakeGateway().begin()
    migrations = Migrations("demo", gateway, world.shifts().store, data=gateway)
    share = Share(workload="chat", weight=102)
    migrations.start(migrations.plan_expansion("east", "west", share, Options(observe_s=6)))
    if is_refused:
        with pytest.raises(LockedError, match="west is part of migration"):
            world.shifts().plan(ONE)
    else:
        assert started(world) == "in-force"


def test_a_migration_is_refused_with_its_lock_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shift may have begun after the command had looked for one."""
    world = world_of(monkeypatch)
    gateway = FakeGateway().begin()
    migrations = Migrations("demo", gateway, world.shifts().store, data=gateway)
    plan = migrations.plan("east", "west", Options(observe_s=6))
    started(world)
    shifts = world.shifts()
    migrations.check = lambda: refuse_in_force(shifts.open(), "migrate", "it ends the source")
    with pytest.raises(LockedError, match="nodes of dc1 are shifted"):
        migrations.start(plan)
    assert migrations.ids() == []


def test_nodes_that_went_elsewhere_while_a_person_was_asked_are_not_shifted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The undo would put back what the other shift has made of them."""
    world = world_of(monkeypatch, deployment=declared(gang=2), replicas={"chat": 4})
    before = kept(world)
    shifts = world.shifts()
    plan = shifts.plan(ONE)
    started(world)
    with pytest.raises(LockedError, match="train-2 no longer belongs to pool train") as caught:
        shifts.start(plan)
    assert "run the command again" in caught.value.hint
    assert len(shifts.open()) == 1
    shifts.undo()
    assert kept(world) == before


def test_a_gang_that_started_again_elsewhere_is_left_alone_by_a_resume(monkeypatch: pytest.MonkeyPatch) -> None:
    """The label of one node was set back: only what runs there has to leave."""
    gang = declared(gang=2)
    queued = gang.workload("pretrain").model_copy(update={"queue": "gpus"})
    deployment = gang.model_copy(update={"workloads": (gang.workload("chat"), queued)})
    world = world_of(monkeypatch, deployment=deployment, replicas={"chat": 5})
    plan = world.shifts().plan(Request("train", "serve", 3))
    assert plan.restarting == ("pretrain",)
    world.shifts().start(plan)
    world.events.clear()
    lost = next(name for name in plan.nodes if name in world.placed("chat"))
    for name in [name for name, pod in world.pods.items() if pod["spec"].get("nodeName") == lost]:
        del world.pods[name]
    world.nodes[lost]["spec"]["unschedulable"] = True  # it is being replaced: nothing runs there yet
    world.nodes[lost]["metadata"]["labels"][POOL_LABEL] = "train"
    assert world.shifts().resume().state == "in-force"
    assert [each for each in world.events if "evict" in each] == []
    assert pools(world)[lost] == "serve"


def test_the_plan_says_which_pods_of_a_service_have_no_room_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """The service has less capacity until the undo: a person has to know that before."""
    made = declared(gang=2)
    chat = made.workload("chat").model_copy(update={"accelerators": 8})
    made = made.model_copy(update={"workloads": (chat, made.workload("pretrain"))})
    world = world_of(monkeypatch, deployment=made, budgets={"chat": 1})
    plan = world.shifts().plan(Request("serve", "train", 1))
    assert "demo/chat: 1 pod evicted, 1 of them without room on the other nodes of serve" in plan_text(plan)
    (disturbed,) = plan_document(plan)["disturbs"]
    assert (disturbed["pods"], disturbed["without_room"]) == (1, 1)
    world = world_of(monkeypatch, deployment=made, replicas={"chat": 1})
    world.nodes["serve-1"]["spec"]["unschedulable"] = True
    world.add_node("serve-2", made.node_labels("serve"))
    world.nodes["serve-2"]["metadata"]["labels"]["nvidia.com/gpu.clique"] = "x"
    plan = world.shifts().plan(Request("serve", "train", 2))
    assert plan.disturbed[0].without_room == 1  # the cordoned node takes nothing
    del world.nodes["serve-1"]["spec"]["unschedulable"]
    plan = world.shifts().plan(Request("serve", "train", 2))
    assert plan.disturbed == ()


@pytest.mark.parametrize("what", ["paused", "removed"])
def test_a_gang_that_the_mesh_no_longer_runs_is_not_started_by_the_undo(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While its nodes were away an `up` has paused it, and left `suspend` as the shift had set it."""
    world = world_of(monkeypatch, replicas={"chat": 3})
    started(world)
    assert world.jobs["pretrain"]["spec"]["suspend"] is True
    paused = world.deployment.paused(frozenset({"pretrain"}))
    removed = world.deployment.model_copy(update={"workloads": (world.deployment.workload("chat"),)})
    world.deployment = paused if what == "paused" else removed
    assert world.shifts().undo().state == "undone"
    assert world.jobs["pretrain"]["spec"]["suspend"] is True
    assert not any("goes on from its last checkpoint" in text for text in world.messages)


def test_a_cordon_of_somebody_else_outlives_the_shift(monkeypatch: pytest.MonkeyPatch) -> None:
    """An administrator has cordoned one node after the plan was made, and another one while the shift was in force."""
    world = world_of(monkeypatch, deployment=declared(gang=2), replicas={"chat": 3})
    plan = world.shifts().plan(Request("train", "serve", 2))
    world.nodes["train-2"]["spec"]["unschedulable"] = True
    world.shifts().start(plan)
    assert [name for name, node in world.nodes.items() if node["spec"].get("unschedulable")] == ["train-2"]
    world.nodes["train-3"]["spec"]["unschedulable"] = True
    world.shifts().undo()
    assert [name for name, node in world.nodes.items() if node["spec"].get("unschedulable")] == ["train-2", "train-3"]
    assert set(pools(world).values()) == {"train", "serve"}
    assert [name for name, pool in pools(world).items() if pool == "serve"] == ["serve-0", "serve-1"]


def test_a_cordon_that_was_taken_away_meanwhile_does_not_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of(monkeypatch, deployment=declared(gang=3), replicas={"chat": 3})
    plan = world.shifts().plan(ONE)
    world.nodes["train-3"]["spec"]["unschedulable"] = True
    assert world.shifts().start(plan).late == "chat-2 can't run on them"
    del world.nodes["train-3"]["spec"]["unschedulable"]
    world.shifts().undo()
    assert not any(node["spec"].get("unschedulable") for node in world.nodes.values())


def test_an_undo_of_a_shift_that_stopped_early_uncordons_what_it_has_cordoned(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of(monkeypatch, stubborn=frozenset({"pretrain"}))
    plan = world.shifts().plan(Request("train", "serve", 1, timeout_s=10))
    with pytest.raises(ShiftError, match="not empty after 10 s"):
        world.shifts().start(plan)
    assert world.nodes["train-0"]["spec"]["unschedulable"] is True
    world.sleep(200)
    world.shifts().undo()
    assert not any(node["spec"].get("unschedulable") for node in world.nodes.values())


def test_a_node_that_is_replaced_under_another_name_works_for_its_own_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    """As node groups of AWS and CoreWeave do it: with the labels of the group. The shift has a node less."""
    world = world_of(monkeypatch, deployment=declared(gang=2, least=1), replicas={"chat": 4})
    before = kept(world)
    started(world, Request("train", "serve", 3))
    world.sleep(10)
    assert world.placed("pretrain") == ["train-1"]
    del world.nodes["train-3"]
    world.pods = {name: pod for name, pod in world.pods.items() if pod["spec"].get("nodeName") != "train-3"}
    world.add_node("train-9", {**world.deployment.node_labels("train"), "zone": "a"})
    new = kept(world)["train-9"]
    with pytest.raises(UsageError, match="no shift of dc1 is under way"):
        world.shifts().resume()
    assert world.shifts().plan(ONE).nodes == ("train-9",)  # and may be shifted itself
    world.shifts().undo()
    assert any("train-3 is no longer in the cluster" in text for text in world.messages)
    del before["train-3"]
    assert kept(world) == {**before, "train-9": new}
    world.sleep(10)
    assert len(world.placed("pretrain")) == 2


def test_a_gang_on_one_of_the_chosen_nodes_stops_with_all_of_its_pods(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two nodes are idle; with the third a gang of two loses one of its two nodes, and the other rank ends, too."""
    world = world_of(monkeypatch, deployment=declared(gang=2), replicas={"chat": 5})
    before = kept(world)
    plan = world.shifts().plan(Request("train", "serve", 3))
    assert (plan.nodes, plan.waiting) == (("train-0", "train-2", "train-3"), ("pretrain",))
    world.shifts().start(plan)
    world.sleep(10)
    assert world.of("pretrain") == []
    assert world.placed("chat") == ["serve-0", "serve-1", "train-0", "train-2", "train-3"]
    world.shifts().undo()
    assert kept(world) == before
    world.sleep(10)
    assert len(world.placed("pretrain")) == 2


def test_between_two_busy_pools_the_plan_says_who_finds_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """No node is idle: a pod of the server waits until the undo, for a node that no trainer asks for."""
    world = world_of(monkeypatch)
    plan = world.shifts().plan(Request("serve", "train", 1))
    assert [(each.owner, each.effect, each.without_room) for each in plan.disturbed] == [("demo/chat", "moves", 1)]
    assert plan.taking_pods_waiting == 0
    assert "1 of them without room on the other nodes of serve" in plan_text(plan)
    world.shifts().start(plan)
    world.sleep(10)
    assert world.placed("chat") == ["serve-1"]
    world.shifts().undo()
    world.sleep(10)
    assert world.placed("chat") == ["serve-0", "serve-1"]
