"""What asks a part of the lab whether it answers closes its connection: it asks several times a second."""

from __future__ import annotations

from typing import Any

import trustme

from meshctl.lab import stores, supervisor, up
from tests.local_servers import Handler, http_server


class KeepsOpen(Handler):
    """Keeps the connection for a next request, as an API server does."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:  # noqa: N802 (the name that http.server calls)
        server: Any = self.server
        self.send_response(server.statuses.get(self.path, 404))
        self.send_header("Content-Length", "0")
        self.end_headers()


def test_an_api_server() -> None:
    certificate = trustme.CA().issue_cert("127.0.0.1")
    with http_server(certificate, readyz=200) as server:
        server.RequestHandlerClass = KeepsOpen
        component = {"ports": [{"name": "https", "port": server.server_address[1]}]}
        assert supervisor.answers(component)
    assert not supervisor.answers(component)


def test_an_object_store_that_refuses_who_has_no_keys() -> None:
    with http_server(root=403) as server:
        server.RequestHandlerClass = KeepsOpen
        assert stores.healthy(server.server_address[1])
    with http_server(root=503) as server:
        assert not stores.healthy(server.server_address[1])


def test_the_aws_api_whatever_it_says() -> None:
    with http_server(root=200) as server:  # and 404 for its own page
        server.RequestHandlerClass = KeepsOpen
        assert up._answers(server.server_address[1], http=True)
