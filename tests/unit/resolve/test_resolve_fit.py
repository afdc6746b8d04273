"""Whether pods fit on the nodes of their pool: each of them, all of a workload, and workloads together."""

from __future__ import annotations

import random
from typing import Any

import pytest

from meshctl.model.observed import Facts
from meshctl.resolve.placement.packing import Pods, placeable
from tests.unit.resolve.meshes import AWS, CW, DC, H100, gap, node, resolved

WEB = {"p": {"nodes": 2, "cpu": {"cores": 16, "memory": "64GiB"}}}


def service(replicas: int = 1, kind: str = "service", **resources: Any) -> dict[str, Any]:
    count = {"nodes": replicas} if kind == "training" else {"replicas": replicas}
    return {"kind": kind, "pool": "p", "image": "i", "resources": resources, **count}


@pytest.mark.parametrize(
    ("pool", "workloads", "wanted", "best"),
    [
        (
            {"nodes": 2, "cpu": {"cores": 16, "memory": "64GiB"}},
            {"a": service(3, cpu=5), "b": service(4, cpu=5)},
            "35 CPU cores for a and b together",
            "on its 2 nodes (m7i.4xlarge)",
        ),
        (
            {"nodes": 2, "cpu": {"cores": 16, "memory": "64GiB"}},
            {"a": service(2, memory="30GiB"), "b": service(3, memory="25GiB")},
            "135 GiB memory for a and b together",
            "on its 2 nodes (m7i.4xlarge)",
        ),
        (
            {"nodes": 3, "accelerator": {"model": "H100", "count": 8}},
            {"a": service(2, accelerators=5), "b": service(2, accelerators=5)},
            "room for 2 pods of a (5 accelerators each) and 2 pods of b (5 accelerators each)",
            "3 of the 4 pods fit on its 3 nodes (p5.48xlarge)",
        ),
        (
            {"nodes": 2, "accelerator": {"model": "H100", "count": 8}},
            {"gang": service(2, "training", accelerators=2), "b": service(2, accelerators=7)},
            "18 accelerators for gang and b together",
            "16 on its 2 nodes (p5.48xlarge)",
        ),
        (
            {"nodes": 2, "accelerator": {"model": "H100", "count": 8}},
            {"gang": service(1, "training", accelerators=2), "b": service(2, accelerators=7)},
            "room for 1 pod of gang (2 accelerators) and 2 pods of b (7 accelerators each)",
            "2 of the 3 pods fit on its 2 nodes (p5.48xlarge)",
        ),
        (
            {"nodes": 2, "accelerator": {"model": "H100", "count": 8}},
            {"gang": service(2, "training", accelerators=1), "b": service(7, accelerators=2)},
            "room for 2 pods of gang (1 accelerators each) and 7 pods of b (2 accelerators each)",
            "8 of the 9 pods fit on its 2 nodes (p5.48xlarge)",
        ),
    ],
)
def test_workloads_that_do_not_fit_together(
    pool: dict[str, Any], workloads: dict[str, Any], wanted: str, best: str
) -> None:
    found = resolved({"p": pool}, AWS, workloads=workloads)
    assert found.deployment is None
    told = gap(found, "pool/p")
    assert told.wanted == wanted
    assert best in told.best
    assert told.hint == "raise the pool's nodes, or give one of the workloads a pool of its own"


def test_pods_of_one_node_share_its_efa_devices() -> None:
    """Eight GPUs and one EFA device: each pod with a GPU asks for one."""
    pool = {"nodes": 1, "accelerator": {"model": "A10G", "count": 8}, "fabric": "f"}
    fabric = {"f": {"kind": "rdma", "bandwidth": "100Gbps"}}
    found = resolved({"p": pool}, AWS, fabrics=fabric, workloads={"a": service(8, accelerators=1)})
    assert gap(found, "workload/a").best == "1 fit on its 1 node (g5.48xlarge), limited by RDMA devices"
    assert resolved({"p": pool}, AWS, fabrics=fabric, workloads={"a": service(1, accelerators=8)}).deployment


