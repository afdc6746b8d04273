"""What a gap names as the nearest machine, and what it says would help."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl.model.observed import Facts
from tests.unit.resolve.meshes import AWS, CW, DC, GB200, H100, gap, gpu_node, reason, resolved


@pytest.mark.parametrize(
    ("pool", "best"),
    [
        ({"cpu": {"cores": 100}}, "i3en.24xlarge: 96 cores, wanted 100"),
        ({"cpu": {"memory": "4TiB"}}, "i3en.24xlarge: 768 GiB memory, wanted 4096 GiB"),
        ({"scratch": "500TB"}, "i3en.24xlarge: 60000 GB local NVMe, wanted 500000 GB"),
        ({"fabric": "fast"}, "i3en.24xlarge: 100 Gbit/s, wanted 200"),
        ({"fabric": "rdma"}, "i3en.24xlarge: 100 Gbit/s, wanted 200"),
        ({"accelerator": {"model": "A10G", "count": 9}}, "g5.48xlarge: 8 x A10G, wanted 9"),
        (
            {"accelerator": {"model": "A100", "count": 8, "memory": "90GB"}},
            "p4de.24xlarge: 80 GiB per GPU, wanted 83.8 GiB",
        ),
        ({"arch": "arm64"}, "m6i.xlarge: amd64, wanted arm64"),  # all have as little of it: the cheapest
    ],
)
def test_the_nearest_has_the_most_of_what_was_wanted(pool: dict[str, Any], best: str) -> None:
    fabrics = {
        "fast": {"kind": "ethernet", "bandwidth": "200Gbps"},
        "rdma": {"kind": "rdma", "bandwidth": "200Gbps"},
    }
    assert gap(resolved({"p": {"nodes": 1, **pool}}, AWS, fabrics=fabrics), "pool/p").best == best


@pytest.mark.parametrize(
    ("pool", "environment", "hint"),
    [
        (
            {"arch": "arm64"},
            AWS,
            "the catalog here has no arm64 machine without accelerators: set arch to amd64, or name an accelerator that"
            " comes with arm64: GB200, T4g",
        ),
        (
            {"arch": "arm64", "accelerator": {"model": "H100", "count": 8}},
            AWS,
            "set arch to amd64, which H100 comes with here, or name an accelerator that comes with arm64: GB200, T4g",
        ),
        ({"accelerator": {"model": "GB200", "count": 4}}, CW, "set arch to arm64, which GB200 comes with here, or"),
    ],
)
def test_the_hint_names_a_way_to_another_architecture(pool: Any, environment: Any, hint: str) -> None:
    assert gap(resolved({"p": {"nodes": 1, **pool}}, environment), "pool/p").hint.startswith(hint)


def test_all_reasons_against_a_machine_are_told_at_once() -> None:
    """Whoever mends one of them is not told the next one afterwards."""
    fabrics = {"f": {"kind": "rdma", "placement": "cluster"}}
    found = resolved({"p": {**GB200, "nodes": 2, "fabric": "f"}}, AWS, fabrics=fabrics)
    told = gap(found, "pool/p")
    machine, _, reasons = told.best.partition(": ")
    assert reasons.split("; ") == [
        "which of its network cards carry EFA is not known",
        "no placement group with strategy cluster",
        "not sold as on-demand (only capacity-block)",
        "sold in racks of 18 nodes, wanted 2",
    ]
    assert reason(found, machine) == reasons
    for way_out in ("placement to any", "change the pool's capacity", "a multiple of the rack"):
        assert way_out in told.hint


def test_a_machine_of_another_accelerator_has_no_other_reason() -> None:
    found = resolved({"p": {**GB200, "nodes": 1}}, AWS)
    assert reason(found, "p5.48xlarge") == "H100, wanted GB200"


def test_all_reasons_against_a_node_are_told_at_once() -> None:
    seen = Facts(nodes=(gpu_node("g1", gpu_count=4, memory_gib=100, rdma_count=0),))
    pool = {**H100, "nodes": 1, "cpu": {"memory": "400GiB"}, "fabric": "f"}
    found = resolved({"p": pool}, DC, seen, fabrics={"f": {"kind": "rdma"}})
    assert reason(found, "g1") == "4 x H100, wanted 8; 100 GiB memory, wanted 400 GiB; no RDMA resource"
