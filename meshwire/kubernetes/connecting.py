"""What both clients tell the HTTP library, and make of its answers and errors. EDGE (through `trust`)."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import urlsplit

import httpx2

from meshwire.kubeconfig import KubeconfigError
from meshwire.kubernetes import requests
from meshwire.kubernetes.errors import NoAnswerError
from meshwire.kubernetes.requests import Json, Request
from meshwire.kubernetes.target import Target
from meshwire.kubernetes.trust import tls_context

POOL_SIZE: Final = 64
NO_ANSWER: Final = (httpx2.HTTPError, httpx2.InvalidURL)  # the latter for a proxy of the environment that is none


def options(target: Target, agent: str) -> dict[str, Any]:
    """For `httpx2.Client` and `httpx2.AsyncClient`. A proxy is the kubeconfig's, or else that of `HTTPS_PROXY` and its
    like, as for kubectl, which doesn't look for this machine behind one either."""
    return {
        "base_url": target.server,
        "verify": tls_context(target),
        "proxy": target.proxy_url or None,
        "trust_env": not _is_this_machine(target.server),
        "limits": httpx2.Limits(max_connections=POOL_SIZE, max_keepalive_connections=POOL_SIZE),
        "headers": {"User-Agent": agent, "Accept": requests.JSON},
    }


def _is_this_machine(server: str) -> bool:
    host = urlsplit(server).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@contextmanager
def address_errors(target: Target) -> Iterator[None]:
    """Raises: KubeconfigError for a server or a proxy that is none. Neither is shown: it may hold a password."""
    try:
        yield
    except (httpx2.InvalidURL, ValueError, TypeError, ImportError) as error:  # ImportError: a SOCKS proxy
        proxy = "its proxy-url" if target.proxy_url else "a proxy of the environment"
        raise KubeconfigError(f"the kubeconfig's server, or {proxy}, can't be used: {error}") from error


def headers(request: Request, authorization: str) -> dict[str, str]:
    return {**request.headers, "Authorization": authorization} if authorization else request.headers


def result(response: httpx2.Response) -> Json:
    """Raises: ApiError."""
    return requests.result(response.status_code, response.content, response.headers.get("Content-Type", ""))


def text(response: httpx2.Response) -> str:
    """Of what is no object. Raises: ApiError."""
    return requests.text(response.status_code, response.content, response.headers.get("Content-Type", ""))


def may_be_sent_again(request: Request, error: httpx2.HTTPError) -> bool:
    """Whether TLS failed, other than by a certificate that is not trusted, and the server can't have acted on the
    request: the handshake failed, or the request only reads. With TLS 1.3 a client takes a handshake to be done before
    the server refuses it."""
    broken = next((each for each in _causes(error) if isinstance(each, ssl.SSLError)), None)
    if broken is None or isinstance(broken, ssl.SSLCertVerificationError):
        return False
    return isinstance(error, httpx2.ConnectError) or request.method == "GET"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def no_answer(target: Target, error: Exception) -> NoAnswerError:
    return NoAnswerError(target.server, str(error) or type(error).__name__)
