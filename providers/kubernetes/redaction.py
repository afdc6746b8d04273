"""Removes the values of Secrets from the last words of crashed containers, which reach logs and the state.

Made and fed by `provider`: it sees every Secret of a run before the pods that read it are waited for.
"""

from __future__ import annotations

import base64
import binascii
import threading
from typing import Final

from providers.kubernetes.objects import Json
from providers.kubernetes.waits.readiness import part

HIDDEN: Final = "[secret]"
SHORTEST: Final = 6  # characters: a shorter value is in many words that tell nothing of it


class Redaction:
    """Knows values, and blots them out. Called from several threads."""

    def __init__(self) -> None:
        self._values: frozenset[str] = frozenset()
        self._lock = threading.Lock()

    def learn(self, secret: Json) -> None:
        """Remember the values of an object of kind Secret."""
        given = {str(value) for value in part(secret, "stringData").values()}
        decoded = {_decoded(str(value)) for value in part(secret, "data").values()}
        lines = {line.strip() for value in given | decoded for line in value.splitlines()}
        with self._lock:
            self._values |= {line for line in lines if len(line) >= SHORTEST}

    def __call__(self, text: str) -> str:
        for value in sorted(self._values, key=len, reverse=True):  # one may be part of another
            text = text.replace(value, HIDDEN)
        return text


def _decoded(data: str) -> str:
    try:
        return base64.b64decode(data).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""
