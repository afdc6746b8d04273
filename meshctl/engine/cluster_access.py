"""How a Kubernetes cluster is reached: the kubeconfig as kubectl reads it, a client, its errors as ours. EDGE.

Used by `clusters` and `cluster_identity`. The engine's plugin reads the same kubeconfig by itself: both must choose the
same cluster.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import lightkube
import yaml
from lightkube.config.kubeconfig import KubeConfig, SingleConfig
from lightkube.core.exceptions import ConfigError

from meshctl.errors import BusyError, CredentialsError, MeshError, UnreachableError

CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 20
_DOWN = (502, 503, 504)  # what a balancer says when no API server is behind it
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
            config = self._config()
            timeout = httpx2.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
            try:
                return lightkube.Client(config=config, timeout=timeout, trust_env=False)
            except ValueError as error:  # a certificate that is none
                raise ConfigError(str(error)) from error

    def _config(self) -> SingleConfig:
        config = _chosen(_merged(self.kubeconfig), self.context)
        # lightkube knows the exec API up to v1beta1; v1 differs in a field that only terminals need
        if config.user and config.user.exec and config.user.exec.apiVersion == "client.authentication.k8s.io/v1":
            config.user.exec.apiVersion = "client.authentication.k8s.io/v1beta1"
        return config


def _standard_place() -> str:
    return "$KUBECONFIG" if os.environ.get("KUBECONFIG") else "~/.kube/config"


def is_content(kubeconfig: str) -> bool:
    return "\n" in kubeconfig or kubeconfig.lstrip().startswith("{")


def _merged(kubeconfig: str) -> dict[str, Any]:
    """Several files as one: the first to name something wins."""
    whole: dict[str, Any] = {"clusters": {}, "contexts": {}, "users": {}, "current-context": ""}
    for document in _documents(kubeconfig):
        whole["current-context"] = whole["current-context"] or document.get("current-context") or ""
        for kind, key in (("clusters", "cluster"), ("contexts", "context"), ("users", "user")):
            for item in document.get(kind) or ():
                whole[kind].setdefault(item["name"], item.get(key) or {})
    return whole


def _documents(kubeconfig: str) -> list[dict[str, Any]]:
    if is_content(kubeconfig):
        return [_parsed(kubeconfig, Path.cwd(), "what was given")]
    given = kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config"
    paths = [Path(part).expanduser() for part in given.split(os.pathsep) if part]
    found = [path for path in paths if path.is_file()]
    if not found:
        named_by = "" if kubeconfig else f" ({_standard_place()})"
        raise ConfigError(f"there is no kubeconfig at {', '.join(map(str, paths)) or repr(given)}{named_by}")
    return [_parsed(path.read_bytes(), path.parent, str(path)) for path in found]


def _parsed(content: str | bytes, folder: Path, name: str) -> dict[str, Any]:
    """One document, with paths that do not depend on where it was. Raises: ConfigError when it isn't a kubeconfig."""
    try:
        document = yaml.safe_load(content) or {}
        for kind, key in (("clusters", "cluster"), ("users", "user")):
            for item in document.get(kind) or ():
                inner = item.get(key) or {}
                inner.update({name: str(folder / Path(inner[name]).expanduser()) for name in _FILE_KEYS & inner.keys()})
    except (yaml.YAMLError, AttributeError, TypeError) as error:
        raise ConfigError(f"{name} is no kubeconfig: {' '.join(str(error).split())}") from error
    return dict(document)


def _chosen(whole: dict[str, Any], context: str) -> SingleConfig:
    name = context or whole["current-context"]
    if not name:
        there = ", ".join(whole["contexts"]) or "no contexts at all"
        raise ConfigError(f"the kubeconfig has no current context; it has {there}")
    chosen = _of(whole["contexts"], name, "context")
    server = _of(whole["clusters"], chosen.get("cluster", ""), "cluster")
    user = _of(whole["users"], chosen["user"], "user") if chosen.get("user") else {}
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


def _of(items: dict[str, Any], name: str, what: str) -> dict[str, Any]:
    if name not in items:
        raise ConfigError(f'the kubeconfig has no {what} "{name}"; it has {", ".join(items) or "none"}')
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
        raise _unreachable(cluster, error) from error


def _unreachable(cluster: str, error: Exception) -> UnreachableError:
    return UnreachableError(
        f"{cluster}: the Kubernetes API server does not answer",
        why=str(error) or type(error).__name__,
        hint="check the cluster's address and the network; in the lab: `meshctl lab status`",
    )
