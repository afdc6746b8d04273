"""An endpoint whose workload ends TLS itself is cut over under load; clients verify its certificate all the time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from meshctl.lab.load import Load
from tests.lab_fixture import RunningLab
from tests.waiting import wait_until

pytestmark = [pytest.mark.lab, pytest.mark.exhaustive]

HOST = "chat.example.com"
MESH = """\
apiVersion: meshctl/v1
kind: Mesh
name: sealed
pools:
  web: {role: inference, nodes: 1, cpu: {cores: 8}}
workloads:
  chat:
    kind: inference
    pool: web
    replicas: 2
    image: vllm/vllm-openai:v0.11.0
    args: [--model, /models, --port, "8443", --ssl-certfile, /run/tls/tls.crt, --ssl-keyfile, /run/tls/tls.key]
    files: {/models/config.json: config.json}
    secrets: {/run/tls/tls.crt: chat-certificate, /run/tls/tls.key: chat-key}
    ports: {https: 8443}
    health: {port: https, path: /health, protocol: https}
endpoints:
  chat: {host: chat.example.com, workload: chat, port: https, access: public}
"""
ENVIRONMENTS = """\
apiVersion: meshctl/v1
kind: Environments
environments:
  aws-east: {provider: aws, region: us-east-1, zones: [us-east-1a, us-east-1b]}
  cw: {provider: coreweave, region: US-EAST-04A, kubernetes: {context: cw}, objectStorage: {profile: coreweave}}
secrets: {chat-certificate: {file: tls.crt}, chat-key: {file: tls.key}}
dns: {provider: route53, zone: example.com, ttl: 2s}
"""


@pytest.fixture
def sealed(lab: RunningLab, tmp_path: Path) -> Iterator[RunningLab]:
    here = lab.at(tmp_path)
    (tmp_path / "mesh.yaml").write_text(MESH)
    (tmp_path / "environments.yaml").write_text(ENVIRONMENTS)
    (tmp_path / "config.json").write_text('{"model": "tiny"}')
    authority = trustme.CA()
    certificate = authority.issue_cert(HOST)
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    certificate.private_key_pem.write_to_path(tmp_path / "tls.key")
    for part in certificate.cert_chain_pems:
        part.write_to_path(tmp_path / "tls.crt", append=True)
    yield here
    here.meshctl("migrations", "finish", "--yes", check=False)  # while it is open, `destroy` is refused
    for environment in ("aws-east", "cw"):
        here.meshctl("destroy", environment, "--yes", check=False, timeout_s=400)


def test_an_https_endpoint_moves_without_a_failed_request(sealed: RunningLab) -> None:
    sealed.meshctl("up", "aws-east", "--yes", timeout_s=400)
    server, authority = sealed.env["MESHCTL_DNS_SERVER"], str(sealed.folder / "authority.pem")
    load = Load(f"https://{HOST}:8443/v1/completions", rate=100, dns_server=server, authority=authority).start()
    wait_until(lambda: load.environments["aws-east"] > 100)
    sealed.meshctl("migrate", "aws-east", "cw", "--yes", "--observe", "5", timeout_s=400)
    wait_until(lambda: load.environments["cw"] > 100)
    result = load.stop()
    assert result.failed == 0, result.errors
    record = sealed.json("migrations", "show")
    assert record["state"] == "waiting"
