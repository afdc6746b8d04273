"""Ports of AWS load balancers that end TLS, with certificates of the lab's ACM. EDGE (reads the lab's folder).

Called by `balancers`. A Service names its certificate by annotation, as cloud-provider-aws reads it (aws.go,
EnsureLoadBalancer and getPortSets): without `ssl-ports`, all of its ports speak TLS.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from meshctl.lab.aws import listeners
from meshctl.lab.state import read_json

log = logging.getLogger(__name__)
Object = dict[str, Any]
_BEGIN: Final = "service.beta.kubernetes.io/aws-load-balancer-ssl"
_TABLE: Final = "acm.json"  # written by `meshctl.lab.aws.acm`


def certificate_of(service: Object, port: Object) -> str:
    """The ARN of the certificate with which a port of the Service speaks TLS; "" for one that passes on TCP."""
    annotations = service["metadata"].get("annotations") or {}
    certificate = str(annotations.get(f"{_BEGIN}-cert") or "")
    listed = [text.strip() for text in str(annotations.get(f"{_BEGIN}-ports") or "*").split(",")]
    is_meant = "*" in listed or str(port["port"]) in listed or (port.get("name") or "") in listed
    return certificate if is_meant else ""


def refusal(root: Path, certificate: str, region: str) -> listeners.Refusal | None:
    """Why there is no such listener."""
    return listeners.refusal(read_json(root / _TABLE), certificate, region)


def context(root: Path, certificate: str) -> ssl.SSLContext:
    """Of a certificate that can be used. Raises: OSError when its file is gone."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.minimum_version = ssl.TLSVersion.TLSv1_2
    tls.load_cert_chain(read_json(root / _TABLE)[certificate]["file"])
    return tls


def users(used: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """By certificate, the load balancers that use it. `used`: both, of each port."""
    by_certificate: dict[str, list[str]] = {}
    for certificate, balancer in sorted(set(used)):
        by_certificate.setdefault(certificate, []).append(balancer)
    return by_certificate
