"""The files that a kubeconfig names: that each can be read and holds what it should. EDGE.

Called before the first request, by the engine and by the kubernetes provider: the TLS library says only "No such file
or directory" and "PEM lib", and names neither the file nor the kubeconfig.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from meshwire.kubeconfig import FILE_KEYS, Choice, Entry, KubeconfigError


def check_files(choice: Choice) -> None:
    """Raises: KubeconfigError naming the file, its key and the kubeconfig."""
    for entry in (choice.cluster, choice.user):
        for key in FILE_KEYS:
            if key in entry.values:
                _check_file(entry, key)
    _check_pair(choice.user)


def _check_file(entry: Entry, key: str) -> None:
    path = entry.values[key]
    try:
        Path(path).open("rb").close()
        if key == "certificate-authority":
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError as error:
        why = f"it holds no certificate ({error.reason})"
        raise KubeconfigError(f"{path}, the {key} of {entry.source}: {why}") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        why = getattr(error, "strerror", None) or str(error)
        raise KubeconfigError(f"{path}, the {key} of {entry.source}: {why}") from error


def _check_pair(user: Entry) -> None:
    """A client certificate and its key are given together, and belong together."""
    keys = ("client-certificate", "client-key")
    given = [key in user.values or bool(user.values.get(f"{key}-data")) for key in keys]
    if given[0] != given[1]:
        raise KubeconfigError(f"a user of {user.source} has one of client-certificate and client-key: it needs both")
    if not all(key in user.values for key in keys):  # none, or given as data
        return
    certificate, key_file = (user.values[key] for key in keys)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key_file)
    except ssl.SSLError as error:
        both = f"{certificate} and {key_file}, client-certificate and client-key of {user.source}"
        raise KubeconfigError(f"{both}: they are no certificate with its key ({error.reason})") from error
