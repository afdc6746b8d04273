"""Kubeconfig: which API server, how to trust it, who we are. Called by `config` (identity) and `connection`. EDGE.

lightkube is imported where it is used: it takes a fifth of a second, which a preview with an unknown cluster needn't
spend.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from providers.base.provider import ProviderError

if TYPE_CHECKING:
    from lightkube.config.kubeconfig import SingleConfig
    from lightkube.config.models import User, UserExec

EXEC_TIMEOUT_S: Final = 60.0
RENEW_BEFORE_S: Final = 60.0
FILE_TOKEN_S: Final = 60.0
FROM: Final = "meshctl.dev/from"  # beside the keys of an entry: the kubeconfig that it stands in
KINDS: Final = {"clusters": "cluster", "contexts": "context", "users": "user"}
FILE_KEYS: Final = ("certificate-authority", "client-certificate", "client-key", "tokenFile")


def _wrong(message: str) -> ProviderError:
    return ProviderError("Kubeconfig", message)


def documents(given: str) -> list[dict[str, Any]]:
    """The kubeconfigs that `given` names: YAML or JSON content, or paths joined by `:`; empty is what kubectl would
    read.

    Raises:
        ProviderError: not there, not readable, not a kubeconfig.
    """
    if "\n" in given or given.lstrip().startswith("{"):
        return [_parse(given, Path.cwd(), "the kubeconfig")]
    paths = [_expanded(item) for item in (given or _default_paths()).split(os.pathsep) if item]
    places = ", ".join(map(str, paths))
    try:
        texts = {path: path.read_text() for path in paths if path.is_file()}
    except (OSError, ValueError) as error:  # ValueError: bytes that are no text, a NUL in a name
        raise _wrong(f"the kubeconfig {places} can't be read: {error}") from error
    if not texts:
        raise _wrong(f"no kubeconfig at {places}")
    return [_parse(text, path.parent, str(path)) for path, text in texts.items()]


def _default_paths() -> str:
    return os.environ.get("KUBECONFIG") or "~/.kube/config"


def _expanded(path: str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError as error:  # `~` of a user who does not exist
        raise _wrong(f"{path}: {error}") from error


def _parse(text: str, folder: Path, name: str) -> dict[str, Any]:
    """One kubeconfig; each of its entries says at `FROM` where it was read, which is `name`."""
    try:
        found = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 (a safe loader)
    except (yaml.YAMLError, ValueError) as error:
        raise _wrong(f"{name} is not YAML: {error}") from error
    if not isinstance(found, dict):
        raise _wrong(f"{name} is neither the path of a file nor the content of one")
    parsed: dict[str, Any] = {"current-context": found.get("current-context")}
    try:
        for kind, key in KINDS.items():
            items = found.get(kind) or []
            parsed[kind] = [{"name": _name(item), key: _entry(item.get(key), folder, name)} for item in items]
    except (AttributeError, TypeError, KeyError) as error:
        raise _wrong(f"{name} is malformed: {type(error).__name__}: {error}") from error
    return parsed


def _name(item: dict[str, Any]) -> str:
    if not isinstance(item["name"], str):
        raise TypeError(f"the name {item['name']!r} is no text")
    return item["name"]


def _entry(given: Any, folder: Path, name: str) -> dict[str, Any]:
    """A cluster, context or user. Paths in a kubeconfig count from its folder."""
    entry = {**(given or {}), FROM: name}
    for key in FILE_KEYS:
        if entry.get(key):
            entry[key] = str(folder / _expanded(entry[key]))
    return entry


def merged(given: str) -> dict[str, Any]:
    """Several files as one, as kubectl does it: the first to name something wins."""
    whole: dict[str, Any] = {"clusters": [], "contexts": [], "users": [], "current-context": None}
    for document in documents(given):
        whole["current-context"] = whole["current-context"] or document.get("current-context")
        for kind in ("clusters", "contexts", "users"):
            known = {item["name"] for item in whole[kind]}
            whole[kind] += [item for item in document.get(kind) or [] if item["name"] not in known]
    return whole


def _named(items: list[dict[str, Any]], name: str, what: str) -> dict[str, Any]:
    for item in items:
        if item["name"] == name:
            found = item.get(what) or {}
            return dict(found)
    names = ", ".join(str(item["name"]) for item in items) or "none"
    raise _wrong(f"the kubeconfig has no {what} {name!r}; it has {names}")


def _chosen(given: str, *, context: str, cluster: str) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    whole = merged(given)
    name = context or whole["current-context"]
    if not name:
        raise _wrong("the kubeconfig has no current context; set `context`")
    chosen = _named(whole["contexts"], name, "context")
    chosen["cluster"] = cluster or chosen.get("cluster", "")
    user = _named(whole["users"], chosen["user"], "user") if chosen.get("user") else {}
    return chosen, _named(whole["clusters"], chosen["cluster"], "cluster"), user


def identity(given: str, *, context: str, cluster: str) -> tuple[str, str] | None:
    """(server, certificate authority) of the chosen cluster; None when it can't be told."""
    try:
        found = _chosen(given, context=context, cluster=cluster)[1]
    except (ProviderError, OSError):
        return None
    authority = found.get("certificate-authority-data") or found.get("certificate-authority") or ""
    return str(found.get("server")), str(authority)


def load(given: str, *, context: str, cluster: str) -> SingleConfig:
    """The chosen cluster, user and namespace.

    Raises:
        ProviderError: no such file, context, cluster or user.
    """
    from lightkube.config.kubeconfig import KubeConfig
    from lightkube.core.exceptions import ConfigError

    entries = _chosen(given, context=context, cluster=cluster)
    for entry in entries:
        check_files(entry)
    chosen, server, user = ({key: entry[key] for key in entry if key != FROM} for entry in entries)
    whole = {
        "current-context": "chosen",
        "contexts": [{"name": "chosen", "context": {**chosen, "cluster": "chosen", "user": "chosen"}}],
        "clusters": [{"name": "chosen", "cluster": server}],
        "users": [{"name": "chosen", "user": user}],
    }
    try:
        found = KubeConfig.from_dict(whole).get()
    except (ConfigError, TypeError, ValueError) as error:
        raise _wrong(f"the kubeconfig is malformed: {error}") from error
    if found is None or not isinstance(found.cluster.server, str):
        raise _wrong("the kubeconfig chooses no cluster")
    return found


def check_files(entry: dict[str, Any]) -> None:
    """The files that an entry names can be read: the TLS library says "No such file or directory" without a name.

    Raises:
        ProviderError: naming the file, its key and the kubeconfig.
    """
    for key in FILE_KEYS:
        if not entry.get(key) or entry.get(f"{key}-data"):  # the data wins
            continue
        try:
            Path(entry[key]).open("rb").close()
        except (OSError, ValueError) as error:  # ValueError: a NUL in the name
            why = getattr(error, "strerror", None) or error
            raise _wrong(f"{entry[key]}, the {key} of {entry[FROM]}: {why}") from error
    has = [bool(entry.get(key) or entry.get(f"{key}-data")) for key in ("client-certificate", "client-key")]
    if has[0] != has[1]:
        raise _wrong(f"a user of {entry[FROM]} has one of client-certificate and client-key: it needs both")


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
