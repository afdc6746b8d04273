"""What the lab runs for an endpoint's gateway: a reverse proxy that reads the nginx.conf which meshctl renders. EDGE.

Started by `meshctl.lab.pods` in place of `nginxinc/nginx-unprivileged`. It sends requests where the file says, as
`nginx_rules` has read it, passes bytes on as they come, and answers 502 where nobody answers, as nginx does. Unlike
nginx it takes one request for each connection, speaks no HTTP/2, and looks names up anew for each request. SIGTERM: it
takes no more connections, finishes what is in flight and exits with 0.

Of requests that are held until a workload has a pod (ADR 0069) it plays `error_page` and `X-Accel-Redirect`. Of
`meshctl.render.controllers.gateway_shares` it plays what real nginx was seen to do with that file: turns by weight,
a server at the pod's own loopback that passes on by TLS, 421, and a line for each request. Since all pods of the lab
share one loopback, it asks that server within its own process.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import ssl
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from meshctl.lab.images import nginx_rules
from meshctl.lab.images.nginx_rules import Directive, Log, Rules, Server

CHUNK: Final = 64 * 1024
FINISH_S: Final = 60.0
RENEW_EVERY_S: Final = 1.0
MOST_REDIRECTS: Final = 10  # to a named location, of one request
CUT: Final = "cut"  # in place of a status: of an answer that was broken off before its head
AUTHORITY: Final = "LAB_AUTHORITY"  # the file with what stands for the authorities that an image trusts
Headers = list[tuple[str, str]]


@dataclass
class Request:
    """`came`: the headers as the client sent them; `headers`: those that are passed on. `body`: all of it, where it was
    read already; else it is passed on as it comes. `redirects`: to how many named locations it went. `servers`:
    which were asked for it, also those that took no connection."""

    first: str
    came: Headers
    headers: Headers
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    body: bytes | None = None
    redirects: int = 0
    servers: list[str] = field(default_factory=list)

    def header(self, name: str) -> str:
        return next((value for each, value in self.headers if each.lower() == name), "")

    async def read_body(self) -> None:
        if "chunked" in self.header("transfer-encoding"):
            self.body = await self.reader.readuntil(b"0\r\n\r\n")
        else:
            self.body = await self.reader.readexactly(int(self.header("content-length") or 0))


class Gateway:
    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.in_flight: set[asyncio.Task[Any]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 (a callback of the server runs in one)
        self.in_flight.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                await self._request(reader, writer)
            writer.close()
        finally:
            self.in_flight.discard(task)

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first, headers = await _head(reader)
        location = self.rules.location(first.split(" ")[1].split("?")[0])
        if location is None:
            await _answer(writer, "404 Not Found", "not found\n")
        elif location.value("return"):
            (answer,) = location.all("return")
            await self._return(answer, first, headers, writer)
        else:
            passed_on = self._forwarded(_headers_of(location, self.rules), headers, writer)
            request = Request(first, headers, passed_on, reader, writer)
            await self._pass(request, location)
            if location.value("access_log") != "off":
                _write(self.rules.log, request.servers)

    async def _return(self, answer: Directive, first: str, headers: Headers, writer: asyncio.StreamWriter) -> None:
        """A text, or for 3xx the address that the client is sent to."""
        status, text = answer.words[1], answer.words[2].replace("\\n", "\n")
        if not status.startswith("3"):
            await _answer(writer, f"{status} OK", text)
            return
        host = next((value for name, value in headers if name.lower() == "host"), "").partition(":")[0]
        address = text.replace("$host", host).replace("$request_uri", first.split(" ")[1])
        head = [("Location", address), ("Content-Length", "0"), ("Connection", "close")]
        writer.write(_text(f"HTTP/1.1 {status} Redirect", head))
        await writer.drain()

    def _forwarded(self, set_headers: dict[str, str], headers: Headers, writer: asyncio.StreamWriter) -> Headers:
        """The request's headers with those that the file sets. The upstream closes after its answer."""
        given = {name.lower(): value for name, value in headers}
        peer = writer.get_extra_info("peername")[0]
        values = {
            "$http_host": given.get("host", ""),
            "$http_x_forwarded_for": given.get("x-forwarded-for", ""),
            "$http_x_forwarded_proto": given.get("x-forwarded-proto", ""),
            "$scheme": "https" if self.rules.certificate else "http",
            "$proxy_add_x_forwarded_for": ", ".join(filter(None, (given.get("x-forwarded-for"), peer))),
        }
        with_values = ((name, text) for name, text in set_headers.items() if text in values or "$" not in text)
        ours = {name: values.get(text, text) for name, text in with_values}
        replaced = {"connection", *(name.lower() for name in ours)}
        return [*((n, v) for n, v in headers if n.lower() not in replaced), *ours.items(), ("Connection", "close")]

    async def _pass(self, request: Request, location: Directive) -> None:
        """To the one of its upstream whose turn it is; where that takes no connection, to the next one."""
        if location.value("proxy_request_buffering") == "on" and request.body is None:
            await request.read_body()
        to = urlsplit(location.value("proxy_pass"))
        upstream = self.rules.upstreams.get(to.hostname or "")
        for server in upstream.in_turn(_now()) if upstream is not None else (Server(to.netloc, 1, 0, 0),):
            request.servers.append(server.address)
            inner = self.rules.inner.get(server.address)
            if inner is not None:
                await self._elsewhere(request, inner)
                return
            connected = await _connected(server, to.scheme, location, 10)
            if upstream is not None:
                upstream.note(server, _now(), connected=connected is not None)
            if connected is not None:
                again = await self._exchange(request, connected, to.path, (CUT,) if self._hides_cuts(location) else ())
                if again:
                    await self._led_to(request, _error_page(location) if again == CUT else again)
                return
        if _error_page(location):
            await self._led_to(request, _error_page(location))
            return
        sys.stderr.write(f"{location.value('proxy_pass')}: no upstream\n")
        unsent = "421 Misdirected Request" if self.rules.errors and request.header("meshctl-share") else ""
        await _answer(request.writer, unsent or "502 Bad Gateway", "bad gateway\n")

    async def _led_to(self, request: Request, name: str) -> None:
        """To the named location that an answer, or an error, has led to, with the same method and body."""
        if request.redirects == MOST_REDIRECTS:
            await _answer(request.writer, "500 Internal Server Error", "redirection cycle\n")
            return
        location = self.rules.prefixes[name]
        if not location.value("proxy_pass"):
            (answer,) = location.all("return")
            added = [(each.words[1], each.words[2]) for each in location.all("add_header")]
            await _answer(request.writer, f"{answer.words[1]} Later", answer.words[2].replace("\\n", "\n"), added)
            return
        passed_on = self._forwarded(_headers_of(location, self.rules), request.came, request.writer)
        await self._pass(replace(request, headers=passed_on, redirects=request.redirects + 1), location)

    def _hides_cuts(self, location: Directive) -> bool:
        """Whether the client does not get the 502 of an answer that was broken off: not before a location that answers
        so itself, to a request that a pod may have got."""
        name = _error_page(location)
        return bool(name) and not any(self.rules.prefixes[name].all("if"))

    async def _elsewhere(self, request: Request, inner: Rules) -> None:
        """By the server at the pod's own loopback: what was not sent, or says 421, goes to the pods here."""
        await request.read_body()
        passing, fallback = inner.prefixes["/"], inner.prefixes[inner.errors[-1]]
        upstream = inner.upstreams[urlsplit(passing.value("proxy_pass")).netloc]
        servers: list[str] = []  # it is a request of its own there
        passed_on = replace(request, headers=self._forwarded(inner.set_headers, request.headers, request.writer))
        began, scheme = _now(), urlsplit(passing.value("proxy_pass")).scheme
        for server in upstream.in_turn(began):
            servers.append(server.address)
            connected = await _connected(server, scheme, passing, inner.connect_s)
            upstream.note(server, _now(), connected=connected is not None)
            if connected is None and inner.next_s and _now() - began >= inner.next_s:
                break
            if connected is None:
                continue
            if await self._exchange(passed_on, connected, "", not_for_clients=inner.errors[:1]):
                break
            _write(inner.log, servers)
            return
        await self._pass(replace(request, servers=servers), fallback)
        _write(inner.log, servers)

    async def _exchange(
        self,
        request: Request,
        connected: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        path: str,
        not_for_clients: tuple[str, ...] = (),
    ) -> str:
        """ "" once the client has got the answer. Else what he does not get: a status of `not_for_clients`, `CUT`, or
        the name of the location that the answer leads to."""
        from_upstream, upstream = connected
        method, own_path, version = request.first.split(" ")
        upstream.write(_text(f"{method} {path or own_path} {version}", request.headers) + (request.body or b""))
        body = asyncio.ensure_future(_pipe(request.reader, upstream)) if request.body is None else None
        try:
            return await self._pass_back(from_upstream, request.writer, not_for_clients)
        finally:
            if body is not None:
                body.cancel()
            upstream.close()

    async def _pass_back(
        self, from_upstream: asyncio.StreamReader, writer: asyncio.StreamWriter, not_for_clients: tuple[str, ...]
    ) -> str:
        try:
            first, headers = await _head(from_upstream)
            while first.split(" ")[1].startswith("1"):  # 100 Continue
                writer.write(_text(first, headers))
                first, headers = await _head(from_upstream)
        except (OSError, asyncio.IncompleteReadError):
            if CUT in not_for_clients:
                return CUT
            await _answer(writer, "502 Bad Gateway", "bad gateway\n")
            return ""
        again = next((value for name, value in headers if name.lower() == "x-accel-redirect"), "")
        if again or first.split(" ")[1] in not_for_clients:
            return again or first.split(" ")[1]
        passed_on = [(name, value) for name, value in headers if name.lower() != "connection"]
        writer.write(_text(first, [*passed_on, ("Connection", "close")]))
        await _pipe(from_upstream, writer)
        return ""


