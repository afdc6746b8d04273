"""The value of a secret for TLS is checked before it goes to a cluster; no message holds any of it."""

from __future__ import annotations

import pytest
import trustme

from meshctl.deploy.secrets import tls_secrets
from meshctl.errors import UsageError

AUTHORITY = trustme.CA()


def parts(host: str) -> tuple[str, str]:
    made = AUTHORITY.issue_cert(host)
    return "".join(part.bytes().decode() for part in made.cert_chain_pems), made.private_key_pem.bytes().decode()


CERTIFICATE, KEY = parts("api.example.com")
OTHER_KEY = parts("other.example.com")[1]


def test_a_certificate_and_its_key_can_be_used_in_either_order() -> None:
    tls_secrets.check("api-certificate", "api-gateway", CERTIFICATE + KEY)
    tls_secrets.check("api-certificate", "api-gateway", KEY + CERTIFICATE)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("hunter2", "it holds no certificate in PEM"),
        (KEY, "it holds no certificate in PEM"),
        (CERTIFICATE, "it holds a certificate, but no private key"),
        (CERTIFICATE + OTHER_KEY, "its private key is not the one of its first certificate"),
        (CERTIFICATE + KEY.replace("PRIVATE", "ENCRYPTED PRIVATE"), "its private key is encrypted"),
        (CERTIFICATE[:200] + "\n-----END CERTIFICATE-----\n" + KEY, "OpenSSL can't read it"),
    ],
)
def test_what_nginx_could_not_use_is_refused(value: str, why: str) -> None:
    with pytest.raises(UsageError) as error:
        tls_secrets.check("api-certificate", "api-gateway", value)
    assert why in str(error.value.why)
    assert "the secret api-certificate can't be used for TLS by api-gateway" in error.value.what
    assert "secrets: {api-certificate: {file: chat.pem}}" in str(error.value.hint)
    assert value[:40] not in f"{error.value.what}{error.value.why}{error.value.hint}"
