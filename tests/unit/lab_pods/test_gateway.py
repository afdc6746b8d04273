"""The proxy that the lab runs for nginx: it passes answers on as they come, and says 502 where nobody answers."""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from meshctl.lab.images import gateway, nginx_rules
from meshctl.lab.images.nginx_rules import Directive, Server
from meshctl.model.deployment import Elsewhere, Workload
from meshctl.model.keys import gateway_shares as model
from meshctl.model.keys import gateways
from meshctl.render.controllers import gateway_shares
from meshctl.resolve.work import nginx

HOST = "api.example.com"


def rules(port: int, *, certificate: str = "") -> nginx_rules.Rules:
    """A gateway in front of `port`."""
    settings = nginx.Settings(1, {"/": f"http://127.0.0.1:{port}"}, "fixed" if certificate else "")
    return nginx_rules.rules(nginx.config(settings).replace(nginx.CERTIFICATE, certificate))


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
    made = nginx_rules.rules(nginx.config(settings))
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
        made = nginx_rules.rules(nginx.config(settings))
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
        nginx_rules.parse(text)


def shared(
    source_port: int,
    *,
    there: int,
    certified: bool = False,
    says_unsent: bool = False,
    addresses: tuple[str, ...] = ("127.0.0.1",),
) -> nginx_rules.Rules:
    """Of a gateway before `source_port` that leads 102 of 255 to the load balancer at `there`."""
    elsewhere = Elsewhere(
        environment="cw",
        weight=102,
        addresses=addresses,
        port=there,
        certified_host=HOST * certified,
        is_counted=True,
    )
    text = nginx.config(nginx.Settings(1, {"/": f"http://127.0.0.1:{source_port}"}))
    proxy = Workload(
        name="api-gateway",
        kind="service",
        pool="web",
        replicas=2,
        image=nginx.IMAGE,
        files={gateways.CONFIG: text},
        elsewhere=None if says_unsent else elsewhere,
        says_unsent=says_unsent,
    )
    return nginx_rules.rules(gateway_shares.files(proxy)[gateways.CONFIG])


def pods(name: str, seen: list[str]) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    """Pods that note each request that they have read whole, and answer with their name."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        await reader.readexactly(int(head.partition("content-length: ")[2].split("\r\n")[0] or 0))
        seen.append(name)
        if "/dies" not in head:
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + name.encode())
        writer.close()

    return serve


async def posted(port: int, count: int, path: str = "/v1/completions", method: str = "POST") -> Counter[str]:
    """How often each answer came: the pods' name, or the status."""
    answers: Counter[str] = Counter()
    for _ in range(count):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"{method} {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 5\r\n\r\nhello".encode())
        head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
        status = head.split(" ")[1]
        answers[body if status == "200" else status] += 1
        writer.close()
    return answers


async def closed_port() -> int:
    server, port = await serving(pods("nobody", []))
    server.close()
    await server.wait_closed()
    return port


def written(capsys: pytest.CaptureFixture[str]) -> tuple[int, int]:
    """How many requests the gateways of a test have written to be answered here, and elsewhere."""
    count = model.counted(capsys.readouterr().out, 102)
    return count.own, count.passed_on


