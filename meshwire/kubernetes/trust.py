"""TLS for one target: whom to trust, and our own certificate. Used by both clients. EDGE (it reads files)."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from tempfile import NamedTemporaryFile

import httpx2

from meshwire.kubeconfig import KubeconfigError
from meshwire.kubernetes.target import Target, Trust


def tls_context(target: Target) -> ssl.SSLContext:
    """Raises: KubeconfigError when a certificate can't be used."""
    if not target.server.startswith("https:"):
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # not used, and made without reading the system's certificates
    user = target.user
    try:
        context = _context(target.trust)
        if user.certificate_file or user.certificate_data:
            with (
                _file(user.certificate_file, user.certificate_data) as certificate,
                _file(user.key_file, user.key_data) as key,
            ):
                context.load_cert_chain(certificate, key)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        files = (target.trust.authority_file, user.certificate_file, user.key_file)
        places = ", ".join(file for file in files if file) or "its data"
        raise KubeconfigError(f"the kubeconfig's certificates ({places}) can't be used: {error}") from error
    return context


def _context(trust: Trust) -> ssl.SSLContext:
    if trust.authority_file or trust.authority_data:  # `insecure` beside an authority is ignored: the stricter of both
        with _file(trust.authority_file, trust.authority_data) as authority:
            return ssl.create_default_context(cafile=authority)
    return httpx2.create_ssl_context(verify=not trust.insecure)


@contextmanager
def _file(path: str, data: str) -> Iterator[str]:
    """Data as a file for as long as it is read: OpenSSL takes certificates with their keys from files only."""
    with ExitStack() as files:
        if data:
            file = files.enter_context(NamedTemporaryFile())
            file.write(base64.b64decode(data))
            file.flush()
            path = file.name
        yield path
