"""Where a state says that its environment is."""

import pytest

from meshctl.deploy.guards import location
from meshctl.errors import UsageError
from meshctl.model.stack_state import StackState
from tests.unit import states

MADE = {"VpcId": "vpc-1", "OwnerId": "111111111111"}
AWS = "urn:pulumi:aws-east::llm-prod::pulumi:providers:meshaws::aws"


def state(region: str = "us-east-1", outputs: dict[str, str] = MADE, **provider: str) -> StackState:
    made = {
        "urn": "urn:pulumi:aws-east::llm-prod::meshaws:ec2:Vpc::network:vpc",
        "type": "meshaws:ec2:Vpc",
        "provider": f"{AWS}::1",
        "outputs": outputs,
    }
    inputs = {"region": region, **provider}
    return states.state({"urn": AWS, "id": "1", "type": "pulumi:providers:meshaws", "inputs": inputs}, made)


def test_a_new_environment_is_nowhere_yet() -> None:
    assert location.recorded_location(states.NOTHING) is None
    location.refuse_other_region("aws-east", location.recorded_location(states.NOTHING), "eu-west-1")


def test_region_profile_and_account_are_in_the_state() -> None:
    assert location.recorded_location(state(profile="prod")) == location.Location("us-east-1", "prod", "111111111111")


def test_the_account_is_read_from_an_arn_where_nothing_names_its_owner() -> None:
    given = state(outputs={"Arn": "arn:aws:iam::222222222222:role/nodes"})
    found = location.recorded_location(given)
    assert found is not None
    assert found.account == "222222222222"


def test_buckets_of_a_store_elsewhere_say_nothing() -> None:
    assert location.recorded_location(state(endpointUrl="https://cwobject.com")) is None


def test_another_region_is_refused_with_what_to_do() -> None:
    location.refuse_other_region("aws-east", location.recorded_location(state()), "us-east-1")
    with pytest.raises(UsageError) as caught:
        location.refuse_other_region("aws-east", location.recorded_location(state()), "eu-west-1")
    assert caught.value.what == "aws-east is up in us-east-1 and can't be moved to eu-west-1 by changing its region"
    assert "meshctl destroy aws-east" in caught.value.hint
    assert "meshctl migrate" in caught.value.hint


def test_another_account_is_refused_and_an_unknown_one_is_not() -> None:
    location.refuse_other_account("aws-east", {"111111111111"}, "111111111111", "")
    location.refuse_other_account("aws-east", set(), "222222222222", "")
    with pytest.raises(UsageError) as caught:
        location.refuse_other_account("aws-east", {"111111111111"}, "222222222222", "test")
    assert (
        caught.value.what
        == "aws-east is in the AWS account 111111111111, but the credentials are of the account 222222222222"
    )
    assert '"test"' in caught.value.why


def test_the_dns_zone_in_which_certificates_are_proven_is_another_place() -> None:
    """It may be in another account, and Route 53 is called in one region alone."""
    provider = "urn:pulumi:aws-east::llm-prod::pulumi:providers:meshaws::dns"
    inputs = {"region": "us-east-1", "profile": "names"}
    proof = {
        "urn": "urn:pulumi:aws-east::llm-prod::meshaws:route53:RecordSet::endpoint/api:proof",
        "type": "meshaws:route53:RecordSet",
        "provider": f"{provider}::2",
    }
    of_zone = {"urn": provider, "id": "2", "type": "pulumi:providers:meshaws", "inputs": inputs}
    written = state(region="eu-west-1", profile="prod").written()
    resources = written["resources"]
    both = states.read({**written, "resources": [of_zone, proof, *resources]})
    assert location.recorded_location(both) == location.Location("eu-west-1", "prod", "111111111111")
    assert location.recorded_location(states.state(of_zone, proof)) is None