def test_whole_nodes_wanted_twice_are_a_gap() -> None:
    whole = service(2, cpu=14, memory="50GiB")
    found = resolved(WEB, AWS, workloads={"a": whole, "b": whole})
    assert gap(found, "pool/p").wanted == "56 CPU cores for a and b together"


def test_staged_data_of_several_workloads_shares_the_disk() -> None:
    store = {"w": {"kind": "object", "size": "100GiB"}}
    reader = {**service(2, cpu=1), "mounts": {"w": {"path": "/w", "readOnly": True}}}
    found = resolved(WEB, AWS, storage=store, workloads={"a": reader, "b": reader})
    assert gap(found, "pool/p").wanted == "400 GiB local disk for a and b together"


def test_workloads_that_fit_together_in_some_way() -> None:
    """Each of these is missed by first-fit-decreasing or by filling nodes one after the other."""
    pools = {"p": {**H100, "nodes": 2}}
    for workloads in (
        {"a": service(2, accelerators=4), "b": service(4, accelerators=2)},
        {"gang": service(2, "training", accelerators=3), "b": service(2, accelerators=5)},
        {"gang": service(2, "training", accelerators=1), "b": service(6, accelerators=2)},
    ):
        assert resolved(pools, AWS, workloads=workloads).deployment is not None, workloads


def test_a_packing_that_needs_an_even_spread_is_found() -> None:
    assert placeable((Pods(2, (4.0,)), Pods(4, (3.0,))), (((10.0,), 2),)) == 6


def test_no_gap_where_a_packing_exists() -> None:
    """Nodes cut into pods at random always hold those pods."""
    chance = random.Random(7)  # noqa: S311
    for _ in range(300):
        nodes, sizes = chance.randint(1, 6), [chance.randint(1, 12) for _ in range(4)]
        counts: dict[tuple[float, float], int] = {}
        for _node in range(nodes):
            cores, memory = 24, 24
            while (fitting := [size for size in sizes if size <= min(cores, memory)]) and chance.random() < 0.9:
                cores, memory = cores - (size := chance.choice(fitting)), memory - (other := chance.choice(fitting))
                counts[size, other] = counts.get((size, other), 0) + 1
        pods = tuple(Pods(count, wants) for wants, count in counts.items())
        assert placeable(pods, (((24.0, 24.0), nodes),)) == sum(kind.count for kind in pods)


def test_many_pods_are_counted_and_not_listed() -> None:
    pods = tuple(Pods(100_000, (float(size), 1.0)) for size in (2, 3, 5, 7, 11, 13, 17))
    assert placeable(pods, (((64.0, 110.0), 100_000),)) == 700_000
    assert placeable(pods, (((64.0, 110.0), 10_000),)) < 700_000


@pytest.mark.parametrize(
    ("pool", "resources", "wanted", "best"),
    [
        (
            {"nodes": 1, "cpu": {"cores": 16, "memory": "64GiB"}},
            {"cpu": 16},
            "16 CPU cores per pod",
            "m7i.4xlarge of pool p has 15.74 for pods (of 16)",
        ),
        (
            {"nodes": 1, "cpu": {"cores": 16, "memory": "64GiB"}},
            {"memory": "64GiB"},
            "64 GiB memory per pod",
            "m7i.4xlarge of pool p has 61.9 GiB for pods (of 64 GiB)",
        ),
        (
            {**H100, "nodes": 1, "fabric": "f"},
            {"accelerators": 8, "memory": "1970GiB"},
            "1970 GiB memory per pod",
            "p5.48xlarge of pool p has 1957.3 GiB for pods (of 2048 GiB)",
        ),
    ],
)
def test_a_pod_does_not_get_the_whole_machine(
    pool: dict[str, Any], resources: dict[str, Any], wanted: str, best: str
) -> None:
    """finding B2: 1970 GiB and more fit on no p5"""
    found = resolved({"p": pool}, AWS, fabrics={"f": {"kind": "rdma"}}, workloads={"w": service(**resources)})
    told = gap(found, "workload/w")
    assert (told.wanted, told.best) == (wanted, best)


