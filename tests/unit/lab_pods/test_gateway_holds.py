"""The proxy that the lab runs for nginx, in front of a workload that may have no pod: what is held, and what is not."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from meshctl.lab.images import gateway, nginx_rules
from meshctl.resolve.work import nginx
from tests.unit.lab_pods.test_gateway import answer, closed_port, pods, posted, serving


def holding(port: int, waker_port: int) -> nginx_rules.Rules:
    """A gateway in front of pods that may not be there."""
    url = f"http://127.0.0.1:{port}"
    settings = nginx.Settings(1, {"/": url}, wakers={url: f"127.0.0.1:{waker_port}"})
    return nginx_rules.rules(nginx.config(settings))


def test_a_request_that_finds_no_pod_goes_on_to_it_once_the_waker_says_so() -> None:
    seen: list[str] = []
    came: list[bytes] = []

    async def story() -> tuple[Counter[str], Counter[str]]:
        pods_here, port_here = await serving(pods("here", seen))
        port_gone = await closed_port()

        async def wakes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            came.append(await reader.readuntil(b"\r\n\r\n") + await reader.readexactly(5))
            upstream.servers[0].address = f"127.0.0.1:{port_here}"
            writer.write(b"HTTP/1.0 200 OK\r\nX-Accel-Redirect: @again-0\r\nContent-Length: 0\r\n\r\n")
            writer.close()

        waker, waker_port = await serving(wakes)
        config = holding(port_gone, waker_port)
        upstream = config.upstreams["woken-0"]
        proxy, port = await serving(gateway.Gateway(config).serve)
        gone, gone_port = await serving(gateway.Gateway(holding(port_gone, await closed_port())).serve)
        async with pods_here, waker, proxy, gone:
            return await posted(port, 20), await posted(gone_port, 1)

    held, without_waker = asyncio.run(asyncio.wait_for(story(), 60))
    assert held == {"here": 20}
    assert len(seen) == 20
    assert len(came) == 1
    assert b"Meshctl-Again: @again-0\r\n" in came[0]
    assert without_waker == {"503": 1}, "the waker is started anew, and the client told to come again"


def test_a_waker_that_is_wrong_about_the_pods_is_not_asked_for_ever() -> None:
    came: list[bytes] = []

    async def story() -> Counter[str]:
        async def wakes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            came.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(b"HTTP/1.0 200 OK\r\nX-Accel-Redirect: @again-0\r\nContent-Length: 0\r\n\r\n")
            writer.close()

        waker, waker_port = await serving(wakes)
        proxy, port = await serving(gateway.Gateway(holding(await closed_port(), waker_port)).serve)
        async with waker, proxy:
            return await posted(port, 1)

    assert asyncio.run(asyncio.wait_for(story(), 60)) == {"500": 1}
    assert len(came) == gateway.MOST_REDIRECTS / 2, "each try leads to the waker and back"


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "POST"])
def test_a_request_whose_pod_dies_is_not_sent_again_also_where_it_was_held(method: str) -> None:
    seen: list[str] = []
    came: list[str] = []

    async def story() -> tuple[Counter[str], Counter[str]]:
        mortal, port_mortal = await serving(pods("here", seen))
        waker, waker_port = await serving(pods("waker", came))

        async def wakes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            config.upstreams["woken-0"].servers[0].address = f"127.0.0.1:{port_mortal}"
            writer.write(b"HTTP/1.0 200 OK\r\nX-Accel-Redirect: @again-0\r\nContent-Length: 0\r\n\r\n")
            writer.close()

        other, other_port = await serving(wakes)
        proxy, port = await serving(gateway.Gateway(holding(port_mortal, waker_port)).serve)
        config = holding(await closed_port(), other_port)
        slow, slow_port = await serving(gateway.Gateway(config).serve)
        async with mortal, waker, other, proxy, slow:
            return await posted(port, 1, "/dies", method), await posted(slow_port, 1, "/dies", method)

    assert asyncio.run(asyncio.wait_for(story(), 60)) == ({"502": 1}, {"502": 1})
    assert (seen, came) == (["here"] * 2, [])


def test_a_waker_that_ends_with_its_requests_sends_none_away_without_a_word() -> None:
    came: list[str] = []

    async def story() -> bytes:
        waker, waker_port = await serving(pods("waker", came))
        proxy, port = await serving(gateway.Gateway(holding(await closed_port(), waker_port)).serve)
        async with waker, proxy:
            return await answer(port, "/dies")

    text = asyncio.run(asyncio.wait_for(story(), 60))
    assert text.startswith(b"HTTP/1.1 503 ")
    assert b"Retry-After: 10\r\n" in text
    assert came == ["waker"]
