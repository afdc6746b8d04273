"""The lab's load balancers as AWS's: who is let in, which node a connection passes through, when a name is known."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from meshctl.lab.network import allocation, targets
from meshctl.lab.network.balancers import Balancers, ClusterState
from meshctl.lab.network.forwarder import Forwarder
from meshctl.lab.pods import api
from meshctl.lab.stores import free_ports


def service(**spec: object) -> dict[str, Any]:
    return {"metadata": {"namespace": "m", "name": "chat-public"}, "spec": {"type": "LoadBalancer", **spec}}


def test_b3_only_the_source_ranges_are_let_in() -> None:
    limited = service(loadBalancerSourceRanges=["198.51.100.0/24", "127.0.0.9/32"])
    assert targets.admits(limited, "127.0.0.9")
    assert not targets.admits(limited, "127.0.0.1")
    assert targets.admits(service(), "127.0.0.1")
    assert targets.admits({**limited, "spec": {**limited["spec"], "type": "ClusterIP"}}, "127.0.0.1")


def test_b3_under_local_only_nodes_with_pods_are_passed_through() -> None:
    nodes = ("train-1", "web-1")
    assert [targets.node_between(service(), nodes, turn) for turn in range(3)] == ["train-1", "web-1", "train-1"]
    assert targets.node_between(service(externalTrafficPolicy="Local"), nodes, 0) == ""
    assert targets.node_between(service(type="ClusterIP"), nodes, 0) == ""
    assert targets.node_between(service(), (), 0) == ""


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(100):
        writer.write(data)
    writer.close()


async def _end(forwarder: Forwarder, upstream: asyncio.Server, *writers: asyncio.StreamWriter) -> None:
    for writer in writers:
        writer.close()
    forwarder.close()
    upstream.close()
    for _ in range(200):
        if not forwarder.connections:
            break
        await asyncio.sleep(0.02)


async def _says(forwarder: Forwarder) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, bytes]:
    reader, writer = await asyncio.open_connection(forwarder.address, forwarder.port)
    writer.write(b"token")
    try:
        return reader, writer, await asyncio.wait_for(reader.read(100), 10)
    except ConnectionError:
        return reader, writer, b""


@pytest.mark.parametrize(("admits", "answer"), [(True, b"token"), (False, b"")])
def test_b3_a_refused_source_gets_nothing(admits: bool, answer: bytes) -> None:
    async def play() -> bytes:
        upstream = await asyncio.start_server(_echo, "127.0.0.1", 0)
        forwarder = Forwarder(
            "127.0.0.1", free_ports(1)[0], lambda: [upstream.sockets[0].getsockname()], admits=lambda _peer: admits
        )
        await forwarder.open()
        _, writer, said = await _says(forwarder)
        await _end(forwarder, upstream, writer)
        return said

    assert asyncio.run(play()) == answer


def test_b3_open_connections_end_with_the_node_that_they_pass_through() -> None:
    async def play() -> tuple[bytes, bytes]:
        upstream = await asyncio.start_server(_echo, "127.0.0.1", 0)
        nodes = iter(["train-1", "web-1"])
        forwarder = Forwarder(
            "127.0.0.1", free_ports(1)[0], lambda: [upstream.sockets[0].getsockname()], node=lambda: next(nodes)
        )
        await forwarder.open()
        (gone, gone_writer, _), (going_on, writer, _) = await _says(forwarder), await _says(forwarder)
        forwarder.drop("train-1")
        try:
            ended = await asyncio.wait_for(gone.read(100), 10)
        except ConnectionError:
            ended = b""
        writer.write(b"more")
        more = await asyncio.wait_for(going_on.read(100), 10)
        await _end(forwarder, upstream, gone_writer, writer)
        return ended, more

    assert asyncio.run(play()) == (b"", b"more")


def test_b3_a_new_load_balancer_has_its_name_before_dns_knows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    patches: list[str] = []

    async def patch(_client: object, path: str, _body: object) -> None:
        patches.append(path)

    async def play() -> tuple[bool, bool]:
        balancers = Balancers(tmp_path, name_late_s=0.05)
        state = ClusterState(api.Cluster("east", "", "", provider="eks"), client=None)  # type: ignore[arg-type]
        state.services = {"m/chat-public": service()}
        await balancers.publish(state, "m/chat-public")
        name = allocation.hostname("east/m/chat-public")
        early = name in balancers.hostnames
        for _ in range(200):
            if name in balancers.hostnames:
                break
            await asyncio.sleep(0.05)
        return early, name in balancers.hostnames

    monkeypatch.setattr(api, "patch", patch)
    assert asyncio.run(play()) == (False, True)
    assert patches == ["/api/v1/namespaces/m/services/chat-public/status"]
