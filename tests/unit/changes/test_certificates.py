"""What a plan says of certificates of load balancers: one line for an endpoint, with its name and its certificate."""

from __future__ import annotations

from meshctl.changes import Change, Step, group, plan_text
from meshctl.changes.field_change import FieldChange
from meshctl.changes.notes import certificates
from meshctl.model.deployment import Deployment, EndpointCertificate
from tests.unit.render.sample import sample

PROOF = "meshaws:route53:RecordSet"


def with_certificate(*, issued: bool) -> Deployment:
    made = sample("aws")
    certificate = EndpointCertificate(zone="example.com") if issued else None
    endpoint = made.endpoints[0].model_copy(update={"host": "api.example.com", "certificate": certificate})
    return made.model_copy(update={"endpoints": (endpoint,)})


def lines(old: Deployment | None, new: Deployment, *steps: Step, extra: tuple[Change, ...] = ()) -> list[str]:
    plan = group(
        steps,
        environment="aws",
        digest="d",
        hourly_usd_before=0.0,
        hourly_usd_after=0.0,
        declared=certificates.declared(old, new),
        extra=extra,
    )
    return [line for line in plan_text(plan).splitlines() if "endpoint/" in line]


def test_a_new_certificate_and_the_new_name_of_an_endpoint_are_one_line() -> None:
    new = with_certificate(issued=True)
    subject = f"endpoint/{new.endpoints[0].name}"
    step = Step(f"urn:pulumi:aws::m::{PROOF}::{subject}:proof", PROOF, "create")
    name = Change(subject, "create", "api.example.com -> aws", (FieldChange("address", None, "known after up"),), ())
    [line] = lines(None, new, step, extra=(name,))
    assert line.strip().startswith(f"+ {subject}")
    assert "api.example.com -> aws" in line
    assert "certificate none -> for api.example.com, proven in example.com" in line


def test_a_certificate_that_goes_is_said_and_one_that_stays_is_not() -> None:
    sealed, plain = with_certificate(issued=True), with_certificate(issued=False)
    [line] = lines(sealed, plain)
    assert "certificate for api.example.com, proven in example.com -> none" in line
    assert lines(sealed, sealed) == []
    assert lines(None, plain) == []
