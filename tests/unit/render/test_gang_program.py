"""Which gang starts, and what the others wait for (templates/gang_hold/gangs.py), without a cluster."""

from __future__ import annotations

import importlib
import random
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from meshctl.model.deployment import POOL_LABEL
from meshctl.model.keys import gangs as names
from meshctl.render.templates import FOLDER

GPU = "nvidia.com/gpu"
TRAIN = {"meshctl.dev/mesh": "m", POOL_LABEL: "train"}


@pytest.fixture(scope="module")
def gangs() -> Iterator[Any]:
    folder = str(FOLDER / "gang_hold")
    sys.path.insert(0, folder)
    try:
        yield importlib.import_module("gangs")
    finally:
        sys.path.remove(folder)
        del sys.modules["gangs"]


def a_node(gangs: Any, name: str, *, trouble: str = "", gpus: int = 8, **labels: str) -> Any:
    room = {GPU: gpus * 1000, "cpu": 96_000, "pods": 110_000}
    return gangs.Node(name, {**TRAIN, **labels}, (), gangs.Counter(room), trouble)


def a_pod(gangs: Any, gang: str, rank: int, size: int, **changes: Any) -> Any:
    values = {
        "uid": f"{gang}-{rank}",
        "name": f"{gang}-{rank}",
        "namespace": "m",
        "workload": gang,
        "node": "",
        "gates": (names.GATE,),
        "requests": gangs.Counter({GPU: 8000, "pods": 1000}),
        "selector": TRAIN,
        "tolerations": (),
        "gang": gang,
        "size": size,
        "created": "2026-11-29T10:00:00Z",
    }
    return gangs.Pod(**{**values, **changes})


def a_gang(gangs: Any, name: str, size: int, **changes: Any) -> list[Any]:
    return [a_pod(gangs, name, rank, size, **changes) for rank in range(size)]


def nodes_of(gangs: Any, count: int) -> list[Any]:
    return [a_node(gangs, f"g{number}") for number in range(count)]


def test_the_names_in_the_pod_are_those_of_meshctl(gangs: Any) -> None:
    assert (gangs.GATE, gangs.GANG, gangs.SIZE) == (names.GATE, names.GANG, names.SIZE)
    assert (gangs.WAITS, gangs.POOL) == (names.WAITS, POOL_LABEL)


def test_of_two_gangs_that_need_four_of_six_nodes_the_older_one_starts_whole(gangs: Any) -> None:
    older, newer = a_gang(gangs, "old", 4), a_gang(gangs, "new", 4, created="2026-11-29T11:00:00Z")
    nodes = nodes_of(gangs, 6)
    decision = gangs.decide(nodes, [*newer, *older])
    assert {pod.gang for pod in decision.released} == {"old"}
    assert len(decision.released) == 4
    placed = [replace(pod, gates=(), node=f"g{rank}") for rank, pod in enumerate(older)]
    decision = gangs.decide(nodes, [*newer, *placed])
    assert not decision.released
    assert decision.waits["new"] == (
        "waits for room for 2 more of its pods: pool train has room for 2 of 4 now; old holds 4 nodes"
    )


def test_the_more_important_gang_starts_first(gangs: Any) -> None:
    pods = [*a_gang(gangs, "old", 4), *a_gang(gangs, "new", 4, created="2026-11-29T11:00:00Z", priority=7)]
    assert {pod.gang for pod in gangs.decide(nodes_of(gangs, 6), pods).released} == {"new"}


def test_released_pods_have_their_room_before_they_have_a_node(gangs: Any) -> None:
    on_their_way = a_gang(gangs, "first", 4, gates=())
    pods = [*on_their_way, *a_gang(gangs, "second", 2)]
    assert not gangs.decide(nodes_of(gangs, 5), pods).released
    assert not gangs.decide(nodes_of(gangs, 6), pods).released, "not before the first is on its nodes"
    placed = [replace(pod, node=f"g{rank}") for rank, pod in enumerate(on_their_way)]
    assert len(gangs.decide(nodes_of(gangs, 6), [*placed, *pods[4:]]).released) == 2


