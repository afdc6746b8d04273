"""Health is asked of real servers on loopback, in the words of a mesh's `health`."""

from __future__ import annotations

import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
import trustme

from meshctl.clients.endpoints import health_checks
from meshctl.clients.endpoints.health_checks import Answer, Place, Question
from tests.local_servers import (
    closes_at_once,
    grpc_server,
    http_server,
    speaks_first,
    tcp_server,
    waits_for_the_client,
)

HOST = "chat.example.com"
HEALTH = 400  # a status from which on a health path has failed


def ask(port: int, question: Question, address: str = "127.0.0.1") -> Answer:
    return health_checks.ask(question, Place(address, port, HOST))


@pytest.mark.parametrize(("status", "is_well"), [(200, True), (302, True), (404, False), (503, False)])
def test_http_is_asked_at_its_path_as_the_host_of_the_endpoint(status: int, is_well: bool) -> None:
    with http_server(health=status) as server:
        port = server.server_port
        answer = ask(port, Question("http", "/health", HEALTH))
    assert answer == Answer(is_well, f"GET http://127.0.0.1:{port}/health: status {status}")
    assert server.hosts == [f"{HOST}:{port}"]


def test_a_request_like_a_users_may_be_refused_but_not_fail() -> None:
    with http_server(root=401) as server:
        assert ask(server.server_port, Question("http")).ok
    with http_server(root=502) as server:
        assert not ask(server.server_port, Question("http")).ok


def test_https_is_asked_without_trust_in_the_certificate() -> None:
    certificate = trustme.CA().issue_cert("another.example.org")
    with http_server(certificate, health=200, root=503) as server:
        assert ask(server.server_port, Question("https", "/health", HEALTH)).ok
        answer = ask(server.server_port, Question("https"))
    assert answer == Answer(False, f"GET https://127.0.0.1:{server.server_port}/: status 503")


def test_a_server_that_speaks_no_tls_does_not_answer_by_https() -> None:
    with http_server(health=200) as server:
        answer = ask(server.server_port, Question("https", "/health", HEALTH))
    assert not answer.ok
    assert answer.text.startswith(f"GET https://127.0.0.1:{server.server_port}/health: no answer (")


@pytest.mark.parametrize(
    ("response", "says"),
    [
        (b"\x08\x01", "SERVING"),
        (b"\x08\x02", "NOT_SERVING"),
        (b"\x08\x03", "SERVICE_UNKNOWN"),
        (b"", "UNKNOWN"),
        (None, "UNIMPLEMENTED: the server has no grpc.health.v1.Health"),
    ],
)
def test_a_grpc_server_is_well_only_when_it_says_serving(response: bytes | None, says: str) -> None:
    with grpc_server(response) as port:
        answer = ask(port, Question("grpc"))
    assert answer == Answer(says == "SERVING", f"gRPC health check of 127.0.0.1:{port}: {says}")


def test_grpc_is_not_answered_by_a_server_that_speaks_something_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_checks, "TIMEOUT_S", 2.0)
    with http_server(root=200) as server:
        answer = ask(server.server_port, Question("grpc"))
    assert not answer.ok
    assert "gRPC health check of 127.0.0.1" in answer.text


def test_a_grpc_server_that_comes_later_is_seen_when_it_is_asked_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert not ask(port, Question("grpc")).ok
    server = grpc.server(ThreadPoolExecutor(max_workers=2))
    assert server.add_insecure_port(f"127.0.0.1:{port}") == port
    server.start()
    answer = ask(port, Question("grpc"))
    server.stop(0).wait(5)
    assert answer.text.endswith("UNIMPLEMENTED: the server has no grpc.health.v1.Health")


@pytest.mark.parametrize("serve", [speaks_first, waits_for_the_client])
@pytest.mark.parametrize("question", [Question("tcp"), Question("any")])
def test_a_connection_that_stays_open_counts(
    serve: Callable[[socket.socket], object], question: Question, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_checks, "TIMEOUT_S", 2.0)
    monkeypatch.setattr(health_checks, "STEADY_S", 0.2)
    with tcp_server(serve) as port:
        assert ask(port, question) == Answer(True, f"connection to 127.0.0.1:{port}: accepted")


@pytest.mark.parametrize("question", [Question("tcp"), Question("any")])
def test_a_connection_that_is_closed_at_once_does_not_count(question: Question) -> None:
    with tcp_server(closes_at_once) as port:
        answer = ask(port, question)
    assert not answer.ok
    assert answer.text.startswith(f"connection to 127.0.0.1:{port}: ")


@pytest.mark.parametrize("protocol", ["http", "https", "grpc", "tcp", "any"])
def test_a_port_that_refuses_is_told(protocol: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    answer = ask(port, Question(protocol))
    assert not answer.ok
    assert "refused" in answer.text
    assert f"127.0.0.1:{port}" in answer.text


def test_an_endpoint_whose_protocol_nobody_knows_is_not_well_while_it_answers_http_with_an_error() -> None:
    with http_server(root=503) as server:
        answer = ask(server.server_port, Question("any"))
    assert answer == Answer(False, f"GET http://127.0.0.1:{server.server_port}/: status 503")
    with http_server(root=404) as server:
        assert ask(server.server_port, Question("any")).ok


@pytest.mark.parametrize("status", [b"\x08\x01", None])
def test_a_grpc_server_without_health_is_taken_by_its_connection(status: bytes | None) -> None:
    with grpc_server(status) as port:
        assert ask(port, Question("any")).ok


def test_an_address_of_ipv6_is_asked_in_brackets() -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listener:
        port = listener.getsockname()[1]
        assert ask(port, Question("tcp"), "[::1]") == Answer(True, f"connection to [::1]:{port}: accepted")
