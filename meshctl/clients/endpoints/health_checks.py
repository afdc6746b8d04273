"""Asks an address for its health in the words of a mesh's `health`: http, https, grpc, or whether a connection counts.
EDGE.

Called by the gateway of a migration, which asks endpoints at their own addresses before names lead there.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Final, Literal

import httpx2

from meshctl.clients.endpoints import grpc_health
from meshctl.model.keys.health import Protocol

TIMEOUT_S: Final = 10.0
STEADY_S: Final = 1.0  # a connection that is closed within this time was never served


@dataclass(frozen=True)
class Question:
    """`protocol` "any": a connection counts, but what answers by HTTP must not answer with an error of its own.
    `path` and `below`, the first status that is no good answer, are for HTTP alone."""

    protocol: Protocol | Literal["any"]
    path: str = "/"
    below: int = 500


@dataclass(frozen=True)
class Answer:
    """`text`: what was asked, and what came back."""

    ok: bool
    text: str


@dataclass(frozen=True)
class Place:
    """Where to ask. `name` is the host that users ask for, `address` the IP address that stands for it at the moment,
    in brackets where it is one of IPv6."""

    address: str
    port: int
    name: str

    @property
    def target(self) -> str:
        return f"{self.address}:{self.port}"


def ask(question: Question, place: Place) -> Answer:
    """One question and its answer. Nothing that comes back is an error of ours."""
    if question.protocol == "grpc":
        status = grpc_health.check(place.target, timeout_s=TIMEOUT_S, authority=f"{place.name}:{place.port}")
        return Answer(status == grpc_health.SERVING, f"gRPC health check of {place.target}: {status}")
    if question.protocol == "tcp":
        return _connection(place)[0]
    if question.protocol == "any":
        return _any(question, place)
    return _http(question.protocol, question, place)


def connects(place: Place) -> Answer:
    """Whether something takes a connection there, whatever becomes of it."""
    try:
        socket.create_connection((place.address.strip("[]"), place.port), TIMEOUT_S).close()
    except OSError as error:
        return Answer(ok=False, text=f"connection to {place.target}: {error.strerror or error}")
    return Answer(ok=True, text=f"connection to {place.target}: accepted")


def _any(question: Question, place: Place) -> Answer:
    """A server that speaks first is none of HTTP, and would only be waited for."""
    connection, speaks_first = _connection(place)
    if speaks_first or not connection.ok:
        return connection
    try:
        return _status("http", question, place)
    except httpx2.HTTPError:
        return connection


def _http(scheme: str, question: Question, place: Place) -> Answer:
    try:
        return _status(scheme, question, place)
    except httpx2.HTTPError as error:
        why = str(error) or type(error).__name__
        return Answer(ok=False, text=f"GET {_url(scheme, question, place)}: no answer ({why})")


def _status(scheme: str, question: Question, place: Place) -> Answer:
    """Raises: HTTPError. No certificate is verified: it is one for the name, and a kubelet verifies none either."""
    url = _url(scheme, question, place)
    with httpx2.Client(timeout=TIMEOUT_S, trust_env=False, verify=False) as client:
        status = client.get(
            url,
            headers={"Host": f"{place.name}:{place.port}"},
            extensions={"sni_hostname": place.name},
        ).status_code
    return Answer(status < question.below, f"GET {url}: status {status}")


def _url(scheme: str, question: Question, place: Place) -> str:
    return f"{scheme}://{place.target}{question.path}"


def _connection(place: Place) -> tuple[Answer, bool]:
    """Whether a connection is taken and not closed at once, as a load balancer without pods behind it does; and whether
    the server has spoken first."""
    attempt = f"connection to {place.target}"
    try:
        with socket.create_connection((place.address.strip("[]"), place.port), TIMEOUT_S) as connection:
            connection.settimeout(STEADY_S)
            try:
                first = connection.recv(1)
            except TimeoutError:  # it waits for the client to speak first
                return Answer(ok=True, text=f"{attempt}: accepted"), False
    except OSError as error:
        return Answer(ok=False, text=f"{attempt}: {error.strerror or error}"), False
    return Answer(bool(first), f"{attempt}: accepted{'' if first else ', and closed at once'}"), bool(first)
