"""NAT gateways: one in each zone, or one for all of them."""

from __future__ import annotations

from meshctl.model.deployment import Deployment
from meshctl.model.questions import ApiAnswer
from meshctl.platforms import registry
from tests.unit.preflight.asking import deployment, findings
from tests.unit.stacks import test_calls_fit_the_api as with_ids
from tests.unit.stacks.declared_on_aws import Recorder

ZONES = ["us-east-1a", "us-east-1b", "us-east-1c"]
POOLS = {"web": {"nodes": 3, "cpu": {"cores": 4}}}


def in_three_zones(nat: str = "perZone") -> Deployment:
    return deployment(POOLS, zones=ZONES, network={"nat": nat})


def declared(wanted: Deployment) -> Recorder:
    return with_ids.declared(wanted, "web.example.com")[0]


def gateways_of_routes(program: Recorder) -> dict[str, str]:
    """The gateway that each private subnet's route leads to."""
    routes = program.of_type("ec2:Route")
    start = "network:default-route-"
    return {
        name.removeprefix(start): inputs["NatGatewayId"] for name, inputs in routes.items() if "NatGatewayId" in inputs
    }


def test_each_zone_has_its_own_unless_one_is_asked_for() -> None:
    program = declared(in_three_zones())
    assert len(program.of_type("ec2:NatGateway")) == len(program.of_type("ec2:Address")) == 3
    assert len(set(gateways_of_routes(program).values())) == 3
    assert in_three_zones().model_dump(mode="json") == deployment(POOLS, zones=ZONES).model_dump(mode="json")


def test_a6_one_gateway_in_the_first_zone_serves_all() -> None:
    program = declared(in_three_zones("one"))
    assert [*program.of_type("ec2:NatGateway")] == ["network:nat-private-a"]
    assert [*program.of_type("ec2:Address")] == ["network:nat-address-private-a"]
    routes = gateways_of_routes(program)
    assert (len(routes), len(set(routes.values()))) == (3, 1)
    other_types = {name for name in program.inputs if not name.startswith("network:nat-")}
    assert other_types == {name for name in declared(in_three_zones()).inputs if not name.startswith("network:nat-")}


def test_a6_addresses_are_counted_by_gateways_and_the_hint_names_the_way_out() -> None:
    answers = {
        "addresses": ApiAnswer({"Addresses": [{}] * 4}),
        "L-0263D0A3": ApiAnswer({"Quota": {"Value": 5.0, "QuotaName": "EC2-VPC Elastic IPs"}}),
    }
    [gap] = findings(in_three_zones(), answers).gaps
    assert gap.wanted == "3 more Elastic IPs, one for each NAT gateway"
    assert gap.hint.endswith("or `network: {nat: one}`, with a NAT gateway in one zone alone")
    assert findings(in_three_zones("one"), answers).gaps == ()


def test_the_price_is_that_of_the_gateways() -> None:
    priced = registry.platform("aws").words.not_in_cost
    assert any(text.startswith("3 NAT gateways") for text in priced(in_three_zones()))
    assert any(text.startswith("1 NAT gateway (") for text in priced(in_three_zones("one")))
