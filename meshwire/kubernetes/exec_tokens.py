"""Tokens of credential programs (a kubeconfig's `exec`): one run of the program for all threads and clients. EDGE.

Used by `credentials`. A look at a cluster makes several clients, and several requests at once: each of them would start
a process that loads Python and an SDK again.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Final

from meshwire.kubernetes.errors import CredentialError
from meshwire.kubernetes.target import CredentialProgram

TIMEOUT_S: Final = 60  # a person may have to confirm a login elsewhere; without an end a look would hang
RENEW_BEFORE_S: Final = 60


@dataclass
class ExecToken:
    """The token of one credential program, made when it is first asked for and again when it runs out."""

    program: CredentialProgram
    _token: str = ""
    _good_until: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def token(self, *, refused: str = "") -> str:
        """`refused`: the token that the API server has just answered with 401.

        Raises: CredentialError when the program fails, or gives no token.
        """
        with self._lock:
            if time.time() >= self._good_until or (refused and refused == self._token):
                self._token, self._good_until = _fresh(self.program)
            return self._token


_TOKENS: Final[dict[Hashable, ExecToken]] = {}
_IN_PROCESS: Final[dict[str, Callable[[CredentialProgram], str | None]]] = {}


def answer_in_process(command: str, make: Callable[[CredentialProgram], str | None]) -> None:
    """Ask `make` for what the program `command` would print, instead of running it. None: run it all the same."""
    _IN_PROCESS[command] = make


def shared(program: CredentialProgram) -> ExecToken:
    """The one of this program, for the whole process. Another environment may be another user's."""
    return _TOKENS.setdefault((program, tuple(sorted(os.environ.items()))), ExecToken(program))


def _fresh(program: CredentialProgram) -> tuple[str, float]:
    """(token, good until). Source: client.authentication.k8s.io/v1, ExecCredential."""
    make = _IN_PROCESS.get(program.command)
    output = make(program) if make is not None else None
    if output is None:
        output = _output_of(program)
    try:
        status = json.loads(output)["status"]
        token, until = str(status["token"]), status.get("expirationTimestamp")
        end = dt.datetime.fromisoformat(str(until).replace("Z", "+00:00")).timestamp() if until else float("inf")
    except (ValueError, KeyError, TypeError) as error:
        raise CredentialError(f"credential program {program.command} gave no token") from error
    return token, end - RENEW_BEFORE_S


def _output_of(program: CredentialProgram) -> str:
    info = {"apiVersion": program.api_version, "kind": "ExecCredential", "spec": {"interactive": False}}
    try:
        done = subprocess.run(
            [program.command, *program.arguments],
            env={**os.environ, **dict(program.environment), "KUBERNETES_EXEC_INFO": json.dumps(info)},
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_S,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise CredentialError(f"credential program {program.command}: {error}") from error
    if done.returncode != 0:
        last_output = done.stderr.strip()[-500:]
        raise CredentialError(f"credential program {program.command} ended with {done.returncode}: {last_output}")
    return done.stdout
