"""`accelerator` as a list of alternatives, and without a model: which is taken, on which nodes, and what is said."""

from __future__ import annotations

from typing import Any

from meshctl.model.deployment import Pool, Resolution
from meshctl.model.observed import Facts, ObservedNode
from tests.unit.resolve.meshes import AWS, CW, DC, gap, node, reason, resolved

L4_OR_A100 = [
    {"model": "L4", "count": 8},
    {"model": "A100", "count": 4},
    {"model": "A100", "memory": "80GB", "count": 2},
]
ANY_80GB = {"memory": "80GB", "count": 8}


def asked(accelerator: object, environment: dict[str, Any], facts: Facts | None = None, **more: Any) -> Resolution:
    return resolved({"p": {"nodes": 2, "accelerator": accelerator}}, environment, facts, **more)


def pool(found: Resolution) -> Pool:
    assert found.deployment is not None, found.gaps
    return found.deployment.pools[0]


def of_model(model: str, *names: str, memory_gib: float = 80, **more: Any) -> tuple[ObservedNode, ...]:
    own = {"gpu_model": model, "gpu_memory_gib": memory_gib, "gpu_count": 8} | more
    return tuple(node(name, **own) for name in names)


def names(found: Resolution) -> tuple[str, ...]:
    return pool(found).node_names


# Machine types


def test_the_first_alternative_that_some_machine_fits() -> None:
    assert pool(asked(L4_OR_A100, AWS)).machine == "g6.48xlarge"
    assert pool(asked(L4_OR_A100, CW)).machine == "gd-8xa100-i128"
    assert pool(asked(L4_OR_A100[1:], AWS)).machine == "p4d.24xlarge"
    assert pool(asked(L4_OR_A100[2:], AWS)).machine == "p4de.24xlarge"


def test_a_list_of_one_is_what_it_holds() -> None:
    alone = {"model": ["H100", "A100"], "count": 8}
    for environment in (AWS, CW, DC):
        assert asked([alone], environment) == asked(alone, environment)
    nothing = {"model": "H900", "count": 8}
    assert asked([nothing], AWS).gaps == asked(nothing, AWS).gaps


def test_what_was_preferred_is_said() -> None:
    found = asked(L4_OR_A100, CW)
    assert "pool p: 4 x A100 is taken, as this environment does not have 8 x L4" in found.notes
    assert reason(found, "gd-8xh100ib-i128") == "for 8 x L4: H100, wanted L4; for 4 x A100: H100, wanted A100"
    assert not [note for note in asked(L4_OR_A100, AWS).notes if "is taken" in note]


def test_no_alternative_is_a_gap_that_names_all() -> None:
    found = asked([{"model": "L4", "count": 16}, {"model": "H100", "memory": "1TB", "count": 8}], AWS)
    told = gap(found, "pool/p")
    assert told.wanted == "16 x L4, or 8 x H100 (931.3 GiB per GPU); with amd64, on-demand"
    assert told.best.startswith(
        "for 16 x L4: g6.48xlarge: 8 x L4, wanted 16; for 8 x H100 (931.3 GiB per GPU): p5.48xlarge: "
    )
    assert "; or ask for less accelerator memory, or another model" in told.hint


def test_memory_without_a_model_is_the_cheapest_with_as_much() -> None:
    assert pool(asked(ANY_80GB, AWS)).machine == "p4de.24xlarge"
    assert pool(asked({"memory": "120GB", "count": 8}, AWS)).gpu_model == "H200"
    assert reason(asked(ANY_80GB, AWS), "m7i.4xlarge") == "no GPU, wanted any accelerator"
    assert reason(asked(ANY_80GB, AWS), "g6f.large") == "only 0.125 of a L4"
    told = gap(asked({"memory": "1TB", "count": 8}, AWS), "pool/p")
    assert told.wanted == "8 accelerators of any model, 931.3 GiB per GPU, amd64, on-demand"
    assert told.hint.startswith("ask for less accelerator memory")


def test_a_pod_that_asks_for_more_than_the_taken_alternative_has_is_a_gap() -> None:
    workload = {"kind": "inference", "pool": "p", "image": "i", "resources": {"accelerators": 8}}
    listed = [{"model": "L4", "count": 16}, {"model": "L4", "count": 4}]
    found = asked(listed, AWS, workloads={"w": workload})
    assert gap(found, "workload/w").best == "g6.12xlarge of pool p has 4"


# Nodes of a given cluster

A100S = of_model("NVIDIA-A100-SXM4-80GB", "a1", "a2", "a3")
L4S = of_model("NVIDIA-L4", "l1", "l2", memory_gib=22.5)