def test_two_halves_of_the_label_are_two_nodes() -> None:
    found = resolved(WEB, AWS, workloads={"w": service(4, cpu=8)})
    assert gap(found, "workload/w").best == "2 fit on its 2 nodes (m7i.4xlarge), limited by CPU cores"
    assert resolved(WEB, AWS, workloads={"w": service(4, cpu=7.75)}).deployment is not None


def test_memory_without_efa_has_no_huge_pages_to_give_away() -> None:
    pool = {"nodes": 1, "cpu": {"cores": 96, "memory": "768GiB"}}
    assert resolved({"p": pool}, AWS, workloads={"w": service(memory="743GiB")}).deployment is not None


def test_the_nodes_of_a_cluster_say_what_they_have_for_pods() -> None:
    facts = Facts(nodes=(node("c1", allocatable_cpu=63.2, allocatable_memory_gib=240),))
    pool = {"p": {"nodes": 1, "cpu": {"cores": 64}}}
    for asked, best in (
        ({"cpu": 64}, "63.2 for pods (of 64)"),
        ({"memory": "250GiB"}, "240 GiB for pods (of 500 GiB)"),
    ):
        assert best in gap(resolved(pool, DC, facts, workloads={"w": service(**asked)}), "workload/w").best
    assert resolved(pool, DC, facts, workloads={"w": service(cpu=63)}).deployment is not None


def test_coreweave_keeps_as_much_and_an_existing_cluster_is_taken_as_it_was_read() -> None:
    found = resolved({"p": {**H100, "nodes": 1}}, CW, workloads={"w": service(cpu=128)})
    assert gap(found, "workload/w").best == "gd-8xh100ib-i128 of pool p has 127.46 for pods (of 128)"
    facts = Facts(nodes=(node("c1"),))
    assert resolved({"p": {"nodes": 1}}, DC, facts, workloads={"w": service(cpu=64)}).deployment is not None
    assert resolved({"p": {"nodes": 1, "cpu": {"cores": 64}}}, DC, workloads={"w": service(cpu=64)}).deployment


def test_a_pools_minimum_is_the_machines_label() -> None:
    assert resolved({"p": {"nodes": 1, "cpu": {"cores": 16, "memory": "64GiB"}}}, AWS).pools[0].machine == "m7i.4xlarge"


def test_of_a_cluster_that_nobody_asked_only_its_own_sizes_are_unknown() -> None:
    """A pool's minimum is not what its nodes have; offline they may have more."""
    pool = {"p": {"nodes": 1, "cpu": {"cores": 16, "memory": "64GiB"}, "scratch": "100GB"}}
    two = {"a": service(1, cpu=10, memory="16GiB"), "b": service(1, cpu=10, memory="16GiB")}
    assert resolved(pool, DC, workloads=two).deployment is not None
    assert resolved(pool, DC, workloads={"a": service(1, cpu=20)}).deployment is not None
    facts = Facts(nodes=(node("c1", cpu_cores=16, memory_gib=64, scratch_gb=200),))
    assert gap(resolved(pool, DC, facts, workloads=two), "pool/p").wanted == "20 CPU cores for a and b together"


@pytest.mark.parametrize(("environment", "fit"), [(AWS, 234), (CW, 110)])
def test_a_node_has_room_for_so_many_pods(environment: dict[str, Any], fit: int) -> None:
    pool = {"p": {"nodes": 1, "cpu": {"cores": 32, "memory": "128GiB"}}}
    small: dict[str, Any] = {"cpu": 0.01, "memory": "16MiB"}
    assert resolved(pool, environment, workloads={"w": service(fit, **small)}).deployment is not None
    assert gap(resolved(pool, environment, workloads={"w": service(fit + 1, **small)}), "workload/w").best.endswith(
        "limited by pods"
    )
    own = Facts(nodes=(node("c1", allocatable_pods=300),))
    assert resolved({"p": {"nodes": 1}}, DC, own, workloads={"w": service(300, **small)}).deployment is not None
    assert gap(resolved({"p": {"nodes": 1}}, DC, own, workloads={"w": service(301, **small)}), "workload/w")


