"""The certificates of the lab's Kueue: such as it would make for itself, and with a loopback address beside. EDGE.

Used by `kueue_controller`. Kueue keeps its certificates in a Secret, which the kubelet mounts; it makes new ones where
those of the Secret don't fit. Here the Secret is there before, and its content lies in a folder, as if mounted. Without
that, Kueue reads certificates from /etc, where the lab writes nothing. Names: kueue v0.18.2, pkg/util/cert/cert.go.
"""

from __future__ import annotations

import base64
import datetime
import ipaddress
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from meshctl.lab.state import write_atomically

NAMESPACE: Final = "kueue-system"
SECRET: Final = "kueue-webhook-server-cert"  # noqa: S105  its name
_SERVICE: Final = "kueue-webhook-service"
_AUTHORITY: Final = "kueue-ca"
_YEARS: Final = datetime.timedelta(days=3650)  # Kueue makes others for what ends within three months
_FILES: Final = ("ca.crt", "ca.key", "tls.crt", "tls.key")


def in_folder(folder: Path) -> dict[str, bytes]:
    """The files by their names in the Secret; made where they are missing."""
    if not all((folder / name).exists() for name in _FILES):
        for name, content in _made().items():
            write_atomically(folder / name, content.decode(), 0o600)
    return {name: (folder / name).read_bytes() for name in _FILES}


def secret(files: dict[str, bytes]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": SECRET, "namespace": NAMESPACE},
        "data": {name: base64.b64encode(content).decode() for name, content in files.items()},
    }


def _made() -> dict[str, bytes]:
    key, server_key = (rsa.generate_private_key(65537, 2048) for _ in range(2))
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _AUTHORITY)])
    own = _builder(name, name, key, [x509.DNSName(_AUTHORITY)], is_authority=True).sign(key, hashes.SHA256())
    service = f"{_SERVICE}.{NAMESPACE}.svc"
    names = [x509.DNSName(service), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, service)])
    server = _builder(subject, name, server_key, names, is_authority=False).sign(key, hashes.SHA256())
    contents = (_pem(own), _key(key), _pem(server), _key(server_key))
    return dict(zip(_FILES, contents, strict=True))


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: rsa.RSAPrivateKey,
    names: list[x509.GeneralName],
    *,
    is_authority: bool,
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + _YEARS)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key(key: rsa.RSAPrivateKey) -> bytes:
    form = serialization.PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
