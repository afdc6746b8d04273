"""AWS Certificate Manager: certificates that it issues, proven by DNS. Source: ACM API reference, API version
2015-12-08. PURE but for the tokens of requests.

Two rows, as between them somebody writes the record that proves the domain: a certificate that is asked for, and the
wait until it is issued. ACM answers for the record some seconds after the request, and issues the certificate some
minutes after it sees the record in public DNS.
"""

from __future__ import annotations

import secrets
from typing import Any

from providers.aws.rows_engine.row import Adopt, Call, Context, Poll, Row, Tags

RECORD = "DomainValidationOptions[0].ResourceRecord"
# After these ACM never issues the certificate: VALIDATION_TIMED_OUT comes after 72 hours (ACM user guide, "DNS
# validation").
NEVER_ISSUED = ("FAILED", "VALIDATION_TIMED_OUT", "REVOKED", "EXPIRED", "INACTIVE")
ISSUE_S = 1800  # half an hour is what ACM says that it may take (ACM user guide, "Certificate request is pending")


def _idempotency_token(_: Context) -> Any:
    """One token for the tries of one run. It holds for an hour, so that a token of the resource could give a
    certificate that was deleted meanwhile; what an earlier run asked for is found by its tag."""
    return secrets.token_hex(16)


def _gone_tags(context: Context) -> Any:
    return [{"Key": key} for key in context["gone_tag_keys"]]


def _missing_record(description: Any) -> str:
    """What proves the domain, for who waits in vain."""
    options = description.get("DomainValidationOptions") or [{}]
    record = options[0].get("ResourceRecord") or {}
    if not record:
        return ""
    name, value = str(record.get("Name")).rstrip("."), str(record.get("Value")).rstrip(".")
    return f"ACM has not seen the CNAME {name} -> {value} in public DNS"


def _never(_: Context) -> Any:
    return None


DESCRIBE = Call("DescribeCertificate", {"CertificateArn": "id"}, path="Certificate")

CERTIFICATE = Row(
    "meshaws:acm:Certificate",
    "acm",
    "ACM API RequestCertificate",
    create=Call("RequestCertificate", {"IdempotencyToken": "idempotency_token"}, forward=True),
    id="answer.CertificateArn",
    read=DESCRIBE,
    # a load balancer that is gone counts as a user for some minutes more (terraform-provider-aws, the same wait)
    delete=Call(
        "DeleteCertificate",
        {"CertificateArn": "id"},
        transient=("ResourceInUseException", "ConflictException"),
        patience_s=1200,
    ),
    # the list has no tags, and only keys of RSA with up to 2048 bits, which is what is asked for here
    adopt=Adopt(
        by="tag",
        first=True,
        find=Call(
            "ListCertificates",
            path="CertificateSummaryList[?DomainName==${inputs.DomainName}]",
            paginate=True,
        ),
        id="CertificateArn",
    ),
    not_found=("ResourceNotFoundException",),
    hidden=(
        *("IdempotencyToken", "SubjectAlternativeNames", "DomainValidationOptions", "CertificateAuthorityArn"),
        *("Options", "ManagedBy"),
    ),
    tags=Tags(
        create={"Tags": "tag_list"},
        get=Call("ListTagsForCertificate", {"CertificateArn": "id"}, path="Tags"),
        put=Call("AddTagsToCertificate", {"CertificateArn": "id", "Tags": "put_tag_list"}),
        remove=Call("RemoveTagsFromCertificate", {"CertificateArn": "id", "Tags": _gone_tags}),
    ),
    ready=Poll(
        "Status",
        ok=("PENDING_VALIDATION", "ISSUED"),
        has=(RECORD,),
        fail=NEVER_ISSUED,
        code="FailureReason",
        every_s=3,
        timeout_s=180,
    ),
    broken=NEVER_ISSUED,
    derived={"idempotency_token": _idempotency_token},
    opaque=("ValidationMethod", "KeyAlgorithm"),  # described per domain, and as RSA-2048 for RSA_2048
    noise=("InUseBy", "RenewalSummary"),
    delete_first=False,
)

# No resource of AWS: the certificate of the row above, once it can be used. Nothing is made, and nothing deleted.
ISSUED = Row(
    "meshaws:acm:IssuedCertificate",
    "acm",
    "ACM API DescribeCertificate",
    create=Call("DescribeCertificate", {"CertificateArn": "inputs.CertificateArn"}),
    id="inputs.CertificateArn",
    read=DESCRIBE,
    delete=Call("DescribeCertificate", {"CertificateArn": "id"}, when=_never),
    adopt=Adopt(by="upsert"),
    not_found=("ResourceNotFoundException",),
    extra_inputs=("CertificateArn",),
    required=("CertificateArn",),
    ready=Poll(
        "Status",
        ok=("ISSUED",),
        fail=NEVER_ISSUED,
        code="FailureReason",
        late_code="CertificateNotIssued",
        missing=_missing_record,
        every_s=10,
        timeout_s=ISSUE_S,
    ),
    noise=("InUseBy", "RenewalSummary"),
    delete_first=False,
)

ROWS: tuple[Row, ...] = (CERTIFICATE, ISSUED)
