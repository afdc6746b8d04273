"""Certificates of the lab's AWS API, through the provider's rows: issued once the domain is proven in Route 53."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from providers.aws.provider import AwsProvider
from providers.aws.rows.acm import ISSUED
from providers.plugin.provider import Created, CreatedNotReady, ProviderError
from tests.integration.lab_aws_server import KEY, REGION, Aws, code_of
from tests.integration.test_lab_aws_rows import provider_of

HOST = "api.example.com"
CERTIFICATE, RECORD, WAIT = "meshaws:acm:Certificate", "meshaws:route53:RecordSet", "meshaws:acm:IssuedCertificate"


@pytest.fixture
def provider(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> AwsProvider:
    for region in (REGION, "us-west-2"):
        acm = aws.client("acm", region=region)
        for each in acm.list_certificates()["CertificateSummaryList"]:
            acm.delete_certificate(CertificateArn=each["CertificateArn"])
    return provider_of(aws, monkeypatch)


def create(provider: AwsProvider, token: str, inputs: dict[str, Any], name: str = "it") -> Created:
    urn = f"urn:pulumi:lab::mesh::{token}::{name}"
    checked, failures = provider.check(token, urn=urn, news=inputs, olds={})
    assert failures == []
    return provider.create(token, urn=urn, inputs=checked, timeout_s=0, preview=False)


def delete(provider: AwsProvider, token: str, made: Created) -> None:
    urn = f"urn:pulumi:lab::mesh::{token}::it"
    provider.delete(token, urn=urn, id=made.id, inputs=made.outputs, outputs=made.outputs, timeout_s=0)


def certificate(provider: AwsProvider, host: str = HOST) -> Created:
    return create(provider, CERTIFICATE, {"DomainName": host, "ValidationMethod": "DNS", "Tags": {"team": "ml"}})


def record_of(aws: Aws, made: Created) -> dict[str, Any]:
    record = made.outputs["DomainValidationOptions"][0]["ResourceRecord"]
    zone = aws.client("route53").list_hosted_zones_by_name(DNSName="example.com.")["HostedZones"][0]
    return {
        "HostedZoneId": zone["Id"].split("/")[-1],
        "Name": record["Name"],
        "Type": record["Type"],
        "TTL": 300,
        "ResourceRecords": [{"Value": record["Value"]}],
    }


def test_a_certificate_is_issued_once_its_record_is_there_and_found_again(aws: Aws, provider: AwsProvider) -> None:
    asked = certificate(provider)
    assert asked.outputs["Status"] == "PENDING_VALIDATION"
    record = create(provider, RECORD, record_of(aws, asked))
    issued = create(provider, WAIT, {"CertificateArn": asked.id})
    assert (issued.id, issued.outputs["Status"]) == (asked.id, "ISSUED")
    assert certificate(provider).id == asked.id  # the answer of an earlier run was lost
    table = json.loads((aws.root / "acm.json").read_text())
    pem = Path(table[asked.id]["file"]).read_text()
    assert "BEGIN CERTIFICATE" in pem
    assert "PRIVATE KEY" in pem
    delete(provider, WAIT, issued)
    assert aws.client("acm").describe_certificate(CertificateArn=asked.id)
    for token, made in ((RECORD, record), (CERTIFICATE, asked)):
        delete(provider, token, made)
    assert code_of(aws.client("acm").describe_certificate, CertificateArn=asked.id) == "ResourceNotFoundException"


def test_a_certificate_that_is_not_issued_in_time_names_the_record(provider: AwsProvider) -> None:
    assert ISSUED.ready is not None
    provider.rows[WAIT] = replace(ISSUED, ready=replace(ISSUED.ready, timeout_s=0.5))
    asked = certificate(provider)
    with pytest.raises(CreatedNotReady) as caught:
        create(provider, WAIT, {"CertificateArn": asked.id})
    (reason,) = caught.value.reasons
    record = asked.outputs["DomainValidationOptions"][0]["ResourceRecord"]
    assert "CertificateNotIssued" in reason
    assert "PENDING_VALIDATION" in reason
    assert f"the CNAME {record['Name'].rstrip('.')} -> {record['Value'].rstrip('.')}" in reason


def test_every_region_asks_for_the_same_record(aws: Aws, provider: AwsProvider) -> None:
    here = certificate(provider)
    elsewhere = AwsProvider()
    elsewhere.configure({"region": "us-west-2", "endpointUrl": f"http://127.0.0.1:{aws.port}"})
    there = certificate(elsewhere)
    assert here.id != there.id
    records = [made.outputs["DomainValidationOptions"][0]["ResourceRecord"] for made in (here, there)]
    assert records[0] == records[1]
    assert code_of(aws.client("acm").describe_certificate, CertificateArn=there.id) == "ResourceNotFoundException"


@pytest.mark.parametrize("ttl_s", [300, 60])
def test_the_record_of_another_tool_proves_the_host_and_stays(aws: Aws, provider: AwsProvider, ttl_s: int) -> None:
    """Their certificate for the same host is renewed by the same record, which they made with a TTL of their own."""
    acm, route53 = aws.client("acm"), aws.client("route53")
    theirs = acm.request_certificate(DomainName=HOST, ValidationMethod="DNS")["CertificateArn"]
    asked = certificate(provider)
    wanted = record_of(aws, asked)
    zone = wanted["HostedZoneId"]
    record = {**{key: wanted[key] for key in ("Name", "Type", "ResourceRecords")}, "TTL": ttl_s}

    def change(action: str) -> None:
        batch = {"Changes": [{"Action": action, "ResourceRecordSet": record}]}
        route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch=batch)

    change("CREATE")
    try:
        used = create(provider, RECORD, wanted)
        assert create(provider, WAIT, {"CertificateArn": asked.id}).outputs["Status"] == "ISSUED"
        delete(provider, RECORD, used)
        delete(provider, CERTIFICATE, asked)
        listed = route53.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
        assert [each["TTL"] for each in listed if each["Name"] == record["Name"]] == [ttl_s]
        assert acm.describe_certificate(CertificateArn=theirs)["Certificate"]["Status"] == "ISSUED"
    finally:
        change("DELETE")
        acm.delete_certificate(CertificateArn=theirs)


def test_a_certificate_in_use_stays_until_its_load_balancer_is_gone(aws: Aws, provider: AwsProvider) -> None:
    asked = certificate(provider)
    users = aws.root / "network" / "certificates.json"
    users.parent.mkdir(exist_ok=True)
    users.write_text(json.dumps({asked.id: ["net/a1"]}))
    try:
        acm = aws.client("acm", KEY)
        assert code_of(acm.delete_certificate, CertificateArn=asked.id) == "ResourceInUseException"
        described = acm.describe_certificate(CertificateArn=asked.id)["Certificate"]
        assert described["InUseBy"] == [f"arn:aws:elasticloadbalancing:{REGION}:123456789012:loadbalancer/net/a1"]
    finally:
        users.unlink()
    delete(provider, CERTIFICATE, asked)


def test_a_host_that_is_too_long_is_refused(provider: AwsProvider) -> None:
    with pytest.raises(ProviderError) as caught:
        certificate(provider, f"{'a' * 60}.example.com")
    assert caught.value.code == "InvalidDomainValidationOptionsException"


def test_a_second_environment_takes_over_the_record_that_is_there(aws: Aws, provider: AwsProvider) -> None:
    record = record_of(aws, certificate(provider))
    first, second = (create(provider, RECORD, record, name) for name in ("east", "west"))
    assert first.id == second.id
    delete(provider, RECORD, first)


def test_a_certificate_that_acm_refused_to_issue_is_asked_for_anew(aws: Aws, provider: AwsProvider) -> None:
    asked = certificate(provider)
    record = record_of(aws, asked)
    other_issuer = {"Name": HOST, "Type": "CAA", "TTL": 60, "ResourceRecords": [{"Value": '0 issue "example.net"'}]}
    caa = create(provider, RECORD, {"HostedZoneId": record["HostedZoneId"], **other_issuer}, "caa")
    proof = create(provider, RECORD, record)
    with pytest.raises(CreatedNotReady, match="CAA_ERROR"):
        create(provider, WAIT, {"CertificateArn": asked.id})
    urn = f"urn:pulumi:lab::mesh::{CERTIFICATE}::it"
    inputs = {"DomainName": HOST, "ValidationMethod": "DNS", "Tags": {"team": "ml"}}
    found = provider.read(CERTIFICATE, urn=urn, id=asked.id, inputs=inputs, outputs=asked.outputs)
    difference = provider.diff(
        CERTIFICATE, urn=urn, id=asked.id, old_inputs=inputs, old_outputs=found.outputs, news=inputs, ignore_changes=[]
    )
    assert difference.replaces == ("Status",)
    delete(provider, RECORD, caa)
    anew = certificate(provider)  # before the old one goes
    assert anew.id != asked.id
    assert create(provider, WAIT, {"CertificateArn": anew.id}).outputs["Status"] == "ISSUED"
    for token, made in ((RECORD, proof), (CERTIFICATE, asked), (CERTIFICATE, anew)):
        delete(provider, token, made)
