"""What AWS can't give in this size, and what contradicts itself."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl.model.deployment import Resolution
from tests.unit.resolve.meshes import AWS, CW, H100, gap, resolved

WEB = {"p": {"nodes": 2, "cpu": {"cores": 16, "memory": "64GiB"}}}


def test_a_volume_larger_than_ebs_has_is_a_gap() -> None:
    def made(size: str, environment: dict[str, Any]) -> Resolution:
        return resolved(WEB, environment, storage={"s": {"kind": "block", "size": size}})

    told = gap(made("1PB", AWS), "storage/s")
    assert (told.wanted, told.best) == ("a volume of 931,323 GiB for each pod", "an EBS gp3 volume of 65,536 GiB")
    assert made("64TiB", AWS).deployment is not None
    assert made("1PB", CW).deployment is not None


@pytest.mark.parametrize(
    ("nodes", "zones", "best"),
    [
        (30, 2, "14 nodes: 7 in each of 2 zones"),
        (15, 2, "14 nodes: 7 in each of 2 zones"),
        (14, 2, ""),
        (21, 3, ""),
        ({"min": 2, "max": 30}, 2, ""),
    ],
)
def test_a_spread_placement_group_holds_seven_nodes_in_a_zone(nodes: Any, zones: int, best: str) -> None:
    environment = {**AWS, "zones": [f"us-east-1{zone}" for zone in "abc"[:zones]]}
    fabrics = {"f": {"kind": "ethernet", "placement": "spread"}}
    found = resolved({"p": {"nodes": nodes, "fabric": "f"}}, environment, fabrics=fabrics)
    assert (found.deployment is None) == bool(best)
    if best:
        assert gap(found, "pool/p").best == best
        assert "lower the pool's nodes to 14" in gap(found, "pool/p").hint


def test_elsewhere_nodes_are_spread_without_a_group() -> None:
    fabrics = {"f": {"kind": "ethernet", "placement": "spread"}}
    assert resolved({"p": {"nodes": 30, "fabric": "f"}}, CW, fabrics=fabrics).deployment is not None


@pytest.mark.parametrize(
    ("capacity", "subject", "best", "hint"),
    [
        ({"reservations": [{"id": "cr-1", "pool": "b"}]}, "capacity/cr-1", "pool b is on-demand", "capacity: reserved"),
        (
            {"reservations": [{"id": "cr-1", "pool": "a"}], "blocks": [{"id": "cr-2", "pool": "a"}]},
            "capacity/cr-2",
            "pool a has cr-1, and takes one",
            "remove one of the two",
        ),
    ],
)
def test_capacity_that_its_pool_cannot_have_is_a_gap(capacity: Any, subject: str, best: str, hint: str) -> None:
    pools = {"a": {**H100, "capacity": "reserved"}, "b": H100}
    environment = {**AWS, "capacity": {"reservations": ["cr-0"], **capacity}}
    told = gap(resolved(pools, environment), subject)
    assert told.best == best
    assert hint in told.hint


def test_capacity_that_no_pool_is_left_for_is_a_note() -> None:
    pools = {"a": {**H100, "capacity": "reserved"}, "b": H100}
    found = resolved(pools, {**AWS, "capacity": {"reservations": ["cr-1"], "blocks": ["cb-1", "cb-2"]}})
    assert found.deployment is not None
    assert [note.split(":")[0] for note in found.notes if "not used" in note] == [
        "capacity cb-1 is not used",
        "capacity cb-2 is not used",
    ]


@pytest.mark.parametrize(
    ("storage", "read_only", "fits"),
    [
        ({"kind": "filesystem", "size": "1TiB"}, True, False),
        ({"kind": "filesystem", "size": "1TiB"}, False, True),
        ({"kind": "object", "size": "1GiB"}, True, True),
    ],
)
def test_checkpoints_need_a_mount_that_can_be_written(storage: Any, read_only: bool, fits: bool) -> None:
    job = {
        "kind": "training",
        "pool": "p",
        "image": "i",
        "mounts": {"t": {"path": "/c", "readOnly": read_only}},
        "checkpoint": {"storage": "t"},
    }
    found = resolved(WEB, AWS, storage={"t": storage}, workloads={"w": job})
    assert (found.deployment is not None) == fits
    if not fits:
        told = gap(found, "workload/w")
        assert (told.wanted, told.best) == (
            "checkpoints on storage t",
            "t is mounted readOnly: nothing can be written",
        )


@pytest.mark.parametrize(
    ("zones", "best", "hint"),
    [(1, "1 zone", "list at least two zones of the region"), (9, "9 zones", "leave out 1 of them")],
)
def test_the_number_of_zones(zones: int, best: str, hint: str) -> None:
    environment = {**AWS, "zones": [f"us-east-1{zone}" for zone in "abcdefghi"[:zones]]}
    told = gap(resolved(WEB, environment), "network")
    assert (told.best, told.hint) == (best, hint)


def test_the_fastest_file_system_is_sized_at_once() -> None:
    """By a formula: counted up to in steps of 2400 GiB, this took a minute."""
    storage = {"s": {"kind": "filesystem", "size": "1TiB", "throughput": "1000TB/s"}}
    made = resolved(WEB, AWS, storage=storage).deployment
    assert made is not None
    (system,) = made.file_systems
    assert (system.size_gib % 2400, system.per_unit_throughput) == (0, 1000)
    assert system.size_gib / 1024 * 1000 >= 1000e6


@pytest.mark.parametrize(("given", "version"), [({}, "1.35"), ({"kubernetes": {"version": "1.34"}}, "1.34")])
def test_the_version_of_an_eks_cluster(given: dict[str, Any], version: str) -> None:
    made = resolved(WEB, {**AWS, **given}).deployment
    assert made is not None
    assert made.cluster.version == version
