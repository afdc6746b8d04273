"""What the load says of requests that failed, against servers on loopback that fail on purpose."""

from __future__ import annotations

import asyncio
import errno
import http.server
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import dns.exception
import dns.message
import dns.resolver
import httpx2 as httpx
import pytest

from meshctl.lab.load import Load
from meshctl.lab.load_failures import Failure, Moment, Stalls, account, kind_of
from meshctl.lab.network import zones
from meshctl.lab.network.dns_server import DnsServer
from meshctl.lab.stores import free_ports
from tests.waiting import wait_until

QUERY = dns.message.make_query("chat.example.com", "A")


def caused_by(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (dns.resolver.NXDOMAIN(), "DNS: no such name"),
        (dns.resolver.LifetimeTimeout(timeout=5, errors=[]), "DNS: no answer in time"),
        (
            dns.resolver.NoNameservers(request=QUERY, errors=[("127.0.0.1", False, 53, "SERVFAIL", None)]),
            "DNS: SERVFAIL",
        ),
        (caused_by(httpx.ConnectError("x"), OSError(errno.ECONNREFUSED, "x")), "connection refused"),
        (caused_by(httpx.ReadError("x"), OSError(errno.ECONNRESET, "x")), "connection reset"),
        (httpx.RemoteProtocolError("x"), "connection closed without an answer"),
        (TimeoutError(), "no answer in time"),
        (caused_by(httpx.ConnectError("x"), OSError(errno.EMFILE, "x")), "too many open files at the client"),
        (ValueError("x"), "answer is no JSON"),
    ],
)
def test_each_error_has_a_name(error: Exception, kind: str) -> None:
    assert kind_of(error) == kind


def test_only_a_time_limit_that_the_client_slept_through_is_its_own_fault() -> None:
    stalls = Stalls()
    stalls.add(100.0, 103.0)
    stalls.add(103.5, 103.55)  # too short to count
    slept_s = stalls.within(99.0, 104.0)
    assert slept_s == 3.0
    assert Failure("DNS: no answer in time", 104, 5, stalled_s=slept_s, timed_out=True).unsent
    assert not Failure("DNS: no answer in time", 104, 7, stalled_s=slept_s, timed_out=True).unsent
    assert not Failure("connection reset", 104, 5, stalled_s=slept_s, timed_out=False).unsent


def test_the_account_says_how_when_and_where() -> None:
    moments = [Moment(200, "names lead to cw"), Moment(100, "the target is up")]
    reset = [Failure("connection reset", 151 + number, 1, "127.1.1.1:80", "ReadError()") for number in range(2)]
    early = Failure("DNS: SERVFAIL", 91, 1)
    late = Failure("HTTP 503", 204, 1, "127.2.2.2:80")
    assert list(account([*reset, late, early], moments)) == [
        "1 x DNS: SERVFAIL, sent before the first step was done, within 0.0 s; the longest took 1.0 s",
        "2 x connection reset at 127.1.1.1:80, sent after 'the target is up' was done (50 to 51 s), "
        "within 1.0 s; the longest took 1.0 s",
        "    2 x ReadError()",
        "1 x HTTP 503 at 127.2.2.2:80, sent after 'names lead to cw' was done (3 to 3 s), "
        "within 0.0 s; the longest took 1.0 s",
    ]


# ---- real requests


class Refusing(http.server.BaseHTTPRequestHandler):
    """Answers with 503."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


class Silent(Refusing):
    """Closes without an answer."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.close_connection = True


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128  # five, which is its own, are few for a hundred connections a second


@contextmanager
def serving(handler: type[http.server.BaseHTTPRequestHandler]) -> Iterator[int]:
    with Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join(timeout=30)


class Names:
    """Stands for Route 53: `chat.example.com` is this machine."""

    def __init__(self, answers: Callable[[], Any]) -> None:
        self.current = answers


@contextmanager
def naming() -> Iterator[str]:
    """A DNS server for `chat.example.com`; its address and port."""
    record = {"Name": "chat.example.com.", "Type": "A", "TTL": 30, "ResourceRecords": [{"Value": "127.0.0.1"}]}

    async def current() -> zones.Zones:
        return zones.from_api([record])

    [port] = free_ports(1)
    server: Any = DnsServer(Names(current), {})  # type: ignore[arg-type]
    loop = asyncio.new_event_loop()
    task = loop.create_task(server.serve("127.0.0.1", port))
    thread = threading.Thread(target=_run, args=(loop, task), daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join(timeout=30)


def _run(loop: asyncio.AbstractEventLoop, task: asyncio.Task[None]) -> None:
    loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
    loop.close()


class Streaming(Refusing):
    """Answers in parts; without `[DONE]` at the end, as a server that was killed, below `/cut`."""

    def do_POST(self) -> None:
        # closed with something unread, a connection is reset, and the answer may be lost with it
        self.rfile.read(int(self.headers["Content-Length"]))
        end = "" if self.path == "/cut" else "data: [DONE]\n\n"
        body = f'data: {{"environment": "cw"}}\n\n{end}'.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def test_a_stream_counts_once_it_has_its_end() -> None:
    with naming() as dns_server, serving(Streaming) as port:
        url = f"http://chat.example.com:{port}"
        whole = Load(f"{url}/", rate=50, dns_server=dns_server).start()
        cut = Load(f"{url}/cut", rate=50, dns_server=dns_server).start()
        wait_until(lambda: whole.environments["cw"] >= 3 and len(cut.failures) >= 3)
        assert whole.stop().failures == []
        result = cut.stop()
    assert result.failed == result.requests
    assert result.by_environment == {}


def test_an_answer_counts_as_whoever_asks_says() -> None:
    def first_event(response: httpx.Response) -> str:
        return response.text.partition("\n")[0]

    with naming() as dns_server, serving(Streaming) as port:
        load = Load(f"http://chat.example.com:{port}/", rate=50, dns_server=dns_server, counted_as=first_event).start()
        wait_until(lambda: load.environments.total() >= 3)
        assert set(load.stop().by_environment) == {'data: {"environment": "cw"}'}


@pytest.mark.parametrize(
    ("handler", "kind"),
    [(Refusing, "HTTP 503"), (Silent, "connection closed without an answer"), (None, "connection refused")],
)
def test_real_failures_are_counted_by_kind_with_their_moment_and_address(
    handler: type[http.server.BaseHTTPRequestHandler] | None, kind: str
) -> None:
    begun = time.time()
    with naming() as dns_server, serving(handler or Refusing) as port:
        wanted = port if handler else free_ports(1)[0]
        load = Load(f"http://chat.example.com:{wanted}/", rate=50, dns_server=dns_server).start()
        wait_until(lambda: len(load.failures) >= 3)
        result = load.stop()
    assert result.errors == {kind: result.requests}
    assert result.failed == result.requests
    assert result.unsent == 0
    assert {each.address for each in result.failures} == {f"127.0.0.1:{wanted}"}
    assert all(begun <= each.at <= time.time() for each in result.failures)