def test_a_share_is_exact_for_each_request(capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[str] = []

    async def story() -> Counter[str]:
        here, here_port = await serving(pods("here", seen))
        there, there_port = await serving(pods("there", seen))
        proxy, port = await serving(gateway.Gateway(shared(here_port, there=there_port)).serve)
        async with here, there, proxy:
            return await posted(port, 500)

    assert asyncio.run(asyncio.wait_for(story(), 60)) == {"here": 300, "there": 200}
    assert written(capsys) == (300, 200)


def test_no_request_is_lost_while_one_of_the_two_takes_none(capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[str] = []

    async def story() -> tuple[Counter[str], Counter[str]]:
        pods_here, port_here = await serving(pods("here", seen))
        pods_there, port_there = await serving(pods("there", seen))
        no_target = gateway.Gateway(shared(port_here, there=await closed_port())).serve
        no_source = gateway.Gateway(shared(await closed_port(), there=port_there)).serve
        first, first_port = await serving(no_target)
        second, second_port = await serving(no_source)
        async with pods_here, pods_there, first, second:
            return await posted(first_port, 50), await posted(second_port, 50)

    assert asyncio.run(asyncio.wait_for(story(), 60)) == ({"here": 50}, {"there": 50})
    assert len(seen) == 100
    assert written(capsys) == (50, 50)


@pytest.mark.parametrize(("takes_s", "asked_addresses"), [(2.0, 1), (0.1, 3)], ids=["silent", "refuses"])
def test_all_addresses_of_a_load_balancer_have_as_long_as_one(
    takes_s: float, asked_addresses: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On AWS each zone has an address: a client must not wait for one after the other."""
    clock, tried = [0.0], list[str]()
    really_connected = gateway._connected

    async def connected(server: Server, scheme: str, location: Directive, timeout_s: float) -> Any:
        if not server.address.startswith("192.0.2."):
            return await really_connected(server, scheme, location, timeout_s)
        assert timeout_s == gateway_shares.CONNECT_S
        tried.append(server.address)
        clock[0] += takes_s
        return None

    monkeypatch.setattr(gateway, "_connected", connected)
    monkeypatch.setattr(gateway, "_now", lambda: clock[0])

    async def story() -> Counter[str]:
        here, here_port = await serving(pods("here", []))
        rules_of_both = shared(here_port, there=443, addresses=("192.0.2.1", "192.0.2.2", "192.0.2.3"))
        proxy, port = await serving(gateway.Gateway(rules_of_both).serve)
        async with here, proxy:
            return await posted(port, 2)  # one by each side's turn

    assert asyncio.run(asyncio.wait_for(story(), 20)) == {"here": 2}
    assert len(tried) == asked_addresses


def test_what_no_pod_there_has_got_is_answered_here_and_what_one_had_is_not_asked_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    seen: list[str] = []

    async def story() -> tuple[Counter[str], Counter[str], Counter[str]]:
        pods_here, port_here = await serving(pods("here", seen))
        without_pods = gateway.Gateway(shared(await closed_port(), there=0, says_unsent=True)).serve
        there, port_there = await serving(without_pods)
        proxy, port = await serving(gateway.Gateway(shared(port_here, there=port_there)).serve)
        mortal, port_mortal = await serving(pods("there", seen))
        other, other_port = await serving(gateway.Gateway(shared(port_here, there=port_mortal)).serve)
        async with pods_here, there, proxy, mortal, other:
            by_itself = await posted(port_there, 1)
            return await posted(port, 50), by_itself, await posted(other_port, 50, "/dies")

    led, by_itself, died = asyncio.run(asyncio.wait_for(story(), 60))
    assert led == {"here": 50}
    assert by_itself == {"502": 1}  # a client who asks there without the gateway here
    assert died == {"502": 50}
    assert Counter(seen) == {"here": 50 + 30, "there": 20}  # each once
    assert written(capsys) == (50 + 30, 20)  # by where each came to its end


def test_the_other_side_must_have_the_hosts_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own, foreign = trustme.CA(), trustme.CA()
    own.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv(gateway.AUTHORITY, str(tmp_path / "authority.pem"))
    seen: list[str] = []

    async def story(authority: trustme.CA) -> Counter[str]:
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(HOST).configure_cert(server)
        here, here_port = await serving(pods("here", seen))
        there, there_port = await serving(pods("there", seen), server)
        proxy, port = await serving(gateway.Gateway(shared(here_port, there=there_port, certified=True)).serve)
        async with here, there, proxy:
            return await posted(port, 50)

    assert asyncio.run(asyncio.wait_for(story(own), 60)) == {"here": 30, "there": 20}
    assert asyncio.run(asyncio.wait_for(story(foreign), 60)) == {"here": 50}


def test_whether_the_other_side_is_reached_is_asked_through_the_gateway() -> None:
    async def story() -> tuple[bytes, bytes]:
        there, there_port = await serving(gateway.Gateway(rules(1)).serve)
        proxy, port = await serving(gateway.Gateway(shared(1, there=there_port)).serve)
        async with proxy:
            async with there:
                reached = await answer(port, gateway_shares.REACHED_PATH)
            await there.wait_closed()
            return reached, await answer(port, gateway_shares.REACHED_PATH)

    reached, not_reached = asyncio.run(asyncio.wait_for(story(), 20))
    assert reached.startswith(b"HTTP/1.1 200 ")
    assert not_reached.startswith(b"HTTP/1.1 502 ")
