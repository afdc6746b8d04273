"""How a Kubernetes cluster is reached: the kubeconfig as kubectl reads it, a client, its errors as ours. EDGE.

Used by `clusters` and `cluster_identity`. The engine's plugin reads the same kubeconfig by itself: both must choose the
same cluster.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import lightkube
import yaml
from lightkube.config.client_adapter import verify_cluster
from lightkube.config.kubeconfig import KubeConfig, SingleConfig
from lightkube.core.exceptions import ConfigError

from meshctl import user_paths
from meshctl.engine import certificates, exec_token, kube_types
from meshctl.errors import BusyError, CredentialsError, MeshError, UnreachableError

CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 20
_DOWN = (502, 503, 504)  # what a balancer says when no API server is behind it
_FROM = "meshctl.dev/from"  # beside the keys of a kubeconfig's entry: the file that it stands in
_KINDS = {"clusters": "cluster", "contexts": "context", "users": "user"}
_BUSY = (408, 429, 500)  # what an API server says that has too much to do, or whose etcd has
_FILE_KEYS = frozenset({"certificate-authority", "client-certificate", "client-key", "tokenFile"})


@dataclass(frozen=True)
class ClusterAccess:
    """One cluster: `kubeconfig` is content (JSON or YAML), paths, or empty for the standard places.

    `name` is the environment's; `uid` says which cluster it must be, and is empty where that isn't known.
    """

    name: str
    kubeconfig: str = ""
    context: str = ""
    uid: str = ""

    @property
    def place(self) -> str:
        """What chooses the cluster, in words."""
        context = f'the context "{self.context}"' if self.context else "the current context"
        return f"{context} of {self.kubeconfig or _standard_place()}"

    def client(self) -> lightkube.Client:
        """Raises: CredentialsError when there is no such kubeconfig or context, or it can't be used."""
        with named(self.name):
            kube_types.describe()
            config = self._config()
            timeout = httpx2.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
            try:
                return lightkube.Client(config=config, timeout=timeout, trust_env=False, transport=_with_token(config))
            except (ValueError, TypeError, httpx2.InvalidURL) as error:  # a certificate or an address that is none
                raise ConfigError(str(error)) from error

    def _config(self) -> SingleConfig:
        return _chosen(_merged(self.kubeconfig), self.context)


def _with_token(config: SingleConfig) -> httpx2.BaseTransport | None:
    """What lightkube sends its requests with where a credential program gives the token; it would run the program for
    each client anew. None leaves the choice to lightkube. The program is taken out of `config`."""
    user = config.user
    if user is None or user.exec is None or user.token or user.token_file:
        return None
    token = exec_token.shared(user.exec)
    user.exec = None
    verify = verify_cluster(config.cluster, user, config.abs_file, trust_env=False)
    return exec_token.WithToken(httpx2.HTTPTransport(verify=verify, trust_env=False), token)


def _standard_place() -> str:
    return "$KUBECONFIG" if os.environ.get("KUBECONFIG") else "~/.kube/config"


def is_content(kubeconfig: str) -> bool:
    return "\n" in kubeconfig or kubeconfig.lstrip().startswith("{")


def _merged(kubeconfig: str) -> dict[str, Any]:
    """Several files as one: the first to name something wins."""
    whole: dict[str, Any] = {"clusters": {}, "contexts": {}, "users": {}, "current-context": ""}
    for document in _documents(kubeconfig):
        whole["current-context"] = whole["current-context"] or document["current-context"]
        for kind in _KINDS:
            for name, entry in document[kind].items():
                whole[kind].setdefault(name, entry)
    return whole


def _documents(kubeconfig: str) -> list[dict[str, Any]]:
    """Each as `_parsed` has it."""
    if is_content(kubeconfig):
        return [_parsed(kubeconfig, Path.cwd(), "the kubeconfig that was given")]
    given = kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config"
    paths = [_expanded(part) for part in given.split(os.pathsep) if part]
    found = [path for path in paths if _is_file(path)]
    if not found:
        named_by = "" if kubeconfig else f" ({_standard_place()})"
        raise ConfigError(f"there is no kubeconfig at {', '.join(map(str, paths)) or repr(given)}{named_by}")
    return [_parsed(path.read_bytes(), path.parent, str(path)) for path in found]


def _parsed(content: str | bytes, folder: Path, name: str) -> dict[str, Any]:
    """One document: its entries by kind and name, with paths that do not depend on where it was, and with the words for
    where each was read at `_FROM`. Raises: ConfigError when it isn't a kubeconfig."""
    try:
        document = yaml.safe_load(content) or {}
        parsed: dict[str, Any] = {"current-context": document.get("current-context") or ""}
        for kind, key in _KINDS.items():
            parsed[kind] = {}
            for item in document.get(kind) or ():
                entry = {**(item.get(key) or {}), _FROM: name}
                for file_key in [file_key for file_key in _FILE_KEYS if entry.get(file_key)]:
                    entry[file_key] = str(folder / _expanded(entry[file_key]))
                parsed[kind].setdefault(item["name"], entry)
    except (yaml.YAMLError, AttributeError, TypeError, ValueError) as error:
        raise ConfigError(f"{name} is no kubeconfig: {' '.join(str(error).split())}") from error
    except KeyError as error:
        raise ConfigError(f"{name} is no kubeconfig: an entry of it has no {error}") from error
    return parsed


