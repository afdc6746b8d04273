"""On a cluster that others use too, taints of its nodes and pods of others count when nodes are chosen."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl.model.deployment import Taint
from meshctl.model.observed import Facts, ObservedNode, Requests
from meshctl.render.pod import pods
from tests.unit.resolve.meshes import DC, H100, gap, gpu_node, node, reason, resolved
from tests.unit.resolve.test_resolve_fit import service

VISION = Taint(key="team", value="vision", effect="NoSchedule")
TOLERATING = {**DC, "tolerations": [{"key": "team", "value": "vision"}]}


def facts(*nodes: ObservedNode) -> Facts:
    return Facts(nodes=nodes, pods_are_seen=True)


def tainted(*taints: Taint, count: int = 6) -> Facts:
    return facts(*(gpu_node(f"g{number}", taints=taints) for number in range(1, count + 1)))


def test_nodes_with_a_taint_are_not_counted_and_the_gap_says_which_and_the_way_out() -> None:
    resolution = resolved({"p": H100}, DC, tainted(VISION))
    assert resolution.deployment is None
    shortage = gap(resolution, "pool/p")
    assert shortage.best == "nothing (6 nodes have the taint team=vision:NoSchedule)"
    assert "`tolerations: [{key: team, value: vision}]`" in shortage.hint
    assert reason(resolution, "g1") == "has the taint team=vision:NoSchedule"


@pytest.mark.parametrize(
    "toleration",
    [
        {"key": "team", "value": "vision"},
        {"key": "team"},
        {"key": "team", "value": "vision", "effect": "NoSchedule"},
    ],
)
def test_a_toleration_of_the_environment_is_the_way_out_and_is_rendered(toleration: dict[str, str]) -> None:
    resolution = resolved({"p": H100}, {**DC, "tolerations": [toleration]}, tainted(VISION))
    assert resolution.deployment is not None
    operator = {"operator": "Equal", "value": "vision"} if "value" in toleration else {"operator": "Exists"}
    effect = {"effect": "NoSchedule"} if "effect" in toleration else {}
    rendered = pods.tolerations(resolution.deployment, resolution.deployment.pools[0])
    assert {"key": "team", **operator, **effect} in rendered


@pytest.mark.parametrize(
    ("taint", "environment"),
    [
        (VISION.model_copy(update={"value": "audio"}), TOLERATING),
        (
            VISION.model_copy(update={"effect": "NoExecute"}),
            {**DC, "tolerations": [{"key": "team", "effect": "NoSchedule"}]},
        ),
        (VISION.model_copy(update={"effect": "NoExecute"}), DC),
    ],
)
def test_a_toleration_of_another_taint_is_none(taint: Taint, environment: dict[str, Any]) -> None:
    assert resolved({"p": H100}, environment, tainted(taint)).deployment is None


def test_taints_that_pods_tolerate_anyway_count_nothing() -> None:
    gpu = Taint(key="nvidia.com/gpu", value="present", effect="NoSchedule")
    soft = VISION.model_copy(update={"effect": "PreferNoSchedule"})
    pressure = Taint(key="node.kubernetes.io/memory-pressure", value="", effect="NoSchedule")
    assert resolved({"p": H100}, DC, tainted(gpu, soft, pressure)).deployment is not None
    plain = facts(node("c1", taints=(gpu,)))  # no GPU is asked for, so that the pods don't tolerate it
    assert gap(resolved({"p": {"nodes": 1}}, DC, plain), "pool/p").best.endswith(
        "(1 node has the taint nvidia.com/gpu=present:NoSchedule)"
    )


def test_other_nodes_are_taken_where_there_are_enough() -> None:
    seen = facts(gpu_node("g1", taints=(VISION,)), gpu_node("g2"), gpu_node("g3"))
    assert resolved({"p": H100}, DC, seen).pools[0].node_names == ("g2", "g3")


def test_a_node_whose_gpus_others_have_is_not_counted() -> None:
    seen = facts(gpu_node("g1", taken=Requests(gpus=4)), gpu_node("g2"), gpu_node("g3"))
    resolution = resolved({"p": H100}, DC, seen)
    assert resolution.pools[0].node_names == ("g2", "g3")
    assert reason(resolution, "g1") == "pods of others have 4 of its 8 x H100, wanted 8"
    short = gap(resolved({"p": {**H100, "nodes": 3}}, DC, seen), "pool/p")
    assert short.best == "2 nodes: g2, g3 (on 1 node pods of others have GPUs)"
    assert "kubectl get pods -A" in short.hint


def test_a_node_that_a_pool_has_stays_with_it_and_what_others_took_is_missing() -> None:
    own = {"meshctl.dev/mesh": "m", "meshctl.dev/pool": "p"}
    seen = facts(gpu_node("g1", labels=own, taken=Requests(gpus=2)), gpu_node("g2"))
    pool = {"p": {**H100, "nodes": 1}}
    assert resolved(pool, DC, seen).pools[0].node_names == ("g1",)
    resolution = resolved(pool, DC, seen, workloads={"w": service(4, accelerators=2)})
    shortage = gap(resolution, "workload/w")
    assert shortage.best == (
        "3 fit on its 1 node (gpu-node-h100), limited by accelerators; pods of others have 2 accelerators there"
    )
    assert resolved(pool, DC, seen, workloads={"w": service(3, accelerators=2)}).deployment is not None


def test_cpu_and_memory_of_others_count_for_each_node_by_itself() -> None:
    crowded = node("c1", cpu_cores=16, memory_gib=64, taken=Requests(cpu=15, memory_gib=8))
    seen = facts(crowded, node("c2", cpu_cores=16, memory_gib=64))
    pool = {"p": {"nodes": 2}}
    assert resolved(pool, DC, seen, workloads={"w": service(1, cpu=16)}).deployment is not None
    shortage = gap(
        resolved(pool, DC, seen, workloads={"w": service(2, cpu=8, memory="32GiB"), "v": service(1, cpu=2)}), "pool/p"
    )
    assert shortage.wanted == "18 CPU cores for w and v together"
    assert shortage.best == ("17 on its 2 nodes (cpu-node); pods of others have 15 CPU cores and 8 GiB memory there")


def test_the_node_with_the_fewest_pods_of_others_is_taken_first() -> None:
    seen = facts(
        node("c1", taken=Requests(cpu=40)), node("c2", taken=Requests(cpu=1)), node("c3", taken=Requests(cpu=2))
    )
    assert resolved({"p": {"nodes": 1}}, DC, seen).pools[0].node_names == ("c2",)


def test_a_roll_out_counts_pods_of_others_too() -> None:
    def roll_out(seen: Facts) -> str:
        resolution = resolved({"p": {"nodes": 1}}, DC, seen, workloads={"w": service(1, cpu=20)})
        assert resolution.deployment is not None
        return resolution.deployment.workload("w").roll_out

    assert roll_out(facts(node("c1"))) == ""
    assert roll_out(facts(node("c1", taken=Requests(cpu=30)))) == "old-first"
    almost = node("c1", taken=Requests(cpu=23.9))
    assert roll_out(facts(almost)) == ""
    assert roll_out(Facts(nodes=(almost,))) == "old-first"  # who may not list pods can't be certain


def test_what_could_not_be_looked_at_is_noted() -> None:
    seen = Facts(nodes=(node("c1"),), notes=("pods of others are not counted",))
    assert "pods of others are not counted" in resolved({"p": {"nodes": 1}}, DC, seen).notes


OWN = {"meshctl.dev/mesh": "m", "meshctl.dev/pool": "p"}
CORDONED = Taint(key="node.kubernetes.io/unschedulable", value="", effect="NoSchedule")


def test_a_node_that_a_pool_has_stays_with_it_when_it_gets_a_taint_and_a_note_says_so() -> None:
    seen = facts(gpu_node("g1", labels=OWN, taints=(CORDONED, VISION)), gpu_node("g2"), gpu_node("g3"))
    resolution = resolved({"p": H100}, DC, seen)
    assert resolution.deployment is not None
    assert resolution.pools[0].node_names == ("g1", "g2")
    assert (
        "pool/p: its node g1 has the taints node.kubernetes.io/unschedulable:NoSchedule, team=vision:NoSchedule: the"
        " pods that run there stay, but no new ones start there; `kubectl uncordon g1` makes it schedulable again; or"
        " remove the taint, or let the mesh's pods tolerate it, in the environment of environments.yaml:"
        " `tolerations: [{key: team, value: vision}]`"
    ) in resolution.notes
    tolerated = resolved({"p": H100}, TOLERATING, facts(*(gpu_node(n, labels=OWN, taints=(VISION,)) for n in "ab")))
    assert not any("taint" in note for note in tolerated.notes)


def test_a_taint_that_ends_pods_takes_a_node_from_its_pool() -> None:
    ending = VISION.model_copy(update={"effect": "NoExecute"})
    seen = facts(gpu_node("g1", labels=OWN, taints=(ending,)), gpu_node("g2"), gpu_node("g3"))
    assert resolved({"p": H100}, DC, seen).pools[0].node_names == ("g2", "g3")
    both = facts(gpu_node("g1", labels=OWN, taints=(ending, CORDONED)))
    assert gap(resolved({"p": H100}, DC, both), "pool/p").best.endswith("(1 node has the taint team=vision:NoExecute)")


def test_no_toleration_is_offered_for_a_taint_that_kubernetes_sets() -> None:
    disk = CORDONED.model_copy(update={"key": "node.kubernetes.io/disk-pressure"})
    shortage = gap(resolved({"p": H100}, DC, facts(gpu_node("g1", taints=(CORDONED,)))), "pool/p")
    assert shortage.hint.startswith("`kubectl uncordon g1` makes it schedulable again; or ")
    shortage = gap(resolved({"p": H100}, DC, facts(gpu_node("g1", taints=(disk,)))), "pool/p")
    assert shortage.hint.startswith("`kubectl describe node g1` shows why Kubernetes keeps pods off it; or ")
    assert "tolerat" not in shortage.hint


def tolerating(**workloads: list[dict[str, Any]]) -> dict[str, Any]:
    """An environment that adds tolerations to the pods of workloads; `every`: of all of them."""
    names = {"*" if name == "every" else name: {"pod": {"tolerations": each}} for name, each in workloads.items()}
    return {**DC, "workloads": names}


OF_VISION = {"key": "team", "value": "vision", "effect": "NoSchedule"}
WORKLOADS = {name: {"kind": "service", "pool": "p", "image": "i"} for name in ("a", "b")}


@pytest.mark.parametrize(
    ("environment", "counted"),
    [
        (tolerating(every=[OF_VISION]), True),
        (tolerating(every=[{"key": "team", "operator": "Exists"}]), True),
        (tolerating(every=[{"operator": "Exists"}]), True),
        (tolerating(a=[OF_VISION], b=[{**OF_VISION, "operator": "Equal"}]), True),
        (tolerating(a=[OF_VISION]), False),  # pods of b would find no node
        (tolerating(every=[{**OF_VISION, "effect": "NoExecute"}]), False),
        (tolerating(every=[{**OF_VISION, "effect": "NoExecute", "tolerationSeconds": 60}]), False),
        (tolerating(every=[{"key": "team", "value": "audio"}]), False),
    ],
)
def test_tolerations_of_all_pods_of_a_pool_count_wherever_they_are_written(
    environment: dict[str, Any], *, counted: bool
) -> None:
    resolution = resolved({"p": H100}, environment, tainted(VISION), workloads=WORKLOADS)
    assert (resolution.deployment is not None) == counted
