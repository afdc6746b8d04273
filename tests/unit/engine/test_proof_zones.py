"""The zone in which hosts are proven: Route 53 is asked for its id once, then the state has it."""

from __future__ import annotations

import pytest

from meshctl.deploy.endpoints import proof_zones
from meshctl.errors import CredentialsError
from meshctl.model.deployment import Deployment, EndpointCertificate
from meshctl.model.stack_state import StackState, as_outputs
from meshctl.render import zone_id_name
from tests.unit import states
from tests.unit.render.sample import sample

PROOF = "urn:pulumi:aws::m::meshaws:route53:RecordSet::endpoint/{name}:proof"
STACK = {"urn": "urn:pulumi:aws::m::pulumi:pulumi:Stack::m-aws", "type": "pulumi:pulumi:Stack"}


def sealed(zone: str = "example.com") -> Deployment:
    made = sample("aws")
    endpoint = made.endpoints[0].model_copy(update={"certificate": EndpointCertificate(zone=zone, profile="names")})
    return made.model_copy(update={"endpoints": (endpoint,)})


def up(deployment: Deployment) -> StackState:
    proof = {
        "urn": PROOF.format(name=deployment.endpoints[0].name),
        "type": "meshaws:route53:RecordSet",
        "id": "Z9|_a.example.com.|CNAME|",
        "custom": True,
        "inputs": {"HostedZoneId": "Z9", "Name": "_a.example.com."},
    }
    return states.state({**STACK, "outputs": as_outputs(deployment)}, proof)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    calls: list[tuple[str, str]] = []

    def hosted_zone_id(zone: str, profile: str) -> str:
        calls.append((zone, profile))
        return "Z1"

    monkeypatch.setattr(proof_zones, "hosted_zone_id", hosted_zone_id)
    return calls


def test_a_new_zone_is_asked_for_and_one_that_is_in_use_is_not(asked: list[tuple[str, str]]) -> None:
    wanted = sealed()
    name = zone_id_name("example.com")
    assert proof_zones.deferred_values(wanted, states.NOTHING, is_preview=False) == {name: "Z1"}
    assert asked == [("example.com", "names")]
    assert proof_zones.deferred_values(wanted, up(wanted), is_preview=False) == {name: "Z9"}
    assert len(asked) == 1


def test_another_zone_is_asked_for(asked: list[tuple[str, str]]) -> None:
    values = proof_zones.deferred_values(sealed("example.org"), up(sealed()), is_preview=False)
    assert (values, asked) == ({zone_id_name("example.org"): "Z1"}, [("example.org", "names")])


def test_without_certificates_nobody_is_asked(asked: list[tuple[str, str]]) -> None:
    assert proof_zones.deferred_values(sample("aws"), states.NOTHING, is_preview=False) == {}
    assert asked == []


def test_a_preview_without_credentials_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def hosted_zone_id(_zone: str, _profile: str) -> str:
        raise CredentialsError("no credentials")

    monkeypatch.setattr(proof_zones, "hosted_zone_id", hosted_zone_id)
    name = zone_id_name("example.com")
    assert proof_zones.deferred_values(sealed(), states.NOTHING, is_preview=True) == {name: "example.com"}
    with pytest.raises(CredentialsError):
        proof_zones.deferred_values(sealed(), states.NOTHING, is_preview=False)