def test_all_nodes_of_a_pool_are_of_one_alternative() -> None:
    assert names(asked(L4_OR_A100, DC, Facts(nodes=(*A100S, *L4S)))) == ("l1", "l2")
    found = asked(L4_OR_A100, DC, Facts(nodes=(*A100S, L4S[0])))
    assert names(found) == ("a1", "a2")
    assert pool(found).machine == "gpu-node-a100"
    assert "pool p: 4 x A100 is taken, as this environment does not have 8 x L4" in found.notes
    assert reason(found, "l1") == "for 8 x L4: fits, and too few others do; for 4 x A100: NVIDIA-L4, wanted A100"


def test_a_pool_stays_on_the_alternative_whose_nodes_it_has() -> None:
    own = of_model("NVIDIA-A100-SXM4-80GB", "a1", "a2", labels={"meshctl.dev/mesh": "m", "meshctl.dev/pool": "p"})
    found = asked(L4_OR_A100, DC, Facts(nodes=(*own, *L4S)))
    assert names(found) == ("a1", "a2")
    stays = "pool p: it stays on its nodes with 4 x A100, whether or not there are nodes with 8 x L4 by now"
    assert [note for note in found.notes if note.startswith("pool p: ")] == [stays]


def test_too_few_nodes_for_each_alternative() -> None:
    found = asked(L4_OR_A100, DC, Facts(nodes=(A100S[0], L4S[0])))
    told = gap(found, "pool/p")
    assert told.wanted.startswith("2 nodes with 8 x L4, or 4 x A100, or 2 x A100 (74.5 GiB per GPU); with amd64")
    assert told.best.startswith("for 8 x L4: 1 nodes: l1; for 4 x A100: 1 nodes: a1; for 2 x A100 (74.5 GiB per GPU):")
    assert told.hint == "lower the pool's nodes, add nodes to the cluster, or free some from another pool"


def test_a_pool_with_a_gap_has_taken_nothing() -> None:
    found = asked(L4_OR_A100, DC, Facts(nodes=A100S[:1]))
    assert gap(found, "pool/p").best.startswith("for 8 x L4: nothing; for 4 x A100: 1 nodes: a1;")
    assert not [note for note in found.notes if "is taken" in note]


def test_memory_without_a_model_takes_nodes_of_one_model() -> None:
    h100s = of_model("NVIDIA-H100-80GB-HBM3", "h1", "h2")
    found = asked(ANY_80GB, DC, Facts(nodes=(A100S[0], *h100s, *L4S)))
    assert names(found) == ("h1", "h2")
    assert (pool(found).gpu_model, pool(found).gpus_per_node) == ("NVIDIA-H100-80GB-HBM3", 8)
    assert reason(found, "l1") == "22.5 GiB per GPU, wanted 74.5 GiB"


def test_memory_without_a_model_counts_whole_accelerators_of_known_memory() -> None:
    parts = of_model("NVIDIA-H100-80GB-HBM3-SHARED", "s1")
    unknown = of_model("NVIDIA-H100-80GB-HBM3", "u1", memory_gib=0)
    found = asked(ANY_80GB, DC, Facts(nodes=(*parts, *unknown, *A100S, node("c1"))))
    assert names(found) == ("a1", "a2")
    assert reason(found, "s1").startswith("its devices are parts of accelerators")
    assert reason(found, "u1") == "memory per GPU not known, wanted 74.5 GiB"
    assert reason(found, "c1") == "no GPU, wanted any accelerator"


def test_memory_without_a_model_may_be_of_any_vendor_that_taints_its_nodes() -> None:
    taint = {"key": "amd.com/gpu", "value": "", "effect": "NoSchedule"}
    amd = of_model("AMD_Instinct_MI300X_OAM", "m1", "m2", memory_gib=192, gpu_resource="amd.com/gpu", taints=(taint,))
    assert pool(asked(ANY_80GB, DC, Facts(nodes=amd))).gpu_resource == "amd.com/gpu"
    assert names(asked({"model": ["H100", "MI300X"], "count": 8}, DC, Facts(nodes=amd))) == ("m1", "m2")


def test_offline_it_is_the_first_alternative_that_pods_can_ask_for() -> None:
    listed = [{"model": "Gaudi3", "count": 8}, {"model": "MI300X", "count": 4}, {"model": "H100", "count": 8}]
    assert (pool(asked(listed, DC)).gpu_model, pool(asked(listed, DC)).gpus_per_node) == ("MI300X", 4)
    assert pool(asked(ANY_80GB, DC)).machine == "gpu-node"
    assert "Gaudi3 or Gaudi2 of Intel" in gap(asked([listed[0], {"model": "Gaudi2", "count": 8}], DC), "pool/p").wanted


def test_a_pool_with_more_choice_leaves_its_nodes_to_one_with_less() -> None:
    pools = {
        "a": {"nodes": 2, "accelerator": L4_OR_A100},
        "b": {"nodes": 2, "accelerator": {"model": "L4", "count": 8}},
    }
    found = resolved(pools, DC, Facts(nodes=(*A100S, *L4S)))
    assert found.deployment is not None
    assert {each.name: each.node_names for each in found.deployment.pools} == {"a": ("a1", "a2"), "b": ("l1", "l2")}
