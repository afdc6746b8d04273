"""The rows of certificates over the lab's own ACM, called in this process: what is waited for, and what is said in
vain."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from meshctl.lab.aws import acm as lab_acm
from meshctl.lab.aws.acm import Acm
from providers.aws.rows.acm import ISSUED
from providers.plugin.provider import Created, CreatedNotReady
from tests.unit.providers.test_one_way import Bench

CERTIFICATE, WAIT = "meshaws:acm:Certificate", "meshaws:acm:IssuedCertificate"
WANTED = {"DomainName": "api.example.com", "ValidationMethod": "DNS"}


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(lab_acm, "_RECORD_S", 0.3)
    return Bench(Acm(tmp_path), CERTIFICATE, "", WANTED)


def create(bench: Bench, token: str, inputs: dict[str, Any]) -> Created:
    return bench.provider.create(token, urn="urn:it", inputs=inputs, timeout_s=0, preview=False)


def test_a_certificate_is_there_once_acm_tells_of_its_record(bench: Bench) -> None:
    made = create(bench, CERTIFICATE, WANTED)
    assert made.outputs["Status"] == "PENDING_VALIDATION"
    (option,) = made.outputs["DomainValidationOptions"]
    assert option["ResourceRecord"]["Type"] == "CNAME"


def test_the_wait_ends_with_the_state_and_the_record_that_is_missing(bench: Bench) -> None:
    assert ISSUED.ready is not None
    bench.provider.rows[WAIT] = replace(ISSUED, ready=replace(ISSUED.ready, timeout_s=0.3))
    made = create(bench, CERTIFICATE, WANTED)
    with pytest.raises(CreatedNotReady) as caught:
        create(bench, WAIT, {"CertificateArn": made.id})
    (reason,) = caught.value.reasons
    record = made.outputs["DomainValidationOptions"][0]["ResourceRecord"]
    assert f"{made.id} is still PENDING_VALIDATION" in reason
    assert f"the CNAME {record['Name'].rstrip('.')} -> {record['Value'].rstrip('.')} in public DNS" in reason
    assert "CertificateNotIssued" in reason


@pytest.mark.parametrize(
    ("described", "code", "text"),
    [
        ({"Status": "FAILED", "FailureReason": "CAA_ERROR"}, "CAA_ERROR", "IssuedCertificate FAILED"),
        ({"Status": "VALIDATION_TIMED_OUT"}, "VALIDATION_TIMED_OUT", "its state is VALIDATION_TIMED_OUT"),
    ],
)
def test_what_acm_never_issues_is_not_waited_for(bench: Bench, described: dict[str, str], code: str, text: str) -> None:
    made = create(bench, CERTIFICATE, WANTED)
    bench.client.service.certificates[made.id] |= described
    with pytest.raises(CreatedNotReady) as caught:
        create(bench, WAIT, {"CertificateArn": made.id})
    (reason,) = caught.value.reasons
    assert code in reason
    assert text in reason