def test_a_gang_waits_until_all_of_its_pods_exist(gangs: Any) -> None:
    pods = a_gang(gangs, "train", 4)[:3]
    decision = gangs.decide(nodes_of(gangs, 6), pods)
    assert (decision.released, decision.waits) == ((), {"train": "waits until all of its pods exist: 3 of 4 do"})
    ended = a_pod(gangs, "train", 3, 4, gates=(), node="g0", phase="Succeeded")
    assert len(gangs.decide(nodes_of(gangs, 6), [*pods, ended]).released) == 3, "a rank that has ended well needs none"


def test_a_pod_that_replaces_a_failed_one_goes_before_gangs_that_wait(gangs: Any) -> None:
    running = [replace(pod, gates=(), node=f"g{rank}") for rank, pod in enumerate(a_gang(gangs, "up", 4))][1:]
    anew = a_pod(gangs, "up", 0, 4, uid="anew", created="2026-11-29T12:00:00Z")
    waiting = a_gang(gangs, "other", 2)
    nodes = nodes_of(gangs, 5)
    released = gangs.decide(nodes, [*running, anew, *waiting]).released
    assert [pod.uid for pod in released] == ["anew"]


def test_a_gang_that_is_larger_than_its_pool_is_named_and_keeps_no_other_waiting(gangs: Any) -> None:
    decision = gangs.decide(nodes_of(gangs, 3), [*a_gang(gangs, "big", 4), *a_gang(gangs, "small", 2)])
    assert {pod.gang for pod in decision.released} == {"small"}
    assert decision.waits["big"].startswith("is larger than pool train: 3 nodes with room for 3 of its 4 pods")


def test_nodes_that_take_no_pods_are_named(gangs: Any) -> None:
    nodes = [
        *nodes_of(gangs, 2),
        a_node(gangs, "g2", trouble="is not ready"),
        a_node(gangs, "g3", trouble="is cordoned"),
    ]
    decision = gangs.decide(nodes, a_gang(gangs, "train", 4))
    assert decision.waits["train"].endswith("has room for 2 of 4 now; g2 is not ready, g3 is cordoned")


def test_pods_of_others_and_taints_count(gangs: Any) -> None:
    nodes = nodes_of(gangs, 3)
    other = a_pod(gangs, "", 0, 0, gates=(), node="g0", namespace="vision", workload="x", uid="v")
    pods = a_gang(gangs, "train", 3)
    assert gangs.decide(nodes, [*pods, other]).waits["train"].endswith("the namespace vision holds 1 node")
    taint = {"key": "team", "value": "a", "effect": "NoSchedule"}
    tainted = [replace(node, taints=(taint,)) for node in nodes]
    assert not gangs.decide(tainted, pods).released
    tolerating = [replace(pod, tolerations=({"key": "team", "operator": "Exists"},)) for pod in pods]
    assert gangs.decide(tainted, tolerating).released
    term = {"matchExpressions": [{"key": "rack", "operator": "In", "values": ["r1"]}]}
    assert not gangs.decide(nodes, [replace(pod, terms=(term,)) for pod in pods]).released
    racks = [a_node(gangs, node.name, rack="r1") for node in nodes]
    assert gangs.decide(racks, [replace(pod, terms=(term,)) for pod in pods]).released


@pytest.mark.parametrize(
    ("text", "thousandths"),
    [
        ("8", 8000),
        ("100m", 100),
        ("1Gi", 1000 * 1024**3),
        ("2k", 2_000_000),
        ("1E", 10**21),
        ("1e3", 10**6),
        ("0.5", 500),
    ],
)
def test_quantities(gangs: Any, text: str, thousandths: int) -> None:
    assert gangs.thousandths(text) == thousandths


