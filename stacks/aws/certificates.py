"""Certificates of ACM for the load balancers of endpoints, and the records that prove their hosts. Called by `program`.

A certificate must be in the region of its load balancer. The record is in the zone of the endpoints' names, which may
be another account's; it stays as long as the certificate, as ACM looks at it for each renewal (ACM user guide, "Managed
renewal"). ADR 0046 says why it is not in the stack of the names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pulumi

from meshctl.model.deployment import Deployment, Endpoint, EndpointCertificate
from meshctl.render import certificate_name, zone_id_name
from stacks.resources import AwsProvider, AwsResource, aws_tags, part

_TTL_S: Final = 300
ISSUE_S: Final = 1800  # how long `up` waits; ACM says up to half an hour, and it is mostly some minutes


def declare_certificates(
    deployment: Deployment, late: Mapping[str, Any], aws: AwsProvider
) -> dict[str, pulumi.Output[Any]]:
    """The deferred values of the load balancers: the ARN of an issued certificate by `render.certificate_name`."""
    proven = [(endpoint, endpoint.certificate) for endpoint in deployment.endpoints if endpoint.certificate is not None]
    if not proven:
        return {}
    # all of them are in the one zone that environments.yaml names; Route 53 is global
    dns = AwsProvider("dns", region="us-east-1", profile=proven[0][1].profile, tags=aws_tags(deployment))
    return {
        certificate_name(endpoint.name): _certificate(endpoint, certificate, late, aws, dns)
        for endpoint, certificate in proven
    }


def _certificate(
    endpoint: Endpoint, certificate: EndpointCertificate, late: Mapping[str, Any], aws: AwsProvider, dns: AwsProvider
) -> pulumi.Output[Any]:
    subject = f"endpoint/{endpoint.name}"
    requested = AwsResource.declare(
        "acm:Certificate",
        f"{subject}:certificate",
        {"DomainName": endpoint.host, "ValidationMethod": "DNS"},
        outputs=["CertificateArn", "DomainValidationOptions"],
        provider=aws,
    )
    record = requested.get("DomainValidationOptions").apply(_record)
    proof = AwsResource.declare(
        "route53:RecordSet",
        f"{subject}:proof",
        {
            "HostedZoneId": late[zone_id_name(certificate.zone)],
            "Name": part(record, "Name"),
            "Type": part(record, "Type"),
            "TTL": _TTL_S,
            "ResourceRecords": [{"Value": part(record, "Value")}],
        },
        provider=dns,
    )
    issued = AwsResource.declare(
        "acm:IssuedCertificate",
        f"{subject}:issued-certificate",
        {"CertificateArn": requested.get("CertificateArn")},
        outputs=["CertificateArn"],
        provider=aws,
        depends_on=[proof],
        timeout_s=ISSUE_S,
    )
    return issued.get("CertificateArn")


def _record(options: Any) -> Any:
    """Of the host, which is the certificate's only one."""
    return (options or [{}])[0].get("ResourceRecord")
