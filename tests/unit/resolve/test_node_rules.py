"""The nodes that environments.yaml lets the pods of a workload run on count when nodes are chosen."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl.model.observed import Facts, ObservedNode
from meshctl.resolve.placement import node_rules
from tests.unit.resolve.meshes import DC, gap, node, resolved
from tests.unit.resolve.test_resolve_fit import service

SSD = {"disk": "ssd"}


def affinity(*terms: dict[str, Any]) -> dict[str, Any]:
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(terms)}}
    return {"affinity": {"nodeAffinity": required}}


def expression(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"key": key, "operator": operator, **({"values": list(values)} if values else {})}


def up(nodes: int, pod: dict[str, Any], *seen: ObservedNode, replicas: int = 1, cpu: int = 1) -> Any:
    environment = {**DC, "workloads": {"w": {"pod": pod}}}
    facts = Facts(nodes=seen, pods_are_seen=True)
    return resolved({"p": {"nodes": nodes}}, environment, facts, workloads={"w": service(replicas, cpu=cpu)})


@pytest.mark.parametrize(
    "pod",
    [
        {"nodeSelector": SSD},
        affinity({"matchExpressions": [expression("disk", "In", "ssd", "nvme")]}),
        affinity({"matchFields": [expression("metadata.name", "In", "c3")]}),
    ],
    ids=["nodeSelector", "affinity to a label", "affinity to a name"],
)
def test_nodes_that_the_pods_can_run_on_are_chosen_first(pod: dict[str, Any]) -> None:
    assert up(1, pod, node("c1"), node("c2"), node("c3", labels=SSD)).pools[0].node_names == ("c3",)


def test_where_too_few_nodes_match_a_gap_says_so() -> None:
    resolution = up(2, {"nodeSelector": SSD}, node("c1"), node("c2", labels=SSD, cpu_cores=16), replicas=3, cpu=6)
    shortage = gap(resolution, "workload/w")
    assert shortage.wanted == "3 pods on nodes of pool p that environments.yaml lets them run on"
    assert shortage.best == "2 fit there: nodeSelector of `workloads.w.pod` matches 1 of its 2 nodes (c2)"
    assert "`kubectl label node c1 disk=ssd`" in shortage.hint
    enough = up(2, {"nodeSelector": SSD}, node("c1"), node("c2", labels=SSD, cpu_cores=16), replicas=2, cpu=6)
    assert enough.deployment is not None


def test_a_node_that_the_pool_has_stays_with_it() -> None:
    own = {"meshctl.dev/mesh": "m", "meshctl.dev/pool": "p"}
    seen = (node("c1", labels=own), node("c2", labels={**own, **SSD}), node("c3", labels=SSD))
    assert up(2, {"nodeSelector": SSD}, *seen).pools[0].node_names == ("c1", "c2")


@pytest.mark.parametrize(
    ("term", "fits"),
    [
        ({"matchExpressions": [expression("rack", "Exists"), expression("disk", "DoesNotExist")]}, True),
        ({"matchExpressions": [expression("rack", "NotIn", "7")]}, False),
        ({"matchExpressions": [expression("other", "NotIn", "7")]}, True),
        ({"matchExpressions": [expression("rack", "Gt", "6")]}, True),
        ({"matchExpressions": [expression("rack", "Lt", "7")]}, False),
        ({"matchExpressions": [expression("rack", "Near", "6")]}, True),
        ({}, False),
    ],
    ids=lambda value: str(value)[:60],
)
def test_expressions_are_read_as_the_scheduler_does(term: dict[str, Any], fits: bool) -> None:
    """One that nobody knows keeps no node out: the cluster's dry run refuses it."""
    assert node_rules.allows(affinity(term), node("c1", labels={"rack": "7"}), {}) is fits
    also = affinity(term, {"matchExpressions": [expression("rack", "Exists")]})
    assert node_rules.allows(also, node("c1", labels={"rack": "7"}), {}), "one of the terms is enough"


def test_labels_that_the_pool_gives_its_nodes_count() -> None:
    pod = affinity({"matchExpressions": [expression("meshctl.dev/pool", "In", "p")]})
    assert node_rules.allows(pod, node("c1"), {"meshctl.dev/pool": "p"})
