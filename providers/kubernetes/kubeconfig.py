"""The kubeconfig of the provider's configuration: which API server, how to trust it, who we are. EDGE.

Called by `config` (identity), `session` and `connection`. Which cluster and user it chooses says `meshwire.kubeconfig`,
for meshctl as for this provider.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from meshwire import kubeconfig, kubeconfig_files
from meshwire.kubeconfig import KubeconfigError
from providers.plugin.provider import ProviderError

if TYPE_CHECKING:
    from lightkube.config.kubeconfig import SingleConfig
    from lightkube.config.models import User, UserExec

EXEC_TIMEOUT_S: Final = 60.0
RENEW_BEFORE_S: Final = 60.0
FILE_TOKEN_S: Final = 60.0


def identity(given: str, *, context: str, cluster: str) -> tuple[str, str] | None:
    """(server, certificate authority) of the chosen cluster; None when it can't be told."""
    try:
        chosen = kubeconfig.choose(given, context=context, cluster=cluster).cluster.values
    except KubeconfigError:
        return None
    authority = chosen.get("certificate-authority-data") or chosen.get("certificate-authority") or ""
    return str(chosen.get("server")), str(authority)


def load(given: str, *, context: str, cluster: str) -> SingleConfig:
    """The chosen cluster, user and namespace.

    Raises:
        ProviderError: code `Kubeconfig`. No such file, context, cluster or user, or it can't be used.
    """
    try:
        choice = kubeconfig.choose(given, context=context, cluster=cluster)
        config = choice.config()
        kubeconfig_files.check_files(choice)
    except KubeconfigError as error:
        raise ProviderError("Kubeconfig", str(error)) from error
    return config


class Credentials:
    """The `Authorization` header of a user, renewed when it runs out. Shared by all threads.

    Raises from `header`:
        ProviderError: code `Unauthorized`, when a credential program fails or gives no token.
    """

    def __init__(self, user: User | None) -> None:
        self._user = user
        self._lock = threading.Lock()
        self._header: str | None = None
        self._good_until = 0.0

    def header(self, *, refused: str | None = None) -> str | None:
        """The header, or None for no such user. `refused`: the one that the server just answered with 401."""
        with self._lock:
            if time.time() >= self._good_until or (refused is not None and refused == self._header):
                self._header, self._good_until = self._fresh()
            return self._header

    def _fresh(self) -> tuple[str | None, float]:
        user = self._user
        if user is None:
            return None, float("inf")
        if user.token_file:
            return f"Bearer {_token_of(user.token_file)}", time.time() + FILE_TOKEN_S
        if user.token:
            return f"Bearer {user.token}", float("inf")
        if user.exec:
            return run_exec(user.exec)
        if user.auth_provider:
            raise ProviderError(
                "Unauthorized", "the kubeconfig's auth-provider is not supported; use an exec credential"
            )
        return None, float("inf")


def _token_of(file: str) -> str:
    try:
        return Path(file).read_text().strip()
    except (OSError, ValueError) as error:
        raise ProviderError(
            "Unauthorized", f"{file}, the tokenFile of the kubeconfig, can't be read: {error}"
        ) from error


def run_exec(plugin: UserExec) -> tuple[str, float]:
    """(header, good until) of a credential program. Source: client.authentication.k8s.io/v1, ExecCredential."""
    env = {**os.environ, **{item.name: item.value for item in plugin.env or []}}
    info = {"apiVersion": plugin.apiVersion, "kind": "ExecCredential", "spec": {"interactive": False}}
    env["KUBERNETES_EXEC_INFO"] = json.dumps(info)
    try:
        done = subprocess.run(
            [plugin.command, *(plugin.args or [])],
            env=env,
            capture_output=True,
            text=True,
            check=False,
            timeout=EXEC_TIMEOUT_S,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ProviderError("Unauthorized", f"credential program {plugin.command}: {error}") from error
    if done.returncode != 0:
        raise ProviderError("Unauthorized", f"credential program {plugin.command}: {done.stderr.strip()[-500:]}")
    return _exec_credential(done.stdout, plugin.command)


def _exec_credential(text: str, command: str) -> tuple[str, float]:
    try:
        status = json.loads(text)["status"]
        token = status["token"]
    except (ValueError, KeyError, TypeError) as error:
        raise ProviderError("Unauthorized", f"credential program {command} gave no token") from error
    until = status.get("expirationTimestamp")
    if not until:
        return f"Bearer {token}", float("inf")
    end = dt.datetime.fromisoformat(str(until).replace("Z", "+00:00")).timestamp()
    return f"Bearer {token}", end - RENEW_BEFORE_S
