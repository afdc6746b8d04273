"""The lab's network on a machine that has too much to do: what can't be read or asked in time changes nothing."""

from __future__ import annotations

import asyncio
import gc
import http.client
import json
import socket
import threading
from pathlib import Path
from typing import Any

import dns.message
import dns.rcode
import pytest
from botocore.exceptions import EndpointConnectionError

from meshctl.lab.images.inference.inference_answers import Weights
from meshctl.lab.images.openai_server import Server, drain
from meshctl.lab.network import dns_server, zones
from meshctl.lab.network.balancers import Balancers, ClusterState
from meshctl.lab.network.forwarder import Forwarder
from meshctl.lab.network.ports import free_ports
from meshctl.lab.pods import api

RECORD = {"Name": "chat.example.com.", "Type": "A", "TTL": 30, "ResourceRecords": [{"Value": "127.0.0.7"}]}
QUERY = dns.message.make_query("chat.example.com", "A").to_wire()


class FaultyRoute53(dns_server.Route53):
    """An API that answers once. `then`: what it does after that."""

    def __init__(self, then: str) -> None:
        super().__init__("http://127.0.0.1:1")
        self.then = then
        self.asked = 0
        self.hangs = threading.Event()

    def read(self) -> zones.Zones:
        self.asked += 1
        if self.asked > 1:
            if self.then == "hangs":
                self.hangs.wait(60)
            raise EndpointConnectionError(endpoint_url="http://127.0.0.1:1")
        return zones.from_api([RECORD])


@pytest.mark.parametrize("then", ["fails", "hangs"])
def test_names_lead_where_they_led_while_the_api_does_not_answer(then: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dns_server, "FRESH_S", 0.0)
    monkeypatch.setattr(dns_server, "PATIENCE_S", 0.05)

    async def ask_twice() -> list[dns.message.Message]:
        route53 = FaultyRoute53(then)
        server = dns_server.DnsServer(route53, {})
        try:
            return [dns.message.from_wire(await server.respond(QUERY) or b"") for _ in range(2)]
        finally:
            route53.hangs.set()

    first, second = asyncio.run(ask_twice())
    assert first.answer
    assert dns.rcode.to_text(second.rcode()) == "NOERROR"
    assert second.answer == first.answer


def test_clusters_stay_while_the_file_that_names_them_can_not_be_read(tmp_path: Path) -> None:
    (tmp_path / "kubeconfig").write_text("")
    file = tmp_path / "lab.json"
    file.write_text(json.dumps({"clusters": {"cw": {"kubeconfig": str(tmp_path / "kubeconfig")}}}))
    began, ended = [], []

    async def play(cluster: api.Cluster) -> None:
        began.append(cluster.name)
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(cluster.name)

    async def follow() -> None:
        following = asyncio.ensure_future(api.follow_clusters(tmp_path, play))
        await asyncio.sleep(0.1)
        file.unlink()
        file.mkdir()  # as good as too many open files: it is there, and reading it fails
        await asyncio.sleep(1.2)
        assert (began, ended) == (["cw"], [])
        file.rmdir()
        for _ in range(50):
            await asyncio.sleep(0.1)
            if ended:
                break
        assert ended == ["cw"], "a lab that is gone has no clusters"
        following.cancel()

    asyncio.run(follow())


def test_endpoints_stay_while_the_table_of_addresses_can_not_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pods").mkdir()
    table = tmp_path / "pods" / "addresses.json"
    table.write_text(json.dumps({"addresses": {"10.240.0.2": "127.64.0.2"}}))
    slices = {
        "default/chat": {
            "chat-1": {"ports": [{"port": 8000}], "endpoints": [{"addresses": ["10.240.0.2"], "conditions": {}}]}
        }
    }
    monkeypatch.setattr("meshctl.lab.pods.addresses.loopback_network", lambda _: 64)
    balancers, none = Balancers(tmp_path), api.Cluster("cw", "", "")
    state = ClusterState(none, None, slices=slices)  # type: ignore[arg-type]
    assert balancers.endpoints(state, "default/chat", "") == [("127.64.0.2", 8000)]
    table.write_text('{"addresses": ')
    assert balancers.endpoints(state, "default/chat", "") == [("127.64.0.2", 8000)]
    table.write_text(json.dumps({"addresses": {"10.240.0.2": "127.64.0.3"}}))
    assert balancers.endpoints(state, "default/chat", "") == [("127.64.0.3", 8000)]


def test_a_server_that_ends_serves_the_connections_that_it_has_not_seen_yet() -> None:
    server = Server(("127.0.0.1", 0))
    server.weights = Weights("/m", "ab" * 32, 3, 1)
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    serving.start()
    server.shutdown()  # from here on nobody takes connections but the kernel
    serving.join(timeout=30)
    port = server.socket.getsockname()[1]
    waiting = [http.client.HTTPConnection("127.0.0.1", port, timeout=20) for _ in range(3)]
    for connection in waiting:
        connection.request("POST", "/v1/completions", body=b"{}")
    drain(server, 0)
    answers = [connection.getresponse() for connection in waiting]
    assert [answer.status for answer in answers] == [200, 200, 200]
    assert all(answer.read() for answer in answers)
    assert server.in_flight == 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=20)


def test_a_server_does_not_wait_for_connections_that_only_stay_open() -> None:
    server: Any = Server(("127.0.0.1", 0))
    server.weights = Weights("/m", "ab" * 32, 3, 1)
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    serving.start()
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)
    for _ in range(2):
        connection.request("GET", "/health")
        assert connection.getresponse().read()
    for _ in range(200):
        if not server.in_flight:
            break
        threading.Event().wait(0.02)
    assert server.in_flight == 0
    drain(server, 0)
    serving.join(timeout=30)
    connection.close()


def test_a_connection_that_its_client_has_left_is_not_forgotten_while_the_endpoint_is_at_it() -> None:
    complaints: list[dict[str, Any]] = []

    async def leave_one() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        arrived, goes_on = asyncio.Event(), asyncio.Event()

        async def endpoint(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()  # up to the end that the client's leaving makes
            arrived.set()
            await goes_on.wait()
            writer.close()

        upstream = await asyncio.start_server(endpoint, "127.0.0.1", 0)
        [port] = free_ports(1)
        forwarder = Forwarder("127.0.0.1", port, lambda: [upstream.sockets[0].getsockname()])
        await forwarder.open()
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"request")
        writer.close()
        await asyncio.wait_for(arrived.wait(), 20)
        await asyncio.sleep(0.1)
        gc.collect()
        await asyncio.sleep(0.1)
        assert len(forwarder.connections) == 1
        goes_on.set()
        for _ in range(200):
            if not forwarder.connections:
                break
            await asyncio.sleep(0.02)
        assert not forwarder.connections
        forwarder.close()
        upstream.close()

    asyncio.run(leave_one())
    assert complaints == []