def test_a_pod_as_the_api_gives_it(gangs: Any) -> None:
    item = {
        "metadata": {
            "uid": "u",
            "name": "t-0-x",
            "namespace": "m",
            "labels": {"app.kubernetes.io/name": "t", "batch.kubernetes.io/controller-uid": "j"},
            "annotations": {names.GANG: "t", names.SIZE: "4", names.WAITS: "for more"},
        },
        "spec": {
            "schedulingGates": [{"name": names.GATE}],
            "containers": [{"resources": {"requests": {"cpu": "500m", GPU: "8"}}}],
            "initContainers": [{"resources": {"requests": {"cpu": "2"}}}],
        },
    }
    pod = gangs.pod_of(item)
    assert (pod.gang, pod.size, pod.is_held, pod.waits) == ("t j", 4, True, "for more")
    assert pod.requests == {"cpu": 2000, GPU: 8000, "pods": 1000}


def of_group(group: int, rank: int) -> dict[str, Any]:
    """As the controller of LeaderWorkerSets makes it: all groups have the same annotations."""
    labels = {
        "app.kubernetes.io/name": "llama",
        "leaderworkerset.sigs.k8s.io/group-index": str(group),
        "leaderworkerset.sigs.k8s.io/worker-index": str(rank),
    }
    name = f"llama-{group}-{rank}" if rank else f"llama-{group}"
    annotations = {names.GANG: "llama", names.SIZE: "2"}
    return {
        "metadata": {"uid": name, "name": name, "namespace": "m", "labels": labels, "annotations": annotations},
        "spec": {
            "schedulingGates": [{"name": names.GATE}],
            "nodeSelector": TRAIN,
            "containers": [{"resources": {"requests": {GPU: "8"}}}],
        },
    }


def test_of_two_groups_with_nodes_for_one_the_one_starts_whole(gangs: Any) -> None:
    """Without the hold each of them could have a node, and both would wait for the other's, for ever."""
    pods = [gangs.pod_of(of_group(group, rank)) for rank in (0, 1) for group in (0, 1)]
    decision = gangs.decide(nodes_of(gangs, 2), pods)
    assert [pod.name for pod in decision.released] == ["llama-0", "llama-0-1"]
    placed = [replace(pod, gates=(), node=f"g{rank}") for rank, pod in enumerate(decision.released)]
    rest = [pod for pod in pods if pod.gang == "llama-1"]
    decision = gangs.decide(nodes_of(gangs, 3), [*placed, *rest])
    assert (decision.released, list(decision.waits)) == ((), ["llama-1"])
    assert "pool train has room for 1 of 2 now; llama holds 2 nodes" in decision.waits["llama-1"]
    assert len(gangs.decide(nodes_of(gangs, 4), [*placed, *rest]).released) == 2


def test_a_group_that_is_made_anew_waits_for_the_end_of_nothing_but_its_room(gangs: Any) -> None:
    old = [replace(gangs.pod_of(of_group(0, rank)), gates=(), node=f"g{rank}", is_ending=True) for rank in (0, 1)]
    anew = [replace(gangs.pod_of(of_group(0, rank)), uid=f"anew-{rank}") for rank in (0, 1)]
    assert not gangs.decide(nodes_of(gangs, 2), [*old, *anew]).released
    assert len(gangs.decide(nodes_of(gangs, 4), [*old, *anew]).released) == 2
    assert len(gangs.decide(nodes_of(gangs, 2), anew).released) == 2


PUSHES_OUT = {"priority": 100, "may_preempt": True}


def a_batch_pod(gangs: Any, node: str, **changes: Any) -> Any:
    values = {"gates": (), "node": node, "workload": "batch", "priority": 10, "uid": f"batch-{node}"}
    return a_pod(gangs, "", 0, 0, **{**values, **changes})


def test_a_group_that_serves_pushes_out_what_is_less_important(gangs: Any) -> None:
    nodes, batch = nodes_of(gangs, 2), a_batch_pod(gangs, "g1")
    group = a_gang(gangs, "llama", 2, **PUSHES_OUT)
    assert gangs.decide(nodes, [batch, *group]).released == tuple(group)
    equal = replace(batch, priority=100)
    assert not gangs.decide(nodes, [equal, *group]).released
    training = [replace(pod, may_preempt=False) for pod in group]
    decision = gangs.decide(nodes, [batch, *training])
    assert (decision.released, list(decision.waits)) == ((), ["llama"])


