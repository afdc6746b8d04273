"""What the catalog knows offline: which region and zones have a machine type, how many addresses a node takes."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl.catalog import load_catalog
from tests.unit.resolve.test_resolve_rules import AWS, resolved

H100 = {"nodes": 2, "accelerator": {"model": "H100", "count": 8}}
FRANKFURT = {"provider": "aws", "region": "eu-central-1", "zones": ["eu-central-1a", "eu-central-1b"]}
GOV = {"provider": "aws", "region": "us-gov-west-1", "zones": ["us-gov-west-1a", "us-gov-west-1b"]}
B200 = {"nodes": 2, "accelerator": {"model": "B200", "count": 8}}


def test_a1_check_says_offline_that_a_region_does_not_have_the_machine() -> None:
    resolution = resolved({"serve": H100}, FRANKFURT)
    [gap] = resolution.gaps
    assert resolution.deployment is None
    assert gap.subject == "pool/serve"
    assert "p5" in gap.best
    assert "not offered in eu-central-1 as of 20" in gap.best
    assert "eu-north-1, eu-west-2" in gap.best
    assert "another region" in gap.hint


def test_a1_a_region_that_the_catalog_does_not_know_is_no_gap() -> None:
    assert resolved({"serve": H100}, GOV).gaps == ()


def test_a1_a_machine_of_few_zones_is_told_where_the_environment_may_have_none_of_them() -> None:
    note = "p6-b200.48xlarge is in 1 of the 6 zones of us-east-1 (use1-az6)"
    assert [each for each in resolved({"serve": B200}, AWS).notes if note in each]
    zones = [f"us-east-1{letter}" for letter in "abcdef"]
    assert not [each for each in resolved({"serve": B200}, {**AWS, "zones": zones}).notes if note in each]
    assert not [each for each in resolved({"serve": H100}, AWS).notes if "of the 6 zones" in each]


def test_a1_the_offers_have_a_source_and_a_date() -> None:
    machine = load_catalog().machine("aws", "p5.48xlarge")
    assert machine is not None
    assert machine.offers is not None
    assert machine.offers.zone_ids("us-east-2") == ("use2-az1", "use2-az2", "use2-az3")
    assert machine.offers.zone_ids("eu-central-1") == ()
    assert machine.offers.date.startswith("20")
    assert "moto" in machine.offers.source
    assert machine.interface_addresses == 50


@pytest.mark.parametrize(
    ("cidr", "pools", "best", "smallest"),
    [
        ("10.0.0.0/24", {"serve": H100}, "11 addresses", "/22"),
        ("10.0.0.0/24", {"web": {"nodes": 2, "cpu": {"cores": 4}}}, "11 addresses", "/23"),
        ("10.0.0.0/22", {"serve": {**H100, "nodes": 8}}, "59 addresses", "/20"),
    ],
)
def test_b4_a_network_without_room_for_the_nodes_is_told_offline(
    cidr: str, pools: dict[str, Any], best: str, smallest: str
) -> None:
    resolution = resolved(pools, {**AWS, "network": {"cidr": cidr}})
    [gap] = resolution.gaps
    assert resolution.deployment is None
    assert gap.subject == "network"
    assert best in gap.best
    assert f"`network: {{cidr: 10.0.0.0{smallest}}}`" in gap.hint


def test_b4_the_smallest_network_that_is_named_has_room() -> None:
    for cidr, nodes in (("10.0.0.0/22", 2), ("10.0.0.0/20", 8)):
        assert resolved({"serve": {**H100, "nodes": nodes}}, {**AWS, "network": {"cidr": cidr}}).gaps == ()


def test_b4_room_for_now_and_not_for_the_most_nodes_is_a_note() -> None:
    pools = {"serve": {**H100, "nodes": {"min": 2, "max": 64}}}
    resolution = resolved(pools, {**AWS, "network": {"cidr": "10.0.0.0/20"}})
    assert resolution.gaps == ()
    assert [note for note in resolution.notes if "32 nodes x 50" in note and "addresses" in note]


def test_b4_more_nodes_than_the_largest_network_has_room_for() -> None:
    [gap] = resolved({"serve": {**H100, "nodes": 200}}, AWS).gaps
    assert "several environments" in gap.hint