@pytest.mark.parametrize(
    ("model", "count", "nodes", "arch", "memory"),
    [(["H200", "B200"], 8, 1, "amd64", "1920GiB"), ("GB200", 4, 18, "arm64", "900GiB")],
)
def test_what_coreweave_asks_for_in_its_own_files_fits_on_its_nodes(
    model: object, count: int, nodes: int, arch: str, memory: str
) -> None:
    pool = {"nodes": nodes, "arch": arch, "accelerator": {"model": model, "count": count}}
    environment = {**CW, "region": "US-EAST-01A"}
    workload = service(nodes, accelerators=count, memory=memory)
    assert resolved({"p": pool}, environment, workloads={"w": workload}).gaps == ()


def test_a_gap_about_memory_has_one_unit() -> None:
    pool = {"nodes": 1, "accelerator": {"model": "H200", "count": 8}}
    environment = {**CW, "region": "US-EAST-01A"}
    found = resolved({"p": pool}, environment, workloads={"w": service(accelerators=8, memory="2TiB")})
    told = gap(found, "workload/w")
    assert told.wanted == "2048 GiB memory per pod"
    assert told.best == "gd-8xh200ib-i128 of pool p has 2012.8 GiB for pods (of 2014.3 GiB)"


TWO_NODES = {"p": {**H100, "nodes": 2}}


@pytest.mark.parametrize(
    ("workloads", "wanted"),
    [
        # jobs that follow each other: none waits for a place for ever
        (
            {
                "getdata": service(1, "batch"),
                "prepdata": service(1, "batch", accelerators=1),
                "pretrain": service(2, "training", accelerators=8),
            },
            "",
        ),
        ({"a": service(2, "batch", accelerators=8), "b": service(2, "batch", accelerators=8)}, ""),
        # what serves never ends: a job that finds no place beside it never runs
        (
            {"chat": service(2, accelerators=7), "prep": service(1, "batch", accelerators=4)},
            "18 accelerators for chat and prep together",
        ),
        ({"chat": service(1, accelerators=8), "prep": service(1, "batch", accelerators=8)}, ""),
        (
            {"chat": service(1, accelerators=8), "train": service(2, "training", accelerators=8)},
            "24 accelerators for chat and train together",
        ),
        # training jobs of which one comes after another are never there together
        (
            {"a": service(2, "training", accelerators=8), "b": service(2, "training", accelerators=8)},
            "32 accelerators for a and b together",
        ),
        (
            {
                "a": service(2, "training", accelerators=8),
                "b": {**service(2, "training", accelerators=8), "after": ["a"]},
            },
            "",
        ),
        (
            {
                "a": service(2, "training", accelerators=8),
                "b": {**service(2, "training", accelerators=8), "after": ["a"]},
                "c": service(1, "training", accelerators=8),
            },
            "24 accelerators for a and c together",
        ),
    ],
)
def test_a_batch_job_is_counted_beside_what_never_ends_and_not_beside_other_jobs(
    workloads: dict[str, Any], wanted: str
) -> None:
    found = resolved(TWO_NODES, AWS, workloads=workloads)
    assert [each.wanted for each in found.gaps] == ([wanted] if wanted else [])


def test_the_last_jobs_of_two_chains_are_counted_together() -> None:
    """Both may be released at once, and each would hold nodes that the other one needs."""
    four_nodes = {"p": {**TWO_NODES["p"], "nodes": 4}}
    last = service(3, "training", accelerators=8)
    first = service(1, "training", accelerators=8)
    workloads = {"a": first, "b": {**last, "after": ["a"]}, "c": first, "d": {**last, "after": ["c"]}}
    found = resolved(four_nodes, AWS, workloads=workloads)
    assert [each.wanted for each in found.gaps] == ["48 accelerators for b and d together"]


def test_a_batch_job_that_is_too_large_for_its_pool_is_a_gap_all_the_same() -> None:
    found = resolved(TWO_NODES, AWS, workloads={"prep": service(3, "batch", accelerators=8)})
    assert gap(found, "workload/prep").wanted == "3 pods on pool p"