def test_nothing_is_pushed_out_for_a_group_that_would_not_be_whole(gangs: Any) -> None:
    nodes = nodes_of(gangs, 3)
    others = [a_batch_pod(gangs, "g0"), a_batch_pod(gangs, "g1", priority=200, workload="vital")]
    decision = gangs.decide(nodes, [*others, *a_gang(gangs, "llama", 3, **PUSHES_OUT)])
    assert not decision.released
    assert decision.waits["llama"] == (
        "waits for room for 1 more of its pods: pool train has room for 2 of 3 now, without pods of lower priority;"
        " vital holds 1 node"
    )


def test_no_two_groups_push_out_the_same_pod(gangs: Any) -> None:
    batch = [a_batch_pod(gangs, "g0"), a_batch_pod(gangs, "g1")]
    first = a_gang(gangs, "first", 2, **PUSHES_OUT)
    second = a_gang(gangs, "second", 2, **PUSHES_OUT, created="2026-11-29T11:00:00Z")
    decision = gangs.decide(nodes_of(gangs, 2), [*batch, *first, *second])
    assert decision.released == tuple(first)
    assert list(decision.waits) == ["second"]
    on_their_way = [replace(pod, gates=()) for pod in first]
    ending = [replace(pod, is_ending=True) for pod in batch]
    stuck = {pod.uid for pod in first}
    for pods in (batch, ending):
        assert not gangs.decide(nodes_of(gangs, 2), [*pods, *on_their_way, *second]).released
        assert not gangs.decide(nodes_of(gangs, 2), [*pods, *on_their_way, *second], stuck).released
        assert not gangs.decide(nodes_of(gangs, 4), [*pods, *on_their_way, *second]).released, "not before they are on"
        assert gangs.decide(nodes_of(gangs, 4), [*pods, *on_their_way, *second], stuck).released == tuple(second)


def test_the_room_that_a_single_pod_is_about_to_push_out_is_its_own(gangs: Any) -> None:
    """The scheduler ends what is less important for it, whether it is of a gang or not."""
    single = a_batch_pod(gangs, "", uid="web", workload="web", **PUSHES_OUT)
    group = a_gang(gangs, "llama", 2, **{**PUSHES_OUT, "priority": 90})
    pods = [a_batch_pod(gangs, "g0"), single, *group]
    assert not gangs.decide(nodes_of(gangs, 2), pods).released
    assert gangs.decide(nodes_of(gangs, 3), pods).released == tuple(group)


def test_free_nodes_come_before_those_of_others(gangs: Any) -> None:
    """As in the scheduler: so the nodes that are left to a gang that pushes out nobody are the same."""
    pods = [a_batch_pod(gangs, "g0"), a_pod(gangs, "", 0, 0, gates=(), uid="web", **PUSHES_OUT)]
    assert not gangs.decide(nodes_of(gangs, 2), [*pods, *a_gang(gangs, "train", 2)]).released
    room, _ = gangs.room_of(nodes_of(gangs, 2), pods)
    assert [room[name][GPU] for name in ("g0", "g1")] == [0, 0]


def test_whether_a_pod_pushes_out_others_is_what_its_priority_class_says(gangs: Any) -> None:
    item = of_group(0, 0)
    for policy, expected in (("PreemptLowerPriority", True), ("Never", False)):
        item["spec"] |= {"priority": 100_000, "preemptionPolicy": policy}
        pod = gangs.pod_of(item)
        assert (pod.priority, pod.may_preempt) == (100_000, expected)
    del item["spec"]["preemptionPolicy"]
    assert gangs.pod_of(item).may_preempt, "as Kubernetes takes it"


