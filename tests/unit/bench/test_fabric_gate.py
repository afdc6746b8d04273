"""A fabric is held against what is expected before workloads start on it."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl.advise import comparison
from meshctl.bench import fabric_gate
from meshctl.errors import MeasurementError
from meshctl.measure import nccl
from meshctl.measure.results import Result, Taken
from meshctl.model.deployment import Deployment, Pool
from meshctl.model.pods import own_images
from meshctl.resolve.placement import fabric_expectation
from tests.unit.advise.situations import deployment, recorded
from tests.unit.bench.fabric_pools import of_racks, of_two_nodes, of_unknown_machines, with_pool


@pytest.fixture
def deployed() -> Deployment:
    return with_pool(deployment())


def test_a_fall_back_to_tcp_is_an_error_and_says_what_to_do(deployed: Deployment) -> None:
    """Replayed: two p4d.24xlarge without EFA, as skypilot has measured them."""
    with pytest.raises(MeasurementError) as raised:
        fabric_gate.refuse_slow(deployed, deployed.pool("train"), recorded("nccl-tcp.txt"))
    assert raised.value.what == (
        "the fabric of pool train gives 4.13 GB/s, 5% of the expected 77.35; its workloads were not started in aws-east"
    )
    assert raised.value.why == (
        "an all-reduce of 2 GiB on 2 nodes; the mesh wants 80% of github.com/skypilot-org/skypilot,"
        " examples/aws_efa/README.md at 05e8e8fe, 2026-11-28; NCCL says: Using network Socket; NCCL fell back to TCP"
        " sockets over eth0: the fabric's adapters were not used"
    )
    assert "efa (vpc.amazonaws.com/efa); `meshctl up aws-east` measures again" in raised.value.hint
    assert "remove fabrics.backend.expect" in raised.value.hint
    assert raised.value.exit_code == 3


def test_a_fabric_that_is_fast_enough_is_no_error(deployed: Deployment) -> None:
    fabric_gate.refuse_slow(deployed, deployed.pool("train"), of_two_nodes((2**30, 10.0), (2**31, 0.8 * 77.35)))
    with pytest.raises(MeasurementError, match="79% of the expected"):
        fabric_gate.refuse_slow(deployed, deployed.pool("train"), of_two_nodes((2**31, 0.79 * 77.35)))


def test_sizes_of_which_nothing_is_expected_are_no_proof(deployed: Deployment) -> None:
    with pytest.raises(MeasurementError, match="no measured size has an expected value to compare with") as raised:
        fabric_gate.refuse_slow(deployed, deployed.pool("train"), of_two_nodes((2**20, 90.0)))
    assert "expected: 77.35 GB/s at 2 GiB" in raised.value.why


def test_of_machines_that_nobody_has_measured_the_bandwidth_of_their_network_is_expected() -> None:
    """Each of them has 3,200 Gbps: 400 GB/s, of the largest size that was measured."""
    pool = with_pool(deployment(), machine="p5.48xlarge", nodes=3).pool("train")
    verdict = fabric_expectation.verdict(pool, {2**30: 390.0, 2**33: 300.0})
    assert verdict is not None
    assert (verdict.expected.gbytes_per_s, verdict.gbytes_per_s, verdict.is_enough) == (400.0, 300.0, False)
    assert verdict.expected.basis == ("nominal: 3200 Gbps of each node, as nobody has published 3 nodes of it")


def test_the_pool_is_measured_before_its_first_workload_starts(deployed: Deployment) -> None:
    assert [pool.name for pool in fabric_gate.gated(deployed, None)] == ["train"]
    waiting = fabric_gate.waiting(deployed, fabric_gate.gated(deployed, None))
    assert [each.name for each in waiting.workloads if each.paused] == ["pretrain"]
    # after a measurement that found too little: the workloads wait, and the next `up` measures again
    assert [pool.name for pool in fabric_gate.gated(deployed, waiting)] == ["train"]


def test_what_is_up_is_not_measured(deployed: Deployment) -> None:
    assert fabric_gate.gated(deployed, deployed) == ()
    assert fabric_gate.gated(deployed, deployment()) == ()


def test_a_workload_that_runs_and_changes_its_pool_is_not_stopped_to_measure(deployed: Deployment) -> None:
    """It moves to a pool whose fabric has `expect`; or its pool has a new name."""
    elsewhere = tuple(
        each.model_copy(update={"pool": "web"}) if each.pool == "train" else each for each in deployed.workloads
    )
    up = deployed.model_copy(update={"workloads": elsewhere})
    assert fabric_gate.gated(deployed, up) == ()
    assert [pool.name for pool in fabric_gate.gated(deployed, up.paused(frozenset({"pretrain"})))] == ["train"]


@pytest.mark.parametrize(
    "changes",
    [
        {"expect": 0.0},
        {"nodes": 1},
        {"nodes": 0},
        {"gpus_per_node": 0},
        {"gpu_resource": "amd.com/gpu"},
        {"share": "mig-1g.10gb"},
    ],
    ids=["not asked for", "one node", "no nodes", "no accelerators", "of AMD", "slices"],
)
def test_nothing_is_measured_where_there_is_nothing_to_measure(changes: dict[str, Any]) -> None:
    assert fabric_gate.gated(with_pool(deployment(), **changes), None) == ()


def test_without_an_expectation_only_a_fall_back_to_tcp_is_refused(deployed: Deployment) -> None:
    """Replayed: two p4d.24xlarge without EFA; then what CoreWeave has measured on InfiniBand."""
    deployed, unknown = of_unknown_machines(deployed, "efa")
    assert [pool.name for pool in fabric_gate.gated(deployed, None)] == ["train"]
    assert list(fabric_expectation.notes([unknown])) == [
        "fabrics.backend.expect: no expectation known for 2 nodes of acme.8x; `up` measures whether NCCL uses the"
        " fabric of pool train, and can't say whether it is fast"
    ]
    with pytest.raises(MeasurementError) as raised:
        fabric_gate.refuse_slow(deployed, unknown, recorded("nccl-tcp.txt"))
    assert raised.value.what == (
        "NCCL does not use the fabric of pool train; its workloads were not started in aws-east"
    )
    assert raised.value.why.startswith("measured: 4.04 GB/s at 0.5 GiB,")
    assert "NCCL fell back to TCP sockets over eth0" in raised.value.why
    assert "how much 2 nodes of acme.8x can give is not known" in raised.value.why
    with pytest.raises(MeasurementError, match="no all-reduce was measured"):
        fabric_gate.refuse_slow(deployed, unknown, [])

    results = recorded("nccl-coreweave-h100.txt")
    verdict = fabric_gate.refuse_slow(deployed, unknown, results)
    assert verdict is None
    assert fabric_gate.outcome(unknown, verdict, results) == (
        "NCCL uses the fabric of pool train, which gives 386.6 GB/s: whether that is much for 2 nodes of acme.8x is"
        " not known"
    )


def test_a_plain_network_of_which_nothing_is_known_is_not_measured(deployed: Deployment) -> None:
    """NCCL uses TCP there in any case."""
    deployed, unknown = of_unknown_machines(deployed, "ethernet")
    assert fabric_gate.gated(deployed, None) == ()
    assert list(fabric_expectation.notes([unknown])) == [
        "fabrics.backend.expect: no expectation known for 2 nodes of acme.8x; the workloads of pool train start"
        " unmeasured"
    ]


@pytest.mark.parametrize(
    ("pool", "expected"),
    [
        (of_racks(18, nvlink="rack"), 846.82),
        (of_racks(36, nvlink="rack"), 793.06),
        (of_racks(18, nvlink=""), None),
        (of_racks(18, nvlink="", gbps=1600), 200.0),
        (of_racks(18, nvlink="rack", model="GB300", machine="gb300-4x"), 900.0),
        (of_racks(18, nvlink="rack", model="NVIDIA-GB300", machine="4 x NVIDIA-GB300", gbps=3200), 900.0),
        (of_racks(54, nvlink="rack", model="GB300", machine="gb300-4x", gbps=3200), 400.0),
        (of_racks(18, nvlink="rack", model="Vera Rubin", machine="verarubin-4x-e"), None),
    ],
    ids=["rack", "two racks", "network, unknown", "network", "GB300", "given", "three racks", "unknown NVLink"],
)
def test_of_racks_is_expected_what_carries_their_all_reduce(pool: Pool, expected: float | None) -> None:
    """What CoreWeave has measured went over NVLink. Without `nvlink: rack` the network carries it, at a quarter:
    197 GB/s between GB200 of three racks with InfiniBand alone (NVIDIA/nccl#1801), 387 between GB300 with 3,200 Gbps of
    RoCE (NVIDIA/aicr#1413)."""
    assert [each.gbytes_per_s for each in fabric_expectation.expectations(pool)] == (
        [expected] if expected is not None else []
    )


@pytest.mark.parametrize(("is_one_rack", "expected"), [(True, 900.0), (False, 400.0)])
def test_given_nodes_of_several_racks_are_held_against_the_network(is_one_rack: bool, expected: float) -> None:
    """A pool of existing nodes takes those of several NVLink domains where no domain has as many as it wants."""
    pool = of_racks(4, nvlink="rack", model="NVIDIA-GB300", machine="4 x NVIDIA-GB300", gbps=3200)
    assert pool.fabric is not None
    fabric = pool.fabric.model_copy(update={"is_one_rack": is_one_rack})
    given = pool.model_copy(update={"node_names": ("n0", "n1", "n2", "n3"), "fabric": fabric})
    assert [each.gbytes_per_s for each in fabric_expectation.expectations(given)] == [expected]


def test_a_rack_without_shared_nvlink_is_not_held_against_one_with_it() -> None:
    without = of_racks(18, nvlink="")
    (note,) = fabric_expectation.notes([without])
    assert "18 nodes of gb200-4x that share no NVLink with each other; `up` measures whether NCCL uses" in note
    over_network = of_racks(18, nvlink="", gbps=1600)
    verdict = fabric_expectation.verdict(over_network, {2**33: 196.7})
    assert verdict is not None
    assert verdict.is_enough
    fallen = fabric_expectation.verdict(of_racks(18, nvlink="rack"), {2**33: 196.7})  # without an IMEX channel
    assert fallen is not None
    assert not fallen.is_enough


def test_check_says_what_up_will_measure(deployed: Deployment) -> None:
    (note,) = fabric_expectation.notes(deployed.pools)
    assert note.startswith(
        "`up` measures the fabric of pool train before its first workloads start, and wants 80% of 77.35 GB/s (github"
    )
    single = with_pool(deployment(), nodes=1).pools
    assert list(fabric_expectation.notes(single)) == [
        "fabrics.backend.expect: pool train has one node, and nothing is measured"
    ]


def test_a_mirror_needs_the_image_only_where_up_measures(deployed: Deployment) -> None:
    image = own_images.nccl_tests("efa")
    assert image in own_images.of(deployed)
    assert image not in own_images.of(with_pool(deployment(), expect=0.0))


@pytest.mark.parametrize(
    ("shared_by", "verdict"),
    [({"nvlink": "rack"}, "as expected"), ({"nvlink": "node"}, "no expectation known"), ({}, "as expected")],
)
def test_what_is_shown_of_a_rack_is_held_against_racks_that_share_as_much(
    shared_by: dict[str, str], verdict: str
) -> None:
    """An output that was read from a file doesn't say it: others measure racks with NVLink."""
    taken = Taken(machine="gb200-4x", date="2026-11-29", source="a test")
    setting = {"ranks": "72", "size_bytes": str(2**33), "subject": "pool/train", **shared_by}
    row = Result(what="fabric", metric=nccl.ALL_REDUCE, value=840.0, unit="GB/s", taken=taken, setting=setting)
    (shown,) = comparison.rows({"cw": [row]}, {})
    assert shown.verdict == verdict
