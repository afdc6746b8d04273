"""The lab's certificate authority: made at its first use, and kept in the lab's folder. EDGE.

Used by `cert_manager`, and by `meshctl.lab.aws.acm` in another process.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

CERTIFICATE: Final = "authority.pem"
_KEY: Final = "authority.key"
_DAYS: Final = 90
_SIGNS: Final = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


@dataclass(frozen=True)
class Issued:
    """In PEM."""

    chain: bytes
    key: bytes


def file_of(root: Path) -> Path:
    """Where the authority's own certificate is, once it has issued one."""
    return root / "certificates" / CERTIFICATE


def issue(folder: Path, hosts: Sequence[str]) -> Issued:
    """A certificate for the hosts, signed by the authority in `folder`."""
    own_key, own = _authority(folder)
    key = ec.generate_private_key(ec.SECP256R1())
    names = x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts])
    of_authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(own_key.public_key())
    builder = _builder(hosts[0], own.subject, key).add_extension(names, critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    certificate = builder.add_extension(of_authority, critical=False).sign(own_key, hashes.SHA256())
    return Issued(certificate.public_bytes(serialization.Encoding.PEM), _pem(key))


def _authority(folder: Path) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        if not (folder / CERTIFICATE).exists():
            _make(folder)
    key = serialization.load_pem_private_key((folder / _KEY).read_bytes(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{folder / _KEY} is another kind of key than the lab makes")
    return key, x509.load_pem_x509_certificate((folder / CERTIFICATE).read_bytes())


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One process at a time makes the authority."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _make(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "meshctl lab")])
    builder = _builder("meshctl lab", name, key)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    certificate = builder.add_extension(_SIGNS, critical=True).sign(key, hashes.SHA256())
    with os.fdopen(os.open(folder / _KEY, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(_pem(key))
    (folder / CERTIFICATE).write_bytes(certificate.public_bytes(serialization.Encoding.PEM))  # last: now it is whole


def _builder(name: str, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
    begun = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    begun = begun.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    dated = begun.not_valid_before(now - datetime.timedelta(hours=1))
    return dated.not_valid_after(now + datetime.timedelta(days=_DAYS)).serial_number(x509.random_serial_number())


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