class World:
    """Nodes and pods that change by chance, and a scheduler that places whatever it may, where it likes."""

    def __init__(self, gangs: Any, seed: int) -> None:
        self.gangs = gangs
        self.random = random.Random(seed)  # noqa: S311 (no secret)
        self.nodes = nodes_of(gangs, self.random.randint(3, 8))
        self.pods: list[Any] = []
        for number in range(self.random.randint(2, 5)):
            size = self.random.randint(2, 5)
            gpus = self.random.choice((4000, 8000, 8000))
            self.pods += a_gang(
                gangs,
                f"gang{number}",
                size,
                requests=gangs.Counter({GPU: gpus, "pods": 1000}),
                created=f"2026-11-29T10:{self.random.randint(0, 59):02}:00Z",
            )

    def schedule(self) -> None:
        """As many of the released pods as the scheduler happens to come to."""
        for pod in self.random.sample(self.pods, len(self.pods)):
            if pod.gates or pod.node or self.random.random() < 0.3:
                continue
            room, _ = self.gangs.room_of(self.nodes, [each for each in self.pods if each.node])
            nodes = self.random.sample(self.nodes, len(self.nodes))
            node = next((node for node in nodes if self.gangs.fits(pod, room[node.name])), None)
            if node is not None:
                self.replace(pod, node=node.name)

    def release(self) -> None:
        decision = self.gangs.decide(self.nodes, self.pods)
        for pod in decision.released:
            if self.random.random() < 0.9:  # the program may end between two pods
                self.replace(pod, gates=())

    def end(self) -> None:
        """A gang that runs may end."""
        whole = [gang for gang in self.gangs.gangs_of(self.pods) if all(pod.node for pod in gang.members)]
        for gang in whole:
            if self.random.random() < 0.3:
                self.pods = [pod for pod in self.pods if pod.gang != gang.key]

    def replace(self, pod: Any, **changes: Any) -> None:
        self.pods[self.pods.index(pod)] = replace(pod, **changes)

    def half_placed(self) -> list[str]:
        return [
            gang.key
            for gang in self.gangs.gangs_of(self.pods)
            if any(pod.node for pod in gang.members) and not all(pod.node for pod in gang.members)
        ]


@pytest.mark.parametrize("seed", range(40))
def test_never_have_two_gangs_a_part_of_their_nodes_and_all_come_to_run(gangs: Any, seed: int) -> None:
    world = World(gangs, seed)
    fitting = [gang for gang in gangs.gangs_of(world.pods) if gangs.placed_all(gang.members, world.nodes, room(world))]
    names_of_fitting = {gang.key for gang in fitting}
    for _ in range(120):
        world.release()
        world.schedule()
        assert len(world.half_placed()) <= 1
        world.end()
    left = {pod.gang for pod in world.pods}
    assert not left & names_of_fitting, "each gang that the pool has room for has run"
    assert not any(pod.node for pod in world.pods), "what is larger than the pool holds nothing"


class WorldWithBatch(World):
    """Its gangs serve, and batch pods have a part of its nodes: the scheduler pushes out one of these at a time."""

    def __init__(self, gangs: Any, seed: int) -> None:
        super().__init__(gangs, seed)
        self.pods = [replace(pod, **PUSHES_OUT, requests=gangs.Counter({GPU: 8000})) for pod in self.pods]
        names_of_nodes = [node.name for node in self.nodes]
        self.pods += [a_batch_pod(gangs, name) for name in self.random.sample(names_of_nodes, 3)]

    def schedule(self) -> None:
        super().schedule()
        is_waiting = any(not (pod.gates or pod.node) for pod in self.pods)
        batch = [pod for pod in self.pods if pod.workload == "batch"]
        if is_waiting and batch and not any(pod.is_ending for pod in batch):
            self.replace(self.random.choice(batch), is_ending=True)

    def end(self) -> None:
        super().end()
        self.pods = [pod for pod in self.pods if not pod.is_ending or self.random.random() < 0.7]


@pytest.mark.parametrize("seed", range(20))
def test_gangs_that_push_out_others_come_to_run_one_by_one_as_well(gangs: Any, seed: int) -> None:
    world = WorldWithBatch(gangs, seed)
    all_gangs = gangs.gangs_of(world.pods)
    fitting = {gang.key for gang in all_gangs if gangs.placed_all(gang.members, world.nodes, room(world))}
    for _ in range(120):
        world.release()
        world.schedule()
        assert len(world.half_placed()) <= 1
        world.end()
    assert not {pod.gang for pod in world.pods} & fitting
    assert {pod.workload for pod in world.pods if pod.node} <= {"batch"}, "a gang that is too large pushes nobody out"


def room(world: World) -> Any:
    return world.gangs.room_of(world.nodes, [])[0]
