"""Load balancers of the lab that end TLS: with a certificate of its ACM that can be used, and never without it."""

from __future__ import annotations

import asyncio
import json
import ssl
from pathlib import Path
from typing import Any

import pytest

from meshctl.lab.controllers import authority
from meshctl.lab.network import allocation, balancers, sealed_ports
from meshctl.lab.network.balancers import Balancers, ClusterState
from meshctl.lab.network.forwarder import Forwarder
from meshctl.lab.network.ports import free_ports
from meshctl.lab.pods import api

ARN = "arn:aws:acm:us-east-1:123456789012:certificate/1"
BEGIN = "service.beta.kubernetes.io/aws-load-balancer-ssl"
HOST = "api.example.com"


def issued(root: Path, **changes: str) -> None:
    made = authority.issue(root / "certificates", [HOST])
    pem = root / "certificates" / "1.pem"
    pem.write_bytes(made.chain + made.key)
    described = {"status": "ISSUED", "region": "us-east-1", "file": str(pem), **changes}
    (root / "acm.json").write_text(json.dumps({ARN: described}))


def service(port: int, certificate: str = ARN, ports: str = "") -> dict[str, Any]:
    listed = {f"{BEGIN}-ports": ports} if ports else {}
    return {
        "metadata": {
            "namespace": "m",
            "name": "api",
            "annotations": {f"{BEGIN}-cert": certificate, **listed},
        },
        "spec": {
            "type": "LoadBalancer",
            "clusterIP": "10.0.0.1",
            "selector": {"app": "api"},
            "ports": [{"name": "http", "port": port}],
        },
    }


async def answered(address: str, port: int, root: Path) -> bytes:
    """What a client gets that verifies the certificate."""
    tls = ssl.create_default_context(cafile=root / "certificates" / authority.CERTIFICATE)
    reader, writer = await asyncio.open_connection(address, port, ssl=tls, server_hostname=HOST)
    writer.write(b"hello\n")
    content = await asyncio.wait_for(reader.read(), 10)  # to its end, which TLS has to pass on
    writer.close()
    return content


def test_tls_ends_at_the_load_balancer_and_the_end_of_an_answer_is_passed_on(tmp_path: Path) -> None:
    issued(tmp_path)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"plain: " + await reader.readline())
        writer.close()

    async def play() -> bytes:
        upstream = await asyncio.start_server(serve, "127.0.0.1", 0)
        [port] = free_ports(1)
        tls = sealed_ports.context(tmp_path, ARN)
        forwarder = Forwarder("127.0.0.1", port, lambda: [upstream.sockets[0].getsockname()], tls=tls)
        await forwarder.open()
        content = await answered("127.0.0.1", port, tmp_path)
        forwarder.close()
        upstream.close()
        return content

    assert asyncio.run(play()) == b"plain: hello\n"


@pytest.mark.parametrize(
    ("changes", "region", "code"),
    [
        ({"status": "PENDING_VALIDATION"}, "us-east-1", "UnsupportedCertificate"),
        ({}, "us-west-2", "CertificateNotFound"),
    ],
)
def test_a_certificate_that_can_not_be_used_gives_no_load_balancer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, changes: dict[str, str],
    region: str, code: str,
) -> None:  # fmt: skip
    issued(tmp_path, **changes)
    published: list[str] = []
    users = tmp_path / "network" / "certificates.json"

    async def patch(_client: object, path: str, _body: object) -> None:
        published.append(path)

    async def play() -> tuple[list[str], bool]:
        balancing = Balancers(tmp_path)
        state = ClusterState(api.Cluster("east", "", "", provider="eks", region=region), client=None)  # type: ignore[arg-type]
        balancing.clusters["east"] = state
        [port] = free_ports(1)
        state.services = {"m/api": service(port)}
        await balancing.reconcile(state)
        before = list(published)
        issued(tmp_path, region=region)
        for _ in range(200):  # the controller tries again
            if published:
                break
            await asyncio.sleep(0.05)
        is_used = json.loads(users.read_text()) == {ARN: [f"net/{allocation.hostname('east/m/api').partition('.')[0]}"]}
        state.services = {}
        await balancing.reconcile(state)
        return before, is_used

    monkeypatch.setattr(api, "patch", patch)
    monkeypatch.setattr(balancers, "SYNC_AGAIN_S", 0.05)
    before, is_used = asyncio.run(play())
    assert (before, published) == ([], ["/api/v1/namespaces/m/services/api/status"])
    assert is_used
    assert json.loads(users.read_text()) == {}
    assert f"refused CreateListener for m/api of east: {code}" in caplog.text


def test_the_ports_that_speak_tls_are_named_by_number_or_name() -> None:
    port = {"name": "http", "port": 443}
    for ports, expected in (("", ARN), ("*", ARN), ("443", ARN), ("80, http", ARN), ("80", "")):
        assert sealed_ports.certificate_of(service(443, ports=ports), port) == expected, ports
    assert sealed_ports.certificate_of(service(443, certificate=""), port) == ""