def _write(log: Log | None, servers: Sequence[str]) -> None:
    line = log.line(servers) if log is not None else ""
    if line:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


def _error_page(location: Directive) -> str:
    """The named location that has what this one can't answer; "" for none."""
    return next((each.words[-1] for each in location.all("error_page")), "")


def _headers_of(location: Directive, rules: Rules) -> dict[str, str]:
    """Those of a location stand in place of those of its server."""
    own = {each.words[1]: each.words[2] for each in location.all("proxy_set_header")}
    return own or rules.set_headers


async def _connected(
    server: Server, scheme: str, location: Directive, timeout_s: float
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
    """None where nobody takes the connection, or the certificate is not the one that was asked for."""
    tls, name = _tls(scheme, location), location.value("proxy_ssl_name") or None
    to = urlsplit(f"//{server.address}")
    port = to.port or (443 if tls else 80)
    try:
        opening = asyncio.open_connection(
            to.hostname, port, ssl=tls, server_hostname=name if tls and name else None, limit=CHUNK
        )
        return await asyncio.wait_for(opening, timeout_s)
    except (OSError, TimeoutError) as error:
        sys.stderr.write(f"{server.address}: {error}\n")
        return None


def _tls(scheme: str, location: Directive) -> ssl.SSLContext | None:
    if scheme != "https":
        return None
    if location.value("proxy_ssl_verify") != "on":
        return ssl._create_unverified_context()  # noqa: S323 (nginx verifies none)
    # where the image has the authorities of the internet, the lab has its own
    trusted = os.environ.get(AUTHORITY) or location.value("proxy_ssl_trusted_certificate")
    return ssl.create_default_context(cafile=trusted)


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _head(reader: asyncio.StreamReader) -> tuple[str, Headers]:
    """The first line and the headers. Raises: IncompleteReadError."""
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").rstrip("\r\n").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    return first, [(name, value.strip()) for name, _, value in pairs]


def _text(first: str, headers: Headers) -> bytes:
    return "\r\n".join([first, *(f"{name}: {value}" for name, value in headers), "", ""]).encode("latin-1")


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()


async def _answer(writer: asyncio.StreamWriter, status: str, text: str, added: Sequence[tuple[str, str]] = ()) -> None:
    head = [("Content-Type", "text/plain"), ("Content-Length", str(len(text))), ("Connection", "close"), *added]
    writer.write(_text(f"HTTP/1.1 {status}", head) + text.encode())
    await writer.drain()


async def run(config: Rules, address: str) -> None:
    """Serve until SIGTERM, then finish. Raises: OSError when the address is taken or the certificate can't be read."""
    tls = None
    if config.certificate:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(config.certificate, config.key)
    gateway, stop = Gateway(config), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGQUIT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = await asyncio.start_server(gateway.serve, address, config.port, ssl=tls, limit=CHUNK, backlog=256)
    if config.redirect is not None:
        redirecting = Gateway(config.redirect)
        await asyncio.start_server(redirecting.serve, address, config.redirect.port, limit=CHUNK)
    renewing = asyncio.ensure_future(_renew(config, tls)) if tls is not None else None
    await stop.wait()
    if renewing is not None:
        renewing.cancel()
    server.close()
    await asyncio.sleep(0.1)  # for connections that the kernel has taken already
    if gateway.in_flight:
        await asyncio.wait(gateway.in_flight, timeout=FINISH_S)


async def _renew(config: Rules, tls: ssl.SSLContext) -> None:
    """Have new connections get the certificate as it is now."""
    while True:
        await asyncio.sleep(RENEW_EVERY_S)
        with contextlib.suppress(OSError):  # while it is written
            tls.load_cert_chain(config.certificate, config.key)


def main() -> int:
    parser = argparse.ArgumentParser(prog="nginx", allow_abbrev=False)
    parser.add_argument("-c", dest="config", type=Path, required=True)
    parser.add_argument("-g", dest="directives", default="")
    options = parser.parse_args()
    try:
        asyncio.run(run(nginx_rules.rules(options.config.read_text()), os.environ.get("POD_ADDRESS", "127.0.0.1")))
    except (OSError, ValueError) as error:
        sys.stderr.write(f"nginx: [emerg] {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
