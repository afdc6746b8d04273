"""The `Authorization` header of a user, renewed when it runs out. Used by both clients. EDGE (it reads files, and runs
programs)."""

from __future__ import annotations

import base64
import threading
import time
from pathlib import Path
from typing import Final

from meshwire.kubernetes import exec_tokens
from meshwire.kubernetes.errors import CredentialError
from meshwire.kubernetes.target import User

FILE_TOKEN_S: Final = 60.0
_FOR_EVER: Final = float("inf")


class Credentials:
    """Of one user, for all threads. Of several credentials the first counts: a token's file, a token, a program, a
    password. client-go has the same order for the first two, and refuses a password beside a token."""

    def __init__(self, user: User) -> None:
        self._user = user
        self._lock = threading.Lock()
        self._header = ""
        self._good_until = 0.0

    @property
    def may_take_long(self) -> bool:
        """Whether a header may be the work of a program, for which an event loop should not wait."""
        return self._user.program is not None

    def header(self, *, refused: str = "") -> str:
        """Empty for a user without any. `refused`: the header that the server has just answered with 401.

        Raises: CredentialError.
        """
        user = self._user
        if user.program is not None and not (user.token_file or user.token):
            return _bearer(exec_tokens.shared(user.program).token(refused=refused.removeprefix("Bearer ")))
        with self._lock:
            if time.monotonic() >= self._good_until or (refused and refused == self._header):
                self._header, lasts_s = _header_of(user)
                self._good_until = time.monotonic() + lasts_s
            return self._header


def _header_of(user: User) -> tuple[str, float]:
    """(header, seconds that it is good for)."""
    if user.token_file:
        return _bearer(_token_of(user.token_file)), FILE_TOKEN_S
    if user.token:
        return _bearer(user.token), _FOR_EVER
    if user.name and user.password:
        return f"Basic {base64.b64encode(f'{user.name}:{user.password}'.encode()).decode()}", _FOR_EVER
    if user.has_auth_provider:
        raise CredentialError("the kubeconfig's auth-provider is not supported; use an exec credential")
    return "", _FOR_EVER


def _bearer(token: str) -> str:
    if not (token.isascii() and token.isprintable()):
        raise CredentialError("the token has characters that no HTTP header can have: line breaks, or other than ASCII")
    return f"Bearer {token}"


def _token_of(file: str) -> str:
    try:
        return Path(file).read_text().strip()
    except (OSError, ValueError) as error:
        raise CredentialError(f"{file}, the tokenFile of the kubeconfig, can't be read: {error}") from error
