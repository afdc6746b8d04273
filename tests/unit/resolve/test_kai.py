"""Where environments.yaml names KAI Scheduler, it counts what pools lend: who borrows, and what it can't count."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from meshctl.model.observed import Facts
from meshctl.model.served_apis import CLUSTER_QUEUE, KAI, KAI_QUEUE
from tests.unit.resolve.lending_meshes import SERVE, chat, lent, sweep
from tests.unit.resolve.meshes import CW, DC, gap, gpu_node, resolved
from tests.unit.resolve.test_resolve_fit import service

KAI_DC: dict[str, Any] = {**DC, "lending": {"by": "kai"}}
WITH_KAI = (*KAI, CLUSTER_QUEUE)


def with_kai(environment: dict[str, Any] = KAI_DC, served: tuple[str, ...] = WITH_KAI, **more: Any) -> Any:
    return lent(environment, served, **more)


def queues(resolution: Any) -> dict[str, str]:
    assert resolution.deployment is not None, resolution.gaps
    assert not any(each.queue for each in resolution.deployment.workloads), "Kueue must not count as well"
    return {each.name: each.kai_queue for each in resolution.deployment.workloads}


def test_what_a_pool_owns_and_what_it_lends_are_two_queues() -> None:
    gang = service(1, "training", accelerators=8) | {"pool": "train"}
    assert queues(with_kai(pretrain=gang)) == {"chat": "m.serve", "sweep": "m.serve.lent", "pretrain": "m.train"}


def test_a_mesh_that_lends_nothing_knows_nothing_of_it() -> None:
    resolution = with_kai(serve={**SERVE, "lend": None}, sweep=None)
    assert set(queues(resolution).values()) == {""}
    assert resolution.deployment.kai is None


def test_without_the_key_kueue_counts_also_where_kai_is_there() -> None:
    resolution = with_kai(DC)
    assert {each.kai_queue for each in resolution.deployment.workloads} == {""}
    assert resolution.deployment.workload("chat").queue == "serve"


def test_a_job_borrows_from_the_pool_that_lends_the_most() -> None:
    pools = {"small": {**SERVE, "nodes": 1, "lend": {"upTo": 1}}, "large": SERVE, "train": {**SERVE, "nodes": 1}}
    pools["train"] = {**pools["train"], "lend": None}
    facts = Facts(nodes=tuple(gpu_node(f"g{number}") for number in range(1, 8)), served_apis=WITH_KAI)
    resolution = resolved(pools, KAI_DC, facts, workloads={"sweep": sweep()})
    assert resolution.deployment is not None, resolution.gaps
    assert resolution.deployment.workload("sweep").lenders == ("large",)
    assert resolution.deployment.workload("sweep").kai_queue == "m.large.lent"


def test_a_gang_of_several_nodes_borrows_nothing_and_it_is_said() -> None:
    gang = service(2, "training", accelerators=8) | {"pool": "train", "burst": True}
    resolution = with_kai(sweep=gang, train={**SERVE, "nodes": 2, "lend": None})
    assert resolution.deployment.workload("sweep").lenders == ()
    assert any("a gang of 2 pods borrows nothing here" in note for note in resolution.notes)


def test_a_job_that_is_larger_than_the_loan_stays_in_its_own_pool() -> None:
    train, serve = {**SERVE, "lend": None}, {**SERVE, "nodes": 2, "lend": {"upTo": 1}}
    resolution = with_kai(sweep=sweep(replicas=2), train=train, serve=serve)
    assert resolution.deployment is not None, resolution.gaps
    assert resolution.deployment.workload("sweep").lenders == ()
    assert any("needs more accelerators than any pool lends" in note for note in resolution.notes)


@pytest.mark.parametrize("environment", [KAI_DC, {**CW, "lending": {"by": "kai"}}], ids=["onprem", "coreweave"])
def test_without_kai_it_is_a_gap_with_the_way_out(environment: dict[str, Any]) -> None:
    none = gap(with_kai(environment, (CLUSTER_QUEUE,)), "pool/serve")
    assert none.best == "the cluster serves no scheduling.run.ai/v2: it has no KAI Scheduler, which `lending` names"
    assert "helm upgrade --install kai-scheduler" in none.hint
    assert gap(with_kai(environment, (KAI_QUEUE,)), "pool/serve").best.startswith(
        "its KAI Scheduler is older than 0.12"
    )


def test_nodes_in_another_part_of_the_cluster_are_a_gap() -> None:
    nodes = tuple(gpu_node(f"g{number}", labels={"kai.scheduler/node-pool": "gpus"}) for number in range(1, 6))
    facts = Facts(nodes=nodes, served_apis=WITH_KAI)
    workloads = {"chat": chat(), "sweep": sweep()}
    pools = {"serve": SERVE, "train": {**SERVE, "nodes": 1, "lend": None}}
    found = gap(resolved(pools, KAI_DC, facts, workloads=workloads), "pool/serve")
    assert "sees no node of another" in found.best
    assert found.hint.startswith("write `lending: {by: kai, nodePool: gpus}`")
    named = {**DC, "lending": {"by": "kai", "nodePool": "gpus"}}
    resolution = resolved(pools, named, facts, workloads=workloads)
    assert resolution.deployment is not None, resolution.gaps
    assert resolution.deployment.kai is not None
    assert resolution.deployment.kai.node_pool == "gpus"


@pytest.mark.parametrize(
    "override",
    [
        {"queue": "research"},
        {"pod": {"schedulerName": "volcano"}},
        {"labels": {"kai.scheduler/queue": "research"}},
        {"labels": {"kueue.x-k8s.io/queue-name": "research"}},
    ],
    ids=["queue", "scheduler", "label", "kueue-label"],
)
def test_whoever_else_places_the_pods_is_a_gap(override: dict[str, Any]) -> None:
    found = gap(with_kai({**KAI_DC, "workloads": {"sweep": override}}), "workload/sweep")
    assert "KAI Scheduler places all pods" in found.best


def test_accelerators_that_kai_counts_otherwise_are_a_gap() -> None:
    amd = {**SERVE, "accelerator": {"model": "MI300X", "count": 8}}
    nodes = tuple(
        gpu_node(f"g{number}", gpu_model="MI300X", gpu_memory_gib=192, gpu_resource="amd.com/gpu")
        for number in range(5)
    )
    pools = {"serve": amd, "train": {**amd, "nodes": 1, "lend": None}}
    workloads = {"chat": chat(), "sweep": sweep()}
    resolution = resolved(pools, KAI_DC, Facts(nodes=nodes, served_apis=WITH_KAI), workloads=workloads)
    assert gap(resolution, "pool/serve").wanted == "amd.com/gpu counted by KAI Scheduler"


def test_a_name_that_no_label_can_have_is_a_gap() -> None:
    long = "s" * 30
    facts = Facts(nodes=tuple(gpu_node(f"g{number}") for number in range(1, 6)), served_apis=WITH_KAI)
    pools = {long: SERVE, "train": {**SERVE, "nodes": 1, "lend": None}}
    found = gap(resolved(pools, KAI_DC, facts, workloads={"sweep": sweep()}, name="m" * 28), f"pool/{long}")
    assert found.best == "63 characters: its name is the value of a label of pods, and has 64"


def test_a_gang_is_left_to_kai() -> None:
    gang = service(2, "training", accelerators=8) | {"pool": "train"}
    gang["elastic"] = {"min": 1}
    resolution = with_kai(pretrain=gang, train={**SERVE, "nodes": 2, "lend": None})
    assert any("`elastic` has no effect where KAI Scheduler" in note for note in resolution.notes)
    assert not resolution.deployment.workload("pretrain").held_together
    assert any(
        "start together if KAI Scheduler of release 0.15 or newer, in its queue m.train, ensures it" in note
        for note in resolution.notes
    )


def test_all_of_a_burst_job_is_borrowed_and_it_is_said() -> None:
    assert any("also what runs on pool train" in note for note in with_kai().notes)


def test_what_a_job_must_do_at_its_signal_is_said() -> None:
    assert any("A pod that exits with 0 on the signal to end counts as completed" in note for note in with_kai().notes)
    assert not any("exits with 0" in note for note in with_kai(DC).notes)


def test_runai_is_refused_with_what_to_do() -> None:
    with pytest.raises(ValidationError, match="Run:ai makes the queues of its projects itself"):
        with_kai({**DC, "lending": {"by": "runai"}})
    with pytest.raises(ValidationError, match="can only be used with `by: kai`"):
        with_kai({**DC, "lending": {"by": "kueue", "nodePool": "gpus"}})
