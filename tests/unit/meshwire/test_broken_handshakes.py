"""A TLS handshake that fails on the way is made once more: nothing was asked yet."""

from __future__ import annotations

import base64
import json
import ssl

import pytest
import trustme

from meshwire import kubeconfig
from meshwire.kubernetes.client import Client
from meshwire.kubernetes.errors import NoAnswerError
from meshwire.kubernetes.requests import MERGE_PATCH
from meshwire.kubernetes.resources import NODES
from meshwire.kubernetes.target import Target, target
from tests.unit.api_server import Answer, api_server


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


def refusing(authority: trustme.CA, handshakes: int) -> ssl.SSLContext:
    """Of a server that ends the first `handshakes` with an alert."""
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(serving)
    left = [ssl.ALERT_DESCRIPTION_DECODE_ERROR] * handshakes
    serving.sni_callback = lambda *_: left.pop() if left else None
    return serving


def chosen(server: str, authority: trustme.CA) -> Target:
    trust = base64.b64encode(authority.cert_pem.bytes()).decode()
    given = {
        "clusters": [{"name": "c", "cluster": {"server": server, "certificate-authority-data": trust}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "c",
    }
    return target(kubeconfig.choose(json.dumps(given)))


def test_one_that_is_broken_off_is_made_again_for_reads_and_changes(authority: trustme.CA) -> None:
    serving = refusing(authority, 1)
    with api_server(lambda _: Answer(), serving) as server, Client(chosen(server.url, authority)) as client:
        client.get(NODES, "n")
    serving = refusing(authority, 1)
    with api_server(lambda _: Answer(), serving) as server, Client(chosen(server.url, authority)) as client:
        client.patch(NODES, "n", {}, kind=MERGE_PATCH)
    assert [asked.method for asked in server.asked] == ["PATCH"]


def test_a_server_that_goes_on_refusing_them_is_no_answer(authority: trustme.CA) -> None:
    serving = refusing(authority, 2)
    with api_server(lambda _: Answer(), serving) as server, Client(chosen(server.url, authority)) as client:
        with pytest.raises(NoAnswerError, match=r"(?i)decode.error"):
            client.get(NODES, "n")
        client.get(NODES, "n")
    assert len(server.asked) == 1
