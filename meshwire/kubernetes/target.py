"""What a kubeconfig chooses as typed values: the server, whom to trust, and who asks. PURE.

Called with the choice of `meshwire.kubeconfig`, before a client is made. Keys that are not named here are ignored, as
they always were (`as`, `tls-server-name`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from meshwire.kubeconfig import Choice, KubeconfigError

DEFAULT_NAMESPACE: Final = "default"
_SERVERS: Final = ("https", "http")
_PROXIES: Final = ("http", "https", "socks5", "socks5h")


@dataclass(frozen=True)
class Trust:
    """How the server is to prove itself. The authority is a file or base64; with neither, the system's are asked."""

    authority_file: str = ""
    authority_data: str = ""
    insecure: bool = False


@dataclass(frozen=True)
class CredentialProgram:
    """The `exec` of a user: a program that prints a token."""

    api_version: str
    command: str
    arguments: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class User:
    """Who asks. Of several credentials that are given, `credentials` has the order."""

    token: str = field(default="", repr=False)
    token_file: str = ""
    program: CredentialProgram | None = None
    name: str = ""
    password: str = field(default="", repr=False)
    has_auth_provider: bool = False
    certificate_file: str = ""
    certificate_data: str = field(default="", repr=False)
    key_file: str = ""
    key_data: str = field(default="", repr=False)


@dataclass(frozen=True)
class Target:
    """One API server as one user. `server` has no slash at its end."""

    server: str
    namespace: str = DEFAULT_NAMESPACE
    proxy_url: str = ""
    trust: Trust = Trust()
    user: User = User()


def target(choice: Choice) -> Target:
    """Raises: KubeconfigError when a value is of a wrong type, or the cluster has no server."""
    server = choice.cluster.values.get("server")
    if not isinstance(server, str) or not server:  # there is no default, as there is none for kubectl
        raise KubeconfigError(f"the cluster of the context {choice.name} in {choice.cluster.source} has no server")
    try:
        _check_scheme(server, "server", _SERVERS)
        return Target(
            server=server.rstrip("/"),
            namespace=_text(choice.context.values, "namespace") or DEFAULT_NAMESPACE,
            proxy_url=_proxy_url(choice.cluster.values),
            trust=_trust(choice.cluster.values),
            user=_user(choice.user.values),
        )
    except (TypeError, ValueError) as error:
        raise KubeconfigError(f'the context "{choice.name}" is malformed: {error}') from error


def _proxy_url(cluster: Mapping[str, Any]) -> str:
    url = _text(cluster, "proxy-url")
    if url:
        _check_scheme(url, "proxy-url", _PROXIES)
    return url


def _check_scheme(url: str, key: str, schemes: tuple[str, ...]) -> None:
    """The URL is not shown: a password may stand in it."""
    try:
        scheme = urlsplit(url).scheme
    except ValueError as error:
        raise ValueError(f"the {key} is no URL: {error}") from error
    if scheme not in schemes:
        raise ValueError(f"the {key} does not begin with {' or '.join(f'{each}://' for each in schemes)}")


def _trust(cluster: Mapping[str, Any]) -> Trust:
    insecure = cluster.get("insecure-skip-tls-verify") or False
    if not isinstance(insecure, bool):
        raise TypeError("insecure-skip-tls-verify is neither true nor false")
    file, data = _text(cluster, "certificate-authority"), _text(cluster, "certificate-authority-data")
    return Trust(file, data, insecure)


def _user(user: Mapping[str, Any]) -> User:
    return User(
        token=_text(user, "token"),
        token_file=_text(user, "tokenFile"),
        program=_program(user.get("exec")),
        name=_text(user, "username"),
        password=_text(user, "password"),
        has_auth_provider=bool(user.get("auth-provider")),
        certificate_file=_text(user, "client-certificate"),
        certificate_data=_text(user, "client-certificate-data"),
        key_file=_text(user, "client-key"),
        key_data=_text(user, "client-key-data"),
    )


def _program(given: Any) -> CredentialProgram | None:
    if given is None:
        return None
    if not isinstance(given, Mapping):
        raise TypeError("exec is no mapping")
    arguments, environment = given.get("args") or [], given.get("env") or []
    if not isinstance(arguments, list) or not all(isinstance(each, str) for each in arguments):
        raise TypeError("args of exec is no list of texts")
    if not isinstance(environment, list) or not all(isinstance(each, Mapping) for each in environment):
        raise TypeError("env of exec is no list of names and values")
    return CredentialProgram(
        api_version=_required(given, "apiVersion", "exec"),
        command=_required(given, "command", "exec"),
        arguments=tuple(arguments),
        environment=tuple((_required(each, "name", "env"), _present(each, "value", "env")) for each in environment),
    )


def _text(values: Mapping[str, Any], key: str) -> str:
    value = values.get(key)
    if value is not None and not isinstance(value, str):
        raise TypeError(f"{key} is no text")
    return value or ""


def _present(values: Mapping[str, Any], key: str, of: str) -> str:
    if values.get(key) is None:
        raise TypeError(f"{of} has no {key}")
    return _text(values, key)


def _required(values: Mapping[str, Any], key: str, of: str) -> str:
    if not _present(values, key, of):
        raise TypeError(f"{of} has no {key}")
    return _text(values, key)
