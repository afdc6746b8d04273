"""The zone of new endpoints is asked about before anything is made."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl.clients.aws import aws_questions
from meshctl.deploy.guards import hosted_zone
from meshctl.errors import CredentialsError
from meshctl.model.deployment import Deployment, Endpoint, EndpointCertificate
from meshctl.model.environment import Dns
from meshctl.model.questions import ApiAnswer, Findings
from tests.unit.preflight.asking import deployment

DNS = Dns.model_validate({"provider": "route53", "zone": "example.com"})
BY_ID = Dns.model_validate({"provider": "route53", "zone": "Z0123456789"})


def with_endpoint(host: str = "chat.example.com") -> Deployment:
    endpoint = Endpoint(name="chat", host=host, workload="chat", port="http")
    return deployment({"web": {"nodes": 2, "cpu": {"cores": 4}}}).model_copy(update={"endpoints": (endpoint,)})


def zone(name: str, zone_id: str = "Z1") -> dict[str, Any]:
    return {"Id": f"/hostedzone/{zone_id}", "Name": name}


def findings(monkeypatch: pytest.MonkeyPatch, answer: ApiAnswer, dns: Dns = DNS) -> Findings:
    monkeypatch.setattr(aws_questions, "ask", lambda questions, **_: {each.name: answer for each in questions})
    return hosted_zone.ask(with_endpoint(), None, dns)


@pytest.mark.parametrize(
    ("answer", "dns", "best"),
    [
        (ApiAnswer({"HostedZones": [zone("example.org.")]}), DNS, "there is none"),
        (ApiAnswer({"HostedZones": [zone("example.com.", "Z1"), zone("example.com.", "Z2")]}), DNS, "2 have this name"),
        (ApiAnswer(code="NoSuchHostedZone"), BY_ID, "there is none"),
        (
            ApiAnswer({"HostedZone": zone("example.org.")}),
            BY_ID,
            "the zone Z0123456789 is that of example.org",
        ),
    ],
)
def test_a_zone_that_can_not_have_the_names(
    monkeypatch: pytest.MonkeyPatch, answer: ApiAnswer, dns: Dns, best: str
) -> None:
    [gap] = findings(monkeypatch, answer, dns).gaps
    assert (gap.subject, gap.best) == ("dns", best)


def test_a_private_zone_proves_no_host(monkeypatch: pytest.MonkeyPatch) -> None:
    private = {**zone("example.com."), "Config": {"PrivateZone": True}}
    answer = ApiAnswer({"HostedZones": [private]})
    assert findings(monkeypatch, answer) == Findings()  # names alone may be in it
    wanted = with_endpoint()
    sealed = wanted.endpoints[0].model_copy(update={"certificate": EndpointCertificate(zone="example.com")})
    wanted_sealed = wanted.model_copy(update={"endpoints": (sealed,)})
    for up in (None, wanted):  # the name may be there already
        [gap] = hosted_zone.ask(wanted_sealed, up, DNS).gaps
        assert gap.best == "the zone example.com is private, and a host is proven in public DNS"
        assert "`tls: {secret: NAME}`" in gap.hint
    assert hosted_zone.ask(wanted_sealed, wanted_sealed, DNS) == Findings()


def test_the_right_zone_is_no_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    assert findings(monkeypatch, ApiAnswer({"HostedZones": [zone("example.com.")]})) == Findings()
    assert findings(monkeypatch, ApiAnswer({"HostedZone": zone("example.com.")}), BY_ID) == Findings()


def test_what_route_53_does_not_say_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    made = findings(monkeypatch, ApiAnswer(code="AccessDenied"))
    assert made.gaps == ()
    assert "AccessDenied" in made.notes[0]

    def refused(*_: Any, **__: Any) -> Any:
        raise CredentialsError("no credentials")

    monkeypatch.setattr(aws_questions, "ask", refused)
    assert "no credentials" in hosted_zone.ask(with_endpoint(), None, DNS).notes[0]


def test_names_that_are_up_ask_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aws_questions, "ask", lambda *_, **__: pytest.fail("nothing is new"))
    assert hosted_zone.ask(with_endpoint(), with_endpoint(), DNS) == Findings()
    assert hosted_zone.ask(with_endpoint(), None, None) == Findings()
