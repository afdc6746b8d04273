"""What Elastic Load Balancing refuses of the certificate of a TLS listener. PURE.

Asked by `meshctl.lab.network.sealed_ports`, as the lab plays the clusters' controller and the balancers in one process.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from meshctl.lab.aws import rules


@dataclass(frozen=True)
class Refusal:
    """As CreateListener answers."""

    code: str
    message: str
    rule: rules.Rule


def refusal(table: Mapping[str, Any], certificate: str, region: str) -> Refusal | None:
    """None for a certificate that a load balancer of the region can use. `table`: what `acm` writes to `acm.json`."""
    described = table.get(certificate)
    if described is None or described["region"] != region:
        return Refusal("CertificateNotFound", f"Certificate '{certificate}' not found", rules.LISTENER_REGION)
    if described["status"] != "ISSUED":
        message = (
            f"The certificate '{certificate}' must have a fully-qualified domain name, a supported signature, and a"
            " supported key size."
        )
        return Refusal("UnsupportedCertificate", message, rules.LISTENER_CERTIFICATE)
    return None