def _is_file(path: Path) -> bool:
    """Raises: ConfigError where that can't be asked: a name that is too long, a folder that may not be read."""
    try:
        return path.is_file()
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: {getattr(error, 'strerror', None) or error}") from error


def _expanded(path: str) -> Path:
    """Raises: ConfigError for the `~` of a user who does not exist."""
    try:
        return user_paths.expanded(path)
    except user_paths.NoHomeError as error:
        raise ConfigError(f"{error.what}: {error.why}") from error


def _chosen(whole: dict[str, Any], context: str) -> SingleConfig:
    name = context or whole["current-context"]
    if not name:
        there = ", ".join(map(str, whole["contexts"])) or "no contexts at all"
        raise ConfigError(f"the kubeconfig has no current context; it has {there}")
    chosen = _of(whole["contexts"], name, "context")
    server = _of(whole["clusters"], chosen.get("cluster", ""), "cluster")
    user = _of(whole["users"], chosen["user"], "user") if chosen.get("user") else {}
    if not isinstance(server.get("server"), str):
        raise ConfigError(f"the cluster of the context {name} in {server[_FROM]} has no server")
    _check_files(server)
    _check_files(user)
    chosen, server, user = ({k: v for k, v in entry.items() if k != _FROM} for entry in (chosen, server, user))
    try:
        read = KubeConfig.from_dict(
            {
                "contexts": [{"name": name, "context": {**chosen, "cluster": name, "user": name}}],
                "clusters": [{"name": name, "cluster": server}],
                "users": [{"name": name, "user": user}],
            }
        )
    except (TypeError, ValueError) as error:
        raise ConfigError(f'the context "{name}" is malformed: {error}') from error
    return SingleConfig(name, read.contexts[name], read.clusters[name], read.users[name])


def _check_files(entry: Mapping[str, Any]) -> None:
    """The files that a cluster or user of a kubeconfig names are there, and hold what they should: the TLS library says
    "No such file or directory" and "PEM lib" without a name.

    Raises: ConfigError naming the file, its key and the kubeconfig.
    """
    for key in sorted(key for key in _FILE_KEYS if entry.get(key) and not entry.get(f"{key}-data")):
        try:
            Path(entry[key]).open("rb").close()
            if key == "certificate-authority":
                ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(entry[key])
        except ssl.SSLError as error:
            why = f"it holds no certificate ({error.reason})"
            raise ConfigError(f"{entry[key]}, the {key} of {entry[_FROM]}: {why}") from error
        except (OSError, ValueError) as error:  # ValueError: a NUL in the name
            why = getattr(error, "strerror", None) or str(error)
            raise ConfigError(f"{entry[key]}, the {key} of {entry[_FROM]}: {why}") from error
    certificate, key_file = entry.get("client-certificate"), entry.get("client-key")
    given = [bool(entry.get(key) or entry.get(f"{key}-data")) for key in ("client-certificate", "client-key")]
    if given[0] != given[1]:
        raise ConfigError(f"a user of {entry[_FROM]} has one of client-certificate and client-key: it needs both")
    if certificate and key_file and not {"client-certificate-data", "client-key-data"} & entry.keys():
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key_file)
        except ssl.SSLError as error:
            both = f"{certificate} and {key_file}, client-certificate and client-key of {entry[_FROM]}"
            raise ConfigError(f"{both}: they are no certificate with its key ({error.reason})") from error


def _of(items: dict[str, Any], name: str, what: str) -> dict[str, Any]:
    if not isinstance(name, str) or name not in items:
        raise ConfigError(f'the kubeconfig has no {what} "{name}"; it has {", ".join(map(str, items)) or "none"}')
    return dict(items[name])


@contextmanager
def named(cluster: str) -> Iterator[None]:
    """The client's errors as ours. Raises: CredentialsError, UnreachableError, BusyError, MeshError."""
    try:
        yield
    except (ConnectionError, TimeoutError) as error:
        raise _unreachable(cluster, error) from error
    except (ConfigError, OSError) as error:  # OSError: a certificate or a credential program that isn't there
        raise CredentialsError(
            f"{cluster}: the kubeconfig can't be used",
            why=str(error),
            hint="check `kubernetes:` of the environment, or $KUBECONFIG, and the credential program that it names",
        ) from error
    except httpx2.HTTPError as error:
        status = error.response.status_code if isinstance(error, httpx2.HTTPStatusError) else 0
        if status in (401, 403):
            hint = "renew the credentials" if status == 401 else "the user lacks the right that the message names"
            raise CredentialsError(f"{cluster}: the API server refused", why=str(error), hint=hint) from error
        if status in _BUSY:
            raise BusyError(
                f"{cluster}: the Kubernetes API server has too much to do",
                why=f"[{status}] {error}",
                hint="run the command again a little later",
            ) from error
        if status and status not in _DOWN:
            raise MeshError(f"{cluster}: {error}", hint="`meshctl status` shows the cluster as it is") from error
        if not status:
            certificates.refuse(f"the Kubernetes API server of {cluster}", error)
        raise _unreachable(cluster, error) from error


def _unreachable(cluster: str, error: Exception) -> UnreachableError:
    return UnreachableError(
        f"{cluster}: the Kubernetes API server does not answer",
        why=str(error) or type(error).__name__,
        hint="check the cluster's address and the network; in the lab: `meshctl lab status`",
    )
