"""AWS Certificate Manager: certificates proven by DNS. Served by `service`; Source: ACM API reference, API version
2015-12-08. EDGE.

A service of the lab's own: moto's issues every certificate by itself, and deletes those in use. Here a certificate is
issued once the lab's Route 53 has the record that proves its domain, signed by the lab's authority. Load balancers find
it in `acm.json`, and the process that plays them says in `network/certificates.json` which ones they use.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import logging
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from moto.core import DEFAULT_ACCOUNT_ID
from moto.route53.models import route53_backends

from meshctl.lab.aws import rules
from meshctl.lab.aws.call import Call
from meshctl.lab.aws.errors import ApiError
from meshctl.lab.aws.service import Service
from meshctl.lab.controllers import authority
from meshctl.lab.state import read_json, write_atomically

log = logging.getLogger(__name__)
Object = dict[str, Any]
TABLE = "acm.json"  # by ARN, what load balancers need
USERS = "network/certificates.json"  # by ARN, the load balancers that use it
LONGEST_HOST = 64
_AUTHORITIES = ("amazon.com", "amazontrust.com", "awstrust.com", "amazonaws.com")  # any of them will do
_RECORD_S = 1.0  # ACM tells of the record a moment after the request


class Acm(Service):
    name: ClassVar[str] = "acm"

    def __init__(self, root: Path) -> None:
        self.root = root
        self.certificates: dict[str, Object] = {}
        self.tags: dict[str, dict[str, str]] = {}
        self.tokens: dict[str, str] = {}
        self._write()

    def request_certificate(self, call: Call, given: Object) -> Object:
        host, token = given["DomainName"], f"{call.region} {given.get('IdempotencyToken', '')}"
        if given.get("IdempotencyToken") and self.tokens.get(token) in self.certificates:
            return {"CertificateArn": self.tokens[token]}
        if len(host) > LONGEST_HOST:
            message = f"The first domain name can be no longer than {LONGEST_HOST} characters."
            raise ApiError("InvalidDomainValidationOptionsException", message, rule=rules.CERTIFICATE_HOST)
        if given.get("ValidationMethod") != "DNS":
            raise ApiError("InvalidParameterException", "the lab proves domains by DNS only")
        arn = f"arn:aws:acm:{call.region}:{DEFAULT_ACCOUNT_ID}:certificate/{uuid.uuid4()}"
        self.certificates[arn] = _described(arn, host)
        self.tags[arn] = {tag["Key"]: tag.get("Value", "") for tag in given.get("Tags", [])}
        self.tokens[token] = arn
        self._write()
        return {"CertificateArn": arn}

    def describe_certificate(self, call: Call, given: Object) -> Object:
        certificate = self._certificate(call, given["CertificateArn"])
        described = {**certificate, "InUseBy": self._users(certificate["CertificateArn"])}
        if _now() - certificate["CreatedAt"] < datetime.timedelta(seconds=_RECORD_S):
            without = [
                {key: value for key, value in option.items() if key != "ResourceRecord"}
                for option in certificate["DomainValidationOptions"]
            ]
            described["DomainValidationOptions"] = without
        return {"Certificate": described}

    def list_certificates(self, call: Call, given: Object) -> Object:
        statuses = given.get("CertificateStatuses")
        listed = [
            {key: certificate[key] for key in ("CertificateArn", "DomainName", "Status", "Type", "CreatedAt")}
            for arn, certificate in self.certificates.items()
            if _region(arn) == call.region and (not statuses or certificate["Status"] in statuses)
        ]
        return {"CertificateSummaryList": listed}

    def delete_certificate(self, call: Call, given: Object) -> Object:
        certificate = self._certificate(call, given["CertificateArn"])
        arn = certificate["CertificateArn"]
        if self._users(arn):
            message = f"Certificate {arn} in account {DEFAULT_ACCOUNT_ID} is in use."
            raise ApiError("ResourceInUseException", message, rule=rules.CERTIFICATE_IN_USE)
        del self.certificates[arn], self.tags[arn]
        self._write()
        return {}

    def add_tags_to_certificate(self, call: Call, given: Object) -> Object:
        arn = self._certificate(call, given["CertificateArn"])["CertificateArn"]
        self.tags[arn] |= {tag["Key"]: tag.get("Value", "") for tag in given["Tags"]}
        return {}

    def remove_tags_from_certificate(self, call: Call, given: Object) -> Object:
        arn = self._certificate(call, given["CertificateArn"])["CertificateArn"]
        for tag in given["Tags"]:
            if tag.get("Value") in (None, self.tags[arn].get(tag["Key"])):  # without a value: whatever it is
                self.tags[arn].pop(tag["Key"], None)
        return {}

    def list_tags_for_certificate(self, call: Call, given: Object) -> Object:
        arn = self._certificate(call, given["CertificateArn"])["CertificateArn"]
        return {"Tags": [{"Key": key, "Value": value} for key, value in self.tags[arn].items()]}

    def settle(self) -> None:
        """Issue what is proven by now, unless its domain lets somebody else alone issue."""
        pending = [each for each in self.certificates.values() if each["Status"] == "PENDING_VALIDATION"]
        proven = [each for each in pending if _is_proven(each)]
        for certificate in proven:
            if _is_forbidden(certificate["DomainName"]):
                log.warning("failed %s (rule %s)", certificate["DomainName"], rules.CERTIFICATE_CAA.id)
                certificate |= {"Status": "FAILED", "FailureReason": "CAA_ERROR"}
                certificate["DomainValidationOptions"][0]["ValidationStatus"] = "FAILED"
                continue
            issued = authority.issue(self.root / "certificates", [certificate["DomainName"]])
            write_atomically(self._pem(certificate["CertificateArn"]), (issued.chain + issued.key).decode(), mode=0o600)
            now = _now()
            certificate |= {"Status": "ISSUED", "IssuedAt": now, "NotBefore": now}
            certificate["DomainValidationOptions"][0]["ValidationStatus"] = "SUCCESS"
        if proven:
            self._write()

    def _certificate(self, call: Call, arn: str) -> Object:
        """Of the call's own region, where alone ACM knows it."""
        if arn not in self.certificates or _region(arn) != call.region:
            message = f"Could not find certificate {arn} in account {DEFAULT_ACCOUNT_ID}."
            raise ApiError("ResourceNotFoundException", message)
        return self.certificates[arn]

    def _users(self, arn: str) -> list[str]:
        users = read_json(self.root / USERS).get(arn, [])
        return [
            f"arn:aws:elasticloadbalancing:{_region(arn)}:{DEFAULT_ACCOUNT_ID}:loadbalancer/{name}" for name in users
        ]

    def _pem(self, arn: str) -> Path:
        return self.root / "certificates" / "acm" / f"{arn.rpartition('/')[2]}.pem"

    def _write(self) -> None:
        table = {
            arn: {"status": each["Status"], "region": _region(arn), "file": str(self._pem(arn))}
            for arn, each in self.certificates.items()
        }
        write_atomically(self.root / TABLE, json.dumps(table))


