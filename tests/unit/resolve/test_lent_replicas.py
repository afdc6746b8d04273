"""What serves fills its own pool first, and may have more replicas on nodes that other pools lend."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl.model.deployment import Resolution, Workload
from meshctl.model.observed import Facts, Requests
from meshctl.model.served_apis import CLUSTER_QUEUE, KAI_QUEUE, KAI_TOPOLOGY
from tests.unit.resolve.lending_meshes import BURST, NODES, TRAIN, bursting, chat, serving_on_lent_nodes
from tests.unit.resolve.meshes import AWS, DC, H100, resolved

KAI = {**DC, "lending": {"by": "kai"}}
KAI_APIS = (KAI_QUEUE, KAI_TOPOLOGY)


def chat_of(resolution: Resolution) -> Workload:
    assert resolution.deployment is not None, resolution.gaps
    return resolution.deployment.workload("chat")


def notes_on_chat(resolution: Resolution) -> str:
    return "\n".join(note for note in resolution.notes if note.startswith("workload/chat: "))


def test_what_has_no_room_on_the_own_pool_is_on_lent_nodes() -> None:
    workload = serving_on_lent_nodes().workload("chat")
    assert (workload.own_at_most, workload.lent_replicas, workload.at_most) == (3, 1, 4)
    assert (workload.lenders, workload.queue) == (("train",), "serve")
    assert "room for 3 replicas; load may bring 1 more on idle nodes of train" in notes_on_chat(bursting())


def test_nodes_that_the_own_pool_may_get_come_first() -> None:
    resolution = bursting(serve={**H100, "nodes": {"min": 3, "max": 4}})
    assert chat_of(resolution).lent_replicas == 0
    assert "its own pool has room for all 4 replicas, so that it borrows nothing for now" in notes_on_chat(resolution)


def test_what_is_full_at_the_moment_changes_no_pod() -> None:
    """Otherwise an `up` would roll what serves because somebody else's pod is on a node."""
    more_own_nodes = serving_on_lent_nodes(serve={**H100, "nodes": {"min": 3, "max": 4}})
    one, other = serving_on_lent_nodes().workload("chat"), more_own_nodes.workload("chat")
    assert (one.lent_replicas, other.lent_replicas) == (1, 0)
    assert (one.queue, one.lenders) == (other.queue, other.lenders) == ("serve", ("train",))


def test_what_else_serves_there_keeps_its_room() -> None:
    page = {**chat(), "replicas": 1}
    assert chat_of(bursting(page=page)).own_at_most == 2


def test_small_pods_beside_one_that_fills_a_node() -> None:
    """Two nodes of eight, of which the other workload has one."""
    small = {**chat(**{**BURST, "replicas": {"min": 1, "max": 16}}), "resources": {"accelerators": 1}}
    resolution = bursting(chat=small, page=chat(), serve={**H100, "nodes": 2})
    assert chat_of(resolution).at_most == 8


def test_only_pods_that_take_whole_nodes_borrow() -> None:
    small = {**chat(**{**BURST, "replicas": {"min": 1, "max": 9}}), "resources": {"accelerators": 4}}
    resolution = bursting(chat=small)
    assert (chat_of(resolution).lenders, chat_of(resolution).at_most) == ((), 6)
    assert "pods that serve borrow only if they take a whole node" in notes_on_chat(resolution)


def test_nodes_that_environments_yaml_forbids_are_not_borrowed() -> None:
    here = {"nodeSelector": {"kubernetes.io/hostname": "g1"}}
    labels = [{"kubernetes.io/hostname": node.name} for node in NODES]
    nodes = tuple(node.model_copy(update={"labels": each}) for node, each in zip(NODES, labels, strict=True))
    environment = {**DC, "workloads": {"chat": {"pod": here}}}
    pools = {"serve": {**H100, "nodes": 1}, "train": {**TRAIN, "nodes": 2, "lend": {"upTo": 1}}}
    facts = Facts(nodes=nodes, served_apis=(CLUSTER_QUEUE,))
    resolution = resolved(pools, environment, facts, workloads={"chat": chat(**BURST)})
    assert (chat_of(resolution).at_most, chat_of(resolution).lent_places) == (1, 0)
    assert "environments.yaml lets its pods run on no node that is lent" in notes_on_chat(resolution)


def test_no_more_than_what_is_lent() -> None:
    resolution = bursting(chat=chat(**{**BURST, "replicas": {"min": 1, "max": 9}}))
    assert chat_of(resolution).at_most == 4
    assert "has 4 replicas at most here, and not 9" in notes_on_chat(resolution)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"train": {**TRAIN, "nodes": 2}}, "no other pool lends nodes with its hardware and fabric"),
        ({"environment": AWS}, "nothing is lent yet: meshctl makes the cluster without Kueue"),
        ({"environment": KAI, "served": KAI_APIS}, "KAI Scheduler lends nodes to jobs alone"),
    ],
    ids=["nobody lends", "no Kueue yet", "KAI"],
)
def test_where_nothing_is_lent_to_it_the_mesh_comes_up_with_fewer_replicas(changes: dict[str, Any], why: str) -> None:
    resolution = bursting(**changes)
    workload = chat_of(resolution)
    assert (workload.at_most, workload.lent_replicas, workload.lenders) == (3, 0, ())
    assert why in notes_on_chat(resolution)


def test_where_its_own_pool_has_room_for_the_least_alone_the_number_is_fixed() -> None:
    resolution = bursting(AWS, chat=chat(**{**BURST, "replicas": {"min": 3, "max": 6}}))
    workload = chat_of(resolution)
    assert (workload.replicas, workload.most_replicas, workload.has_range) == (3, 0, False)
    assert "has 3 replicas at most here, and not 6" in notes_on_chat(resolution)


def test_pods_of_others_on_its_nodes_change_nothing_either() -> None:
    """Its replicas that find no node are on lent ones until these pods end."""
    taken = NODES[0].model_copy(update={"taken": Requests(cpu=10)})
    large = chat(**BURST, resources={"accelerators": 8, "cpu": 60})
    pools = {"serve": {**H100, "nodes": 3}, "train": {**TRAIN, "nodes": 2, "lend": {"upTo": 1}}}
    facts = Facts(nodes=(taken, *NODES[1:]), served_apis=(CLUSTER_QUEUE,))
    resolution = resolved(pools, DC, facts, workloads={"chat": large})
    assert chat_of(resolution) == chat_of(bursting(chat=large))
    assert chat_of(resolution).own_at_most == 3


def test_a_migration_waits_for_no_lent_node_and_asks_for_one() -> None:
    deployment = serving_on_lent_nodes().with_least({"chat": 4})
    workload = deployment.workload("chat")
    assert (workload.at_least, workload.pods, workload.lower_bound) == (3, 3, 4)


def test_lent_nodes_cost_nothing_of_their_own() -> None:
    with_burst, without = bursting(AWS), bursting(AWS, chat=chat(**{**BURST, "burst": False, "replicas": 3}))
    assert with_burst.most_hourly_usd == without.most_hourly_usd
