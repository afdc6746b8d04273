"""Recognizes TLS certificate errors, which are not retried; other connection errors are. PURE.

Called where the errors of clients become ours (`cluster_access`, `aws_errors`, `failures`, … and `meshctl.migrate`).
"""

from __future__ import annotations

import re
import ssl
from typing import Final

from meshctl.errors import CredentialsError

# as Python's, Go's and Rust's TLS libraries say it, of the server's certificate and of ours
REFUSED: Final = re.compile(
    r"CERTIFICATE_VERIFY_FAILED|certificate verify failed|x509: |failed to verify certificate"
    r"|invalid peer certificate|ALERT_\w*(CERTIFICATE|UNKNOWN_CA)|tls: (\w+ )*certificate",
    re.IGNORECASE,
)
HINT: Final = (
    "check the certificate of that address: its end, its host name, and the authorities that this machine trusts"
)


def refuse(whose: str, error: BaseException) -> None:
    """Raises: CredentialsError when `error`, or what caused it, is about a certificate. `whose`: what was asked."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError) or REFUSED.search(str(cause)):
            raise CredentialsError(f"{whose}: the certificate was refused", why=str(cause), hint=HINT) from error
        cause = cause.__cause__ or cause.__context__