def _described(arn: str, host: str) -> Object:
    """The record is one of the host and the account, in every region (ACM user guide, "DNS validation")."""
    digest = hashlib.sha256(f"{DEFAULT_ACCOUNT_ID} {host}".encode()).hexdigest()
    record = {
        "Name": f"_{digest[:32]}.{host}.",
        "Type": "CNAME",
        "Value": f"_{digest[32:]}.xlfgrmvvlj.acm-validations.aws.",
    }
    option = {
        "DomainName": host,
        "ValidationDomain": host,
        "ValidationStatus": "PENDING_VALIDATION",
        "ValidationMethod": "DNS",
        "ResourceRecord": record,
    }
    return {
        "CertificateArn": arn,
        "DomainName": host,
        "SubjectAlternativeNames": [host],
        "DomainValidationOptions": [option],
        "Status": "PENDING_VALIDATION",
        "Type": "AMAZON_ISSUED",
        "CreatedAt": _now(),
        "KeyAlgorithm": "RSA-2048",
        "RenewalEligibility": "INELIGIBLE",
    }


def _is_proven(certificate: Object) -> bool:
    record = certificate["DomainValidationOptions"][0]["ResourceRecord"]
    return (record["Name"].lower(), record["Value"].rstrip(".")) in set(_public("CNAME"))


def _is_forbidden(host: str) -> bool:
    """By the CAA records of the host, or of the nearest name above it that has some (RFC 8659, 3)."""
    issuers: dict[str, list[str]] = {}
    for name, value in _public("CAA"):
        _, tag, issuer = value.split(" ", 2)
        if tag == "issue":
            issuers.setdefault(name, []).append(issuer.strip('"'))
    parts = host.split(".")
    names = (f"{'.'.join(parts[start:])}." for start in range(len(parts)))
    nearest = next((issuers[name] for name in names if name in issuers), list(_AUTHORITIES))
    return not set(nearest) & set(_AUTHORITIES)


def _public(kind: str) -> Iterator[tuple[str, str]]:
    """Name and value of each record of a type that the internet sees."""
    for zone in route53_backends[DEFAULT_ACCOUNT_ID]["aws"].zones.values():
        records = [] if zone.private_zone else [each for each in zone.rrsets if each.type == kind]
        for each in records:
            for value in each.resource_records:
                text = value["Value"] if isinstance(value, dict) else value
                yield f"{each.name.lower().rstrip('.')}.", text.rstrip(".")


def _region(arn: str) -> str:
    return arn.split(":")[3]


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
