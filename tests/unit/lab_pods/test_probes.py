"""The lab asks process pods for their health as a kubelet does, by every protocol, and reports what it was answered."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme

from meshctl.clients.endpoints import grpc_health
from meshctl.lab.images import grpc_server as image
from meshctl.lab.pods import probes, status
from meshctl.lab.pods.container import Container, Program
from meshctl.lab.pods.probes import Result
from tests.local_servers import closes_at_once, grpc_server, http_server, tcp_server
from tests.waiting import end, wait_until

ADDRESS = "127.0.0.1"


def check(probe: dict[str, Any]) -> Result:
    async def execute(_argv: list[str], _timeout_s: float) -> int:
        return 3

    return asyncio.run(probes.check({"timeoutSeconds": 5, **probe}, {}, ADDRESS, execute))


def free_port() -> int:
    with socket.create_server((ADDRESS, 0)) as taken:
        return int(taken.getsockname()[1])


@pytest.mark.parametrize("certificate", [None, "another.example.org"])
def test_http_and_https(certificate: str | None) -> None:
    scheme = "HTTPS" if certificate else "HTTP"
    leaf = trustme.CA().issue_cert(certificate) if certificate else None
    with http_server(leaf, health=200, loading=503) as server:
        get = {"port": server.server_port, "scheme": scheme}
        assert check({"httpGet": {**get, "path": "/health"}}).ok
        assert check({"httpGet": {**get, "path": "/loading"}}) == Result(
            False, "HTTP probe failed with statuscode: 503"
        )


@pytest.mark.parametrize(
    ("response", "result"),
    [
        (b"\x08\x01", True),
        (b"\x08\x02", 'service unhealthy (responded with "NOT_SERVING")'),
        (b"", 'service unhealthy (responded with "UNKNOWN")'),
        (None, "UNIMPLEMENTED"),
    ],
)
def test_grpc_is_ready_only_when_it_says_serving(response: bytes | None, result: bool | str) -> None:
    with grpc_server(response) as port:
        answer = check({"grpc": {"port": port}})
    assert answer.ok is (result is True)
    assert answer.ok or str(result) in answer.output


def test_a_connection_that_is_taken_counts() -> None:
    with tcp_server(closes_at_once) as port:
        assert check({"tcpSocket": {"port": port}}).ok
    port = free_port()
    assert check({"tcpSocket": {"port": port}}) == Result(False, f"dial tcp {ADDRESS}:{port}: Connection refused")


def test_a_command_tells_its_exit_code() -> None:
    assert check({"exec": {"command": ["false"]}}) == Result(False, "command ended with exit code 3")


def watched(spec: dict[str, Any], folder: Path) -> list[tuple[str, str, str]]:
    """The events of a container whose process has only just been started, until its startup probe has failed."""
    events: list[tuple[str, str, str]] = []

    def report(*event: str) -> None:
        events.append((event[0], event[1], event[2]))

    state = status.ContainerState("main", "image")
    program = Program([], {}, "/", [])
    container = Container(spec, program, folder, ADDRESS, state, lambda: None, report)
    asyncio.run(container._watch_over())
    return events


def test_a_startup_probe_that_fails_is_reported_in_the_kubelets_words(tmp_path: Path) -> None:
    with http_server(health=503) as server:
        get = {"httpGet": {"path": "/health", "port": server.server_port}}
        events = watched({"startupProbe": {**get, "failureThreshold": 1, "periodSeconds": 0}}, tmp_path)
    assert events == [
        ("Warning", "Unhealthy", "Startup probe failed: HTTP probe failed with statuscode: 503"),
        ("Normal", "Killing", "Container main failed startup probe, will be restarted"),
    ]


def test_the_grpc_image_says_serving_once_it_has_loaded_and_ends_when_told() -> None:
    port = free_port()
    target = f"{ADDRESS}:{port}"
    environment = {**os.environ, "DRAIN_SECONDS": "0", "MESH_ENVIRONMENT": "cw", "POD_ADDRESS": ADDRESS}
    command = [sys.executable, "-m", image.__name__, "--port", str(port), "--load-seconds", "1"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: grpc_health.check(target, timeout_s=5) == "NOT_SERVING")
        wait_until(lambda: grpc_health.check(target, timeout_s=5) == "SERVING")
        assert grpc_health.check(target, timeout_s=5, service="acme.Server") == "SERVING"
        assert grpc_health.check(target, timeout_s=5, service="acme.Sever").startswith("NOT_FOUND")
        assert check({"grpc": {"port": port}}).ok
        assert not check({"grpc": {"port": port, "service": "acme.Sever"}}).ok
        with grpc.insecure_channel(target) as channel:
            assert channel.unary_unary(image.WHERE)(b"", timeout=5) == b"cw"
        process.terminate()
        assert process.wait(30) == 0
    finally:
        end(process)
