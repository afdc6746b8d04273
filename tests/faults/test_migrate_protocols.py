"""Endpoints that don't speak HTTP are cut over: a gRPC server that is asked for its health, and an SSH server that
nobody knows more of than that it takes connections."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from meshctl.clients.endpoints import grpc_health
from meshctl.lab.images.grpc_server import WHERE
from tests.faults.moved_mesh import ENVIRONMENTS, MIGRATE
from tests.lab_fixture import RunningLab

pytestmark = [pytest.mark.lab, pytest.mark.exhaustive]

MESH = """\
apiVersion: meshctl/v1
kind: Mesh
name: spoken
pools:
  web: {role: general, nodes: 1, cpu: {cores: 8}}
workloads:
  embed:
    kind: inference
    pool: web
    image: ghcr.io/acme/grpc-server:1.0
    args: [--load-seconds, "3"]
    ports: {grpc: 50051}
    health: {port: grpc, protocol: grpc, startup: 45m}
  files:
    kind: service
    pool: web
    image: rclone/rclone:1.75
    command: [sh, -c, "exec rclone serve sftp --user mesh --pass mesh --addr $POD_ADDRESS:2022 /tmp"]
    ports: {ssh: 2022}
endpoints:
  embed: {host: embed.example.com, workload: embed, port: grpc, access: public}
  files: {host: files.example.com, workload: files, port: ssh, access: public}
"""


@pytest.fixture
def spoken(lab: RunningLab, tmp_path: Path) -> Iterator[RunningLab]:
    here = lab.at(tmp_path)
    (tmp_path / "mesh.yaml").write_text(MESH)
    (tmp_path / "environments.yaml").write_text(ENVIRONMENTS)
    yield here
    here.meshctl("migrations", "finish", "--yes", check=False)  # while it is open, `destroy` is refused
    for environment in ("dc1", "cw"):
        here.meshctl("destroy", environment, "--allow-data-loss", "--confirm", environment, check=False)


def endpoints(here: RunningLab, environment: str) -> dict[str, Any]:
    status = here.json("status", environment)["environments"][environment]
    return {endpoint["name"]: endpoint for endpoint in status["endpoints"]}


def test_endpoints_of_other_protocols_than_http_move(spoken: RunningLab) -> None:
    spoken.meshctl("up", "dc1", "--yes")
    assert {endpoint["points_at"] for endpoint in endpoints(spoken, "dc1").values()} == {"dc1"}
    spoken.meshctl(*MIGRATE)
    moved = endpoints(spoken, "cw")
    assert {endpoint["points_at"] for endpoint in moved.values()} == {"cw"}
    target = f"{moved['embed']['name_address']}:50051"
    assert grpc_health.check(target, timeout_s=10) == "SERVING"
    with grpc.insecure_channel(target) as channel:
        assert channel.unary_unary(WHERE)(b"", timeout=10) == b"cw"
    with socket.create_connection((moved["files"]["name_address"], 2022), 10) as connection:
        assert connection.recv(8) == b"SSH-2.0-"
