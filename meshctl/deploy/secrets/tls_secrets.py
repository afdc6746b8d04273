"""Checks the value of a secret that holds a gateway's certificate and key, before it goes to a cluster. EDGE (OpenSSL
reads the text from a file in memory).

Called by `secret_values`. nginx would find the same faults, and its pods would never become ready.
"""

from __future__ import annotations

import os
import re
import ssl
from typing import Final

from meshctl.errors import UsageError
from meshctl.model.deployment import Deployment
from meshctl.resolve.work.nginx import CERTIFICATE

_BLOCK: Final = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----")
_HINT: Final = (
    "its value is the certificate, the intermediate certificates and the private key in PEM, one after the other:"
    " `cat tls.crt tls.key > chat.pem`, and `secrets: {NAME: {file: chat.pem}}` in environments.yaml"
)


def names(deployment: Deployment) -> dict[str, str]:
    """The secrets that hold certificates: by name, the gateway that needs it."""
    return {
        workload.secret_files[CERTIFICATE]: workload.name
        for workload in deployment.workloads
        if CERTIFICATE in workload.secret_files
    }


def check(name: str, gateway: str, value: str) -> None:
    """Raises: UsageError where nginx could not use the value. No message repeats any of it."""
    why = _fault(value)
    if why:
        raise UsageError(
            f"the secret {name} can't be used for TLS by {gateway}", why=why, hint=_HINT.replace("NAME", name)
        )


def _fault(value: str) -> str:
    """What is wrong with the value; "" where it can be used."""
    blocks = _BLOCK.findall(value)
    if "CERTIFICATE" not in blocks:
        return "it holds no certificate in PEM"
    keys = [block for block in blocks if block.endswith("PRIVATE KEY")]
    if not keys:
        return "it holds a certificate, but no private key"
    if "ENCRYPTED" in keys[0] or "Proc-Type: 4,ENCRYPTED" in value:
        return "its private key is encrypted, and nobody can tell nginx the password"
    return _fault_of_pair(value)


def _fault_of_pair(value: str) -> str:
    """What OpenSSL finds. It takes no text, so it gets a file that exists in memory alone, where there are such."""
    if not hasattr(os, "memfd_create"):
        return ""
    descriptor = os.memfd_create("certificate")
    try:
        os.write(descriptor, value.encode())
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(f"/proc/self/fd/{descriptor}")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            return "its private key is not the one of its first certificate; the server's own has to come first"
        return f"OpenSSL can't read it ({error.reason or 'not PEM'})"
    finally:
        os.close(descriptor)
    return ""
