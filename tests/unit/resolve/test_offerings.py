"""What the catalog knows offline: which region and zones have a machine type, how many addresses a node takes."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl.catalog import load_catalog
from meshctl.clients.aws import aws_questions
from meshctl.deploy.guards import preflight
from meshctl.errors import CredentialsError
from meshctl.model.questions import InPlace
from tests.unit.resolve.meshes import AWS, resolved

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


def test_a1_a_type_that_the_region_has_got_since_is_named_in_the_environment() -> None:
    """The table has a date: what AWS has added later must not be refused, and what is up there must stay."""
    [gap] = resolved({"serve": H100}, FRANKFURT).gaps
    assert gap.hint.endswith("say so in the environment: `offered: [p5.48xlarge]`")
    resolution = resolved({"serve": H100}, {**FRANKFURT, "offered": ["p5.48xlarge"]})
    assert (resolution.gaps, [pool.machine for pool in resolution.pools]) == ((), ["p5.48xlarge"])


def test_a1_a_name_that_is_no_type_is_told() -> None:
    [note] = [each for each in resolved({"serve": H100}, {**AWS, "offered": ["p99.huge"]}).notes if "p99" in each]
    assert note == "offered: p99.huge is no machine type of the catalog, and changes nothing"


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


@pytest.fixture(autouse=True)
def nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without credentials nothing is asked."""

    def refused(*_: object, **__: object) -> dict[str, object]:
        raise CredentialsError("no credentials")

    monkeypatch.setattr(aws_questions, "ask", refused)


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
    [note] = [each for each in resolution.notes if each.startswith("network: ")]
    assert best in note
    assert "A new environment is refused" in note
    assert f"`network: {{cidr: 10.0.0.0{smallest}}}`" in note

    assert resolution.deployment is not None
    [gap] = preflight.ask(resolution.deployment, InPlace()).gaps
    assert gap.subject == "network"
    assert best in gap.best
    assert f"`network: {{cidr: 10.0.0.0{smallest}}}`" in gap.hint
    up = InPlace(resolution.deployment.pools, {"meshaws:ec2:Vpc": 1})
    assert preflight.ask(resolution.deployment, up).gaps == ()  # it runs, and its network can't be changed


def test_b4_the_smallest_network_that_is_named_has_room() -> None:
    for cidr, nodes in (("10.0.0.0/22", 2), ("10.0.0.0/20", 8)):
        resolution = resolved({"serve": {**H100, "nodes": nodes}}, {**AWS, "network": {"cidr": cidr}})
        assert not [note for note in resolution.notes if note.startswith("network: ")]


def test_b4_room_for_now_and_not_for_the_most_nodes_is_a_note() -> None:
    pools = {"serve": {**H100, "nodes": {"min": 2, "max": 64}}}
    resolution = resolved(pools, {**AWS, "network": {"cidr": "10.0.0.0/20"}})
    assert resolution.gaps == ()
    assert [note for note in resolution.notes if "32 nodes x 50" in note and "addresses" in note]


def test_b4_more_nodes_than_the_largest_network_has_room_for() -> None:
    [note] = [each for each in resolved({"serve": {**H100, "nodes": 200}}, AWS).notes if each.startswith("network: ")]
    assert "several environments" in note
