"""The proxy that the lab runs for nginx: it passes answers on as they come, and says 502 where nobody answers."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme

from meshctl.lab.images import gateway
from meshctl.resolve import nginx

HOST = "api.example.com"


def rules(port: int, *, certificate: str = "") -> gateway.Rules:
    """A gateway in front of `port`."""
    settings = nginx.Settings(1, {"/": f"http://127.0.0.1:{port}"}, "fixed" if certificate else "")
    return gateway.rules(gateway.parse(nginx.config(settings).replace(nginx.CERTIFICATE, certificate)))


async def serving(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]], tls: ssl.SSLContext | None = None
) -> tuple[asyncio.Server, int]:
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    port: int = server.sockets[0].getsockname()[1]
    return server, port


@asynccontextmanager
async def asked(port: int, path: str, tls: ssl.SSLContext | None = None) -> AsyncIterator[asyncio.StreamReader]:
    name = HOST if tls else None
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls, server_hostname=name)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
    yield reader
    writer.close()
    await writer.wait_closed()


async def answer(port: int, path: str, tls: ssl.SSLContext | None = None) -> bytes:
    async with asked(port, path, tls) as reader:
        return await reader.read()


def test_events_arrive_one_by_one_and_the_backend_sees_the_clients_words() -> None:
    seen: list[bytes] = []
    go_on = asyncio.Event()

    async def stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
        await go_on.wait()  # the second event comes only once the first has arrived
        writer.write(b"data: 2\n\n")
        writer.close()

    async def story() -> None:
        backend, port = await serving(stream)
        proxy, own_port = await serving(gateway.Gateway(rules(port)).serve)
        async with backend, proxy, asked(own_port, "/stream") as reader:
            assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
            assert await reader.readuntil(b"\n\n") == b"data: 1\n\n"
            go_on.set()
            assert await reader.read() == b"data: 2\n\n"

    asyncio.run(asyncio.wait_for(story(), 20))
    assert f"Host: {HOST}\r\n".encode() in seen[0]
    assert b"X-Forwarded-For: 127.0.0.1\r\n" in seen[0]
    assert b"X-Forwarded-Proto: http\r\n" in seen[0]


def test_a_backend_that_is_not_there_is_a_bad_gateway_and_the_gateway_itself_is_well() -> None:
    async def story() -> tuple[bytes, bytes]:
        backend, port = await serving(lambda _reader, _writer: asyncio.sleep(0))
        backend.close()
        await backend.wait_closed()
        proxy, own_port = await serving(gateway.Gateway(rules(port)).serve)
        async with proxy:
            return await answer(own_port, "/"), await answer(own_port, nginx.HEALTH_PATH)

    bad, well = asyncio.run(asyncio.wait_for(story(), 20))
    assert bad.startswith(b"HTTP/1.1 502 ")
    assert well.startswith(b"HTTP/1.1 200 ")


def test_tls_with_the_certificate_and_the_key_of_one_file(tmp_path: Path) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert(HOST)
    file = tmp_path / "tls.pem"
    file.write_bytes(b"".join(part.bytes() for part in issued.cert_chain_pems) + issued.private_key_pem.bytes())
    client = ssl.create_default_context()
    authority.configure_trust(client)

    async def story() -> bytes:
        made = rules(1, certificate=str(file))
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(made.certificate, made.key)
        proxy, own_port = await serving(gateway.Gateway(made).serve, server)
        async with proxy:
            return await answer(own_port, nginx.HEALTH_PATH, client)

    assert asyncio.run(asyncio.wait_for(story(), 20)).startswith(b"HTTP/1.1 200 ")


def test_clients_by_http_are_sent_to_https_with_their_path_and_method() -> None:
    settings = nginx.Settings(8443, {"/": "http://127.0.0.1:1"}, "before", redirect_port=8081)
    made = gateway.rules(gateway.parse(nginx.config(settings)))
    assert made.redirect is not None
    redirect = made.redirect
    assert (made.port, redirect.port) == (8443, 8081)

    async def story() -> bytes:
        proxy, own_port = await serving(gateway.Gateway(redirect).serve)
        async with proxy:
            return await answer(own_port, "/v1/models?a=b")

    text = asyncio.run(asyncio.wait_for(story(), 20))
    assert text.startswith(b"HTTP/1.1 308 ")
    assert f"Location: https://{HOST}/v1/models?a=b\r\n".encode() in text


def test_behind_a_load_balancer_that_ends_tls_the_backend_sees_https() -> None:
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        writer.close()

    async def story() -> None:
        backend, port = await serving(serve)
        settings = nginx.Settings(1, {"/": f"http://127.0.0.1:{port}"}, "before")
        made = gateway.rules(gateway.parse(nginx.config(settings)))
        proxy, own_port = await serving(gateway.Gateway(made).serve)
        async with backend, proxy:
            await answer(own_port, "/")

    asyncio.run(asyncio.wait_for(story(), 20))
    assert b"X-Forwarded-Proto: https\r\n" in seen[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("server { listen 80 }", 'directive "listen" is not terminated'),
        ("server { listen 80;", 'expecting "}"'),
        ("listen 80; }", 'unexpected "}"'),
    ],
)
def test_a_file_that_nginx_would_refuse_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        gateway.parse(text)
