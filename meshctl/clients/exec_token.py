"""Tokens of credential programs (a kubeconfig's `exec`): one run of the program for all threads and clients. EDGE.

Used by `cluster_access`. lightkube runs the program for each client, and once more for each request that is under way
before the first answer: seven processes for one look at a cluster, of which each loads Python and an SDK again.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import threading
import time
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Final

import httpx2
from lightkube.config.models import UserExec
from lightkube.core.exceptions import ConfigError

_TIMEOUT_S: Final = 60  # a person may have to confirm a login elsewhere; without an end a look would hang
_RENEW_BEFORE_S: Final = 60


@dataclass
class ExecToken:
    """The token of one credential program, made when it is first asked for and again when it runs out."""

    plugin: UserExec
    _token: str = ""
    _good_until: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def token(self, *, refused: str = "") -> str:
        """`refused`: the token that the API server has just answered with 401.

        Raises: ConfigError when the program fails, or gives no token.
        """
        with self._lock:
            if time.time() >= self._good_until or (refused and refused == self._token):
                self._token, self._good_until = _fresh(self.plugin)
            return self._token


_TOKENS: Final[dict[Hashable, ExecToken]] = {}


def shared(plugin: UserExec) -> ExecToken:
    """The one of this program, for the whole process. Another environment may be another user's."""
    env = tuple((item.name, item.value) for item in plugin.env or ())
    key = (plugin.command, tuple(plugin.args or ()), env, tuple(sorted(os.environ.items())))
    return _TOKENS.setdefault(key, ExecToken(plugin))


def _fresh(plugin: UserExec) -> tuple[str, float]:
    """(token, good until). Source: client.authentication.k8s.io/v1, ExecCredential."""
    info = {"apiVersion": plugin.apiVersion, "kind": "ExecCredential", "spec": {"interactive": False}}
    own = {item.name: item.value for item in plugin.env or ()}
    try:
        done = subprocess.run(
            [plugin.command, *(plugin.args or ())],
            env={**os.environ, **own, "KUBERNETES_EXEC_INFO": json.dumps(info)},
            capture_output=True,
            text=True,
            check=False,
            timeout=_TIMEOUT_S,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise ConfigError(f"credential program {plugin.command}: {error}") from error
    if done.returncode != 0:
        said = done.stderr.strip()[-500:]
        raise ConfigError(f"credential program {plugin.command} ended with {done.returncode}: {said}")
    try:
        status = json.loads(done.stdout)["status"]
        token, until = str(status["token"]), status.get("expirationTimestamp")
        end = dt.datetime.fromisoformat(str(until).replace("Z", "+00:00")).timestamp() if until else float("inf")
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"credential program {plugin.command} gave no token") from error
    return token, end - _RENEW_BEFORE_S


class WithToken(httpx2.BaseTransport):
    """A transport whose requests carry the token, and are sent once more with a new one where it is refused."""

    def __init__(self, inner: httpx2.BaseTransport, token: ExecToken) -> None:
        self._inner = inner
        self._token = token

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        token = self._token.token()
        response = self._sent(request, token)
        if response.status_code != 401:
            return response
        renewed = self._token.token(refused=token)
        if renewed == token:
            return response
        response.close()
        return self._sent(request, renewed)

    def _sent(self, request: httpx2.Request, token: str) -> httpx2.Response:
        request.headers["Authorization"] = f"Bearer {token}"
        return self._inner.handle_request(request)

    def close(self) -> None:
        self._inner.close()
