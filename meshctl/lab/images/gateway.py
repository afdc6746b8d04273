"""What the lab runs for an endpoint's gateway: a reverse proxy that reads the nginx.conf which meshctl renders. EDGE.

Started by `meshctl.lab.pods` in place of `nginxinc/nginx-unprivileged`. It knows the directives of
`meshctl.resolve.nginx` that say where requests go, passes bytes on as they come, and answers 502 where nobody answers,
as nginx does. Unlike nginx it takes one request for each connection, speaks no HTTP/2, and looks names up anew for each
request. SIGTERM: it takes no more connections, finishes what is in flight and exits with 0.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import re
import signal
import ssl
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

CHUNK: Final = 64 * 1024
FINISH_S: Final = 60.0
RENEW_EVERY_S: Final = 1.0
_TOKEN: Final = re.compile(r"""\s+|#[^\n]*|("(?:\\.|[^"])*"|'(?:\\.|[^'])*'|[{};]|[^\s{};]+)""")
Headers = list[tuple[str, str]]


@dataclass(frozen=True)
class Directive:
    words: tuple[str, ...]
    block: tuple[Directive, ...] = ()

    def all(self, name: str) -> Iterator[Directive]:
        """Those of that name anywhere inside."""
        for each in self.block:
            if each.words[0] == name:
                yield each
            yield from each.all(name)

    def value(self, name: str) -> str:
        """The first value of the first directive of that name; "" without one."""
        return next((each.words[1] for each in self.all(name)), "")


def parse(text: str) -> Directive:
    """The whole file as one block. Raises: ValueError where braces don't match."""
    tokens = [match[1] for match in _TOKEN.finditer(text) if match[1]]
    block, rest = _block(tokens)
    if rest:
        raise ValueError('unexpected "}"')
    return Directive(("main",), block)


def _block(tokens: list[str]) -> tuple[tuple[Directive, ...], list[str]]:
    directives: list[Directive] = []
    words: list[str] = []
    while tokens and tokens[0] != "}":
        part, tokens = tokens[0], tokens[1:]
        if part == ";":
            directives.append(Directive(tuple(words)))
            words = []
        elif part == "{":
            inner, tokens = _block(tokens)
            if tokens[:1] != ["}"]:
                raise ValueError('unexpected end of file, expecting "}"')
            directives.append(Directive(tuple(words), inner))
            words, tokens = [], tokens[1:]
        else:
            words.append(part.strip("\"'") if part[0] in "\"'" else part)
    if words:
        raise ValueError(f'directive "{words[0]}" is not terminated by ";"')
    return tuple(directives), tokens


@dataclass(frozen=True)
class Rules:
    """What the gateway does: `exact` and `prefixes` are locations by their paths. `redirect`: those of the port from
    which clients are sent elsewhere, if there is one."""

    port: int
    certificate: str
    key: str
    exact: dict[str, Directive]
    prefixes: dict[str, Directive]
    set_headers: dict[str, str]
    redirect: Rules | None = None

    def location(self, path: str) -> Directive | None:
        """As nginx chooses: an exact one, or else the longest beginning."""
        if path in self.exact:
            return self.exact[path]
        longest = max((prefix for prefix in self.prefixes if path.startswith(prefix)), key=len, default=None)
        return self.prefixes[longest] if longest is not None else None


def rules(config: Directive) -> Rules:
    """Of the file's first server; a second one redirects."""
    first, *more = config.all("server")
    return replace(_of_server(config, first), redirect=_of_server(config, more[0]) if more else None)


def _of_server(config: Directive, server: Directive) -> Rules:
    (listen,) = server.all("listen")
    locations = list(server.all("location"))
    is_tls = "ssl" in listen.words
    return Rules(
        port=int(listen.words[1]),
        certificate=_file(config, "ssl_certificate") if is_tls else "",
        key=_file(config, "ssl_certificate_key"),
        exact={each.words[2]: each for each in locations if each.words[1] == "="},
        prefixes={each.words[1]: each for each in locations if each.words[1] != "="},
        set_headers={each.words[1]: each.words[2] for each in config.all("proxy_set_header")},
    )


def _file(config: Directive, name: str) -> str:
    """A file, or what a `map` without choices has for the variable that stands for it."""
    value = config.value(name)
    if not value.startswith("$"):
        return value
    (chosen,) = (each for each in config.all("map") if each.words[2] == value)
    return chosen.value("default")


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
            await self._pass(first, self._forwarded(headers, writer), location.value("proxy_pass"), reader, writer)

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

    def _forwarded(self, headers: Headers, writer: asyncio.StreamWriter) -> Headers:
        """The request's headers with those that the file sets. The upstream closes after its answer."""
        given = {name.lower(): value for name, value in headers}
        peer = writer.get_extra_info("peername")[0]
        values = {
            "$http_host": given.get("host", ""),
            "$scheme": "https" if self.rules.certificate else "http",
            "$proxy_add_x_forwarded_for": ", ".join(filter(None, (given.get("x-forwarded-for"), peer))),
        }
        set_headers = self.rules.set_headers.items()
        ours = {name: values.get(text, text) for name, text in set_headers if text in values or "$" not in text}
        replaced = {"connection", *(name.lower() for name in ours)}
        return [*((n, v) for n, v in headers if n.lower() not in replaced), *ours.items(), ("Connection", "close")]

    async def _pass(
        self,
        first: str,
        headers: Headers,
        url: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        to = urlsplit(url)
        tls = ssl._create_unverified_context() if to.scheme == "https" else None  # noqa: S323 (nginx verifies none)
        try:
            from_upstream, upstream = await asyncio.wait_for(
                asyncio.open_connection(to.hostname, to.port, ssl=tls, limit=CHUNK), 10
            )
        except (OSError, TimeoutError):
            sys.stderr.write(f"{url}: no upstream\n")
            await _answer(writer, "502 Bad Gateway", "bad gateway\n")
            return
        upstream.write(_text(first, headers))
        body = asyncio.ensure_future(_pipe(reader, upstream))
        try:
            await self._pass_back(from_upstream, writer)
        finally:
            body.cancel()
            upstream.close()

    async def _pass_back(self, from_upstream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            first, headers = await _head(from_upstream)
            while first.split(" ")[1].startswith("1"):  # 100 Continue
                writer.write(_text(first, headers))
                first, headers = await _head(from_upstream)
        except (OSError, asyncio.IncompleteReadError):
            await _answer(writer, "502 Bad Gateway", "bad gateway\n")
            return
        passed_on = [(name, value) for name, value in headers if name.lower() != "connection"]
        writer.write(_text(first, [*passed_on, ("Connection", "close")]))
        await _pipe(from_upstream, writer)


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


async def _answer(writer: asyncio.StreamWriter, status: str, text: str) -> None:
    head = [("Content-Type", "text/plain"), ("Content-Length", str(len(text))), ("Connection", "close")]
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
        asyncio.run(run(rules(parse(options.config.read_text())), os.environ.get("POD_ADDRESS", "127.0.0.1")))
    except (OSError, ValueError) as error:
        sys.stderr.write(f"nginx: [emerg] {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
