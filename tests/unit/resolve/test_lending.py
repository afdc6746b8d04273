"""A pool lends idle nodes to burst jobs of pools with the same hardware, where there is Kueue to count them."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl.model.served_apis import OLDER_CLUSTER_QUEUE
from tests.unit.resolve.lending_meshes import SERVE, TRAIN, chat, deployed, lent, sweep
from tests.unit.resolve.meshes import AWS, CW, DC, gap, resolved
from tests.unit.resolve.test_resolve_fit import service


def test_a_burst_job_may_borrow_from_a_pool_with_the_same_hardware() -> None:
    deployment = deployed(pretrain=service(1, "training", accelerators=8) | {"pool": "train"})
    assert deployment.workload("sweep").lenders == ("serve",)
    assert deployment.pool("serve").lends_nodes == 2
    assert {each.name: each.queue for each in deployment.workloads} == {
        "chat": "serve",
        "sweep": "train",
        "pretrain": "train",  # its nodes are counted as well, or Kueue would give them twice
    }


def test_what_asks_for_no_accelerators_is_not_counted() -> None:
    deployment = deployed(page=chat(resources={"cpu": 1}))
    assert deployment.workload("page").queue == ""


def test_a_mesh_in_which_no_pool_lends_has_no_queues() -> None:
    deployment = deployed(serve={**SERVE, "lend": None}, sweep=None)
    assert [each.queue for each in deployment.workloads] == [""]


def test_a_job_that_may_borrow_need_not_find_room_beside_others_in_its_own_pool() -> None:
    gang = service(1, "training", accelerators=8) | {"pool": "train"}
    both: dict[str, Any] = {"pretrain": gang, "second": {**gang, "burst": True}}
    assert lent(**both, sweep=None).deployment is not None
    assert lent(**both, sweep=None, serve={**SERVE, "lend": None}).deployment is None


def test_a_job_that_has_room_nowhere_is_a_gap() -> None:
    found = gap(lent(sweep=sweep(replicas=3)), "workload/sweep")
    assert found.wanted == "room for 3 pods at once, on pool train or on lent nodes"
    assert found.best == "2 have room on one pool (train, serve)"


@pytest.mark.parametrize(
    ("served", "best"),
    [
        ((), "the cluster serves no kueue.x-k8s.io/v1beta2: it has no Kueue of release 0.15 or newer"),
        (
            (OLDER_CLUSTER_QUEUE,),
            "its Kueue is older than 0.15: it serves kueue.x-k8s.io/v1beta1 and not v1beta2",
        ),
    ],
)
def test_without_a_kueue_that_can_count_it_is_a_gap_with_the_way_out(served: tuple[str, ...], best: str) -> None:
    found = gap(lent(served=served), "pool/serve")
    assert found.best == best
    assert "helm install kueue" in found.hint


def test_where_the_cluster_is_made_nothing_is_lent_and_it_is_said() -> None:
    resolution = lent(AWS)
    assert resolution.deployment is not None, resolution.gaps
    assert resolution.deployment.pool("serve").lends_nodes == 0
    assert {each.queue for each in resolution.deployment.workloads} == {""}
    assert any(note.startswith("pool/serve: lends nothing here") for note in resolution.notes)


@pytest.mark.parametrize("environment", [AWS, CW], ids=["aws", "coreweave"])
def test_before_kueue_is_there_a_burst_job_without_room_waits_and_keeps_nobody_from_coming_up(
    environment: dict[str, Any],
) -> None:
    """`helm install` needs the cluster, and the first `up` makes it."""
    gang = service(1, "training", accelerators=8) | {"pool": "train"}
    first = lent(environment, served=(), sweep=sweep(replicas=2), pretrain=gang)
    assert first.deployment is not None, first.gaps
    found = first.deployment.workload("sweep")
    assert (found.queue, found.lenders) == ("train", ())
    assert first.deployment.workload("pretrain").queue == ""
    beside_another = lent(environment, served=(), sweep=None, pretrain=gang, second={**gang, "burst": True})
    assert beside_another.deployment is not None, beside_another.gaps
    assert {each.name: each.queue for each in beside_another.deployment.workloads if each.is_job} == {
        "pretrain": "",
        "second": "train",
    }
    (note,) = [each for each in first.notes if each.startswith("workload/sweep: ")]
    assert "it waits until Kueue is in the cluster and `up` was run again, and may then borrow from serve" in note


def test_before_kueue_is_there_a_burst_job_with_room_starts_as_ever_and_one_without_any_is_a_gap() -> None:
    assert deployed(environment=AWS).workload("sweep").queue == ""
    too_many = lent(AWS, sweep=sweep(replicas=3))
    assert gap(too_many, "workload/sweep").wanted.startswith("3 pods")
    unequal = lent(AWS, serve={**SERVE, "accelerator": {"model": "H200", "count": 8}}, sweep=sweep(replicas=2))
    assert unequal.deployment is None, "nobody will ever lend to it"


def test_an_existing_cluster_in_which_nodes_are_made_says_what_it_lacks() -> None:
    resolution = lent(CW)
    assert any("helm install kueue" in note for note in resolution.notes)


def test_the_least_replicas_have_room_beside_all_that_is_lent() -> None:
    found = gap(lent(chat=chat(replicas=2)), "pool/serve")
    assert (found.wanted, found.best) == ("up to 2 nodes lent", "1: the least replicas of chat take 2 of 3 nodes")
    assert found.hint.startswith("write `lend: {upTo: 1}`")
    assert lent(chat=chat(replicas={"min": 1, "max": 3})).gaps == ()


def test_another_queue_would_count_the_nodes_twice() -> None:
    environment = {**DC, "workloads": {"sweep": {"queue": "research"}}}
    found = gap(lent(environment), "workload/sweep")
    assert found.wanted == "the queue research of Kueue"
    labelled = {**DC, "workloads": {"chat": {"labels": {"kueue.x-k8s.io/queue-name": "research"}}}}
    assert gap(lent(labelled), "workload/chat").wanted == "the queue research of Kueue"


def test_groups_of_pods_can_not_be_counted_yet() -> None:
    found = gap(lent(chat=chat(nodes=2), serve={**SERVE, "lend": {"upTo": 1}}), "workload/chat")
    assert found.wanted == "groups of pods on pool serve, which takes part in lending"


def test_unequal_pools_lend_each_other_nothing_and_it_is_said() -> None:
    resolution = resolved(
        {"serve": SERVE, "train": {**TRAIN, "accelerator": {"model": "H200", "count": 8}}},
        DC,
        workloads={"sweep": sweep()},
    )
    assert resolution.deployment is not None, resolution.gaps
    assert resolution.deployment.workload("sweep").lenders == ()
    assert any("its nodes are lent to nobody" in note for note in resolution.notes)
    assert any("`burst` has no effect" in note for note in resolution.notes)


def test_the_note_says_who_is_ended_and_that_no_budget_is_asked() -> None:
    (note,) = (each for each in lent().notes if each.startswith("pool/serve"))
    assert "lends up to 2 idle nodes to sweep" in note
    assert "PodDisruptionBudgets are not respected then" in note
