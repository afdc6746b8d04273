"""The log of a container, which is text and no object."""

from __future__ import annotations

import pytest

from meshwire.kubernetes import requests
from meshwire.kubernetes.client import Client
from meshwire.kubernetes.errors import ApiError
from meshwire.kubernetes.target import Target
from tests.unit.api_server import Answer, api_server


def test_the_last_lines_of_a_container_are_asked_for() -> None:
    with api_server(lambda _: Answer(content="ä\n1\n".encode())) as server, Client(Target(server.url)) as client:
        assert client.log("chat-0", namespace="m", container="main", lines=200) == "ä\n1\n"
    (asked,) = server.asked
    assert (asked.method, asked.path) == ("GET", "/api/v1/namespaces/m/pods/chat-0/log")
    assert asked.query == {"container": "main", "tailLines": "200"}


def test_a_log_that_is_an_object_is_still_a_log() -> None:
    assert requests.text(200, b'{"kind": "Status", "message": "said by the container"}').startswith("{")


def test_a_refusal_says_what_the_server_said() -> None:
    refused = Answer(403, {"kind": "Status", "message": "pods is forbidden", "reason": "Forbidden"})
    with (
        api_server(lambda _: refused) as server,
        Client(Target(server.url)) as client,
        pytest.raises(ApiError, match="pods is forbidden") as caught,
    ):
        client.log("chat-0", namespace="m", container="main", lines=1)
    assert caught.value.reason == "Forbidden"
    with pytest.raises(ApiError, match="dial tcp: timed out"):
        requests.text(500, b"dial tcp: timed out")
