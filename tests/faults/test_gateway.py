"""An endpoint with routes and TLS: both workloads answer behind one certificate, and it is cut over under load."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import trustme

from meshctl.lab.load import Load
from tests.faults.moved_mesh import ENVIRONMENTS, MIGRATE
from tests.lab_fixture import RunningLab
from tests.waiting import wait_until

pytestmark = [pytest.mark.lab, pytest.mark.exhaustive]

HOST = "api.example.com"
MESH = """\
apiVersion: meshctl/v1
kind: Mesh
name: routed
pools:
  web: {role: general, nodes: 1, cpu: {cores: 8}}
workloads:
  chat:
    kind: inference
    pool: web
    image: vllm/vllm-openai:v0.11.0
    args: [--model, /models/chat]
    files: {/models/chat/config.json: config.json}
    ports: {http: 8000}
    health: {port: http, path: /health}
  embed:
    kind: inference
    pool: web
    image: vllm/vllm-openai:v0.11.0
    args: [--model, /models/embed]
    files: {/models/embed/config.json: config.json}
    ports: {http: 8000}
    health: {port: http, path: /health}
endpoints:
  api:
    host: api.example.com
    routes: {/v1/models: embed/http, /: chat/http}
    tls: {secret: api-certificate}
    access: public
  own: {host: own.example.com, workload: chat, port: http, tls: true, access: internal}
"""
ISSUED = ENVIRONMENTS.replace("kubernetes:", "certificates: {clusterIssuer: lab}, kubernetes:", 1).replace(
    "    kubernetes:", "    certificates: {clusterIssuer: lab}\n    kubernetes:"
)
SECRETS = "secrets: {api-certificate: {file: api.pem}}\n"


@pytest.fixture
def routed(lab: RunningLab, tmp_path: Path) -> Iterator[RunningLab]:
    here = lab.at(tmp_path)
    (tmp_path / "mesh.yaml").write_text(MESH)
    (tmp_path / "environments.yaml").write_text(ISSUED + SECRETS)
    (tmp_path / "config.json").write_text('{"model": "tiny"}')
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    certificate = authority.issue_cert(HOST)
    chain = b"".join(part.bytes() for part in certificate.cert_chain_pems)
    (tmp_path / "api.pem").write_bytes(chain + certificate.private_key_pem.bytes())
    yield here
    here.meshctl("migrations", "finish", "--yes", check=False)  # while it is open, `destroy` is refused
    for environment in ("dc1", "cw"):
        here.meshctl("destroy", environment, "--yes", check=False)


def asked(here: RunningLab, environment: str, method: str, path: str, host: str = HOST) -> dict[str, Any]:
    """The answer of the environment's own load balancer, whose certificate is verified for the host."""
    endpoints = here.json("status", environment)["environments"][environment]["endpoints"]
    (address,) = (endpoint["address"] for endpoint in endpoints if endpoint["host"] == host)
    of_lab = here.lab.root / "certificates" / "authority.pem"
    trusted = ssl.create_default_context(cafile=str(here.folder / "authority.pem" if host == HOST else of_lab))
    with httpx2.Client(verify=trusted, trust_env=False, timeout=20) as client:
        url = f"https://{address}{path}"
        response = client.request(method, url, headers={"Host": host}, extensions={"sni_hostname": host})
    answer: dict[str, Any] = response.raise_for_status().json()
    return answer


def test_two_workloads_behind_one_certificate_move_without_a_failed_request(routed: RunningLab) -> None:
    routed.meshctl("up", "dc1", "--yes")
    assert asked(routed, "dc1", "POST", "/v1/completions")["model"] == "/models/chat"
    assert asked(routed, "dc1", "GET", "/v1/models")["data"][0]["id"] == "/models/embed"
    assert asked(routed, "dc1", "GET", "/v1/models", "own.example.com")["data"][0]["id"] == "/models/chat"
    server, authority = routed.env["MESHCTL_DNS_SERVER"], str(routed.folder / "authority.pem")
    load = Load(f"https://{HOST}/v1/completions", rate=50, dns_server=server, authority=authority).start()
    wait_until(lambda: load.environments["dc1"] > 50)
    routed.meshctl(*MIGRATE)
    wait_until(lambda: load.environments["cw"] > 50)
    result = load.stop()
    assert result.failed == 0, result.errors
    assert asked(routed, "cw", "GET", "/v1/models")["data"][0]["environment"] == "cw"
    assert asked(routed, "cw", "GET", "/v1/models", "own.example.com")["data"][0]["environment"] == "cw"
    assert routed.json("plan", "cw")["changes"] == []
    routed.meshctl("migrations", "finish", "--yes")
    a_certificate_that_does_not_come_is_named(routed)


def a_certificate_that_does_not_come_is_named(routed: RunningLab) -> None:
    text = ISSUED.replace("clusterIssuer: lab", "clusterIssuer: gone") + SECRETS
    (routed.folder / "environments.yaml").write_text(text)
    failed = routed.meshctl("--output", "json", "up", "cw", "--yes", "--timeout", "10s", check=False)
    assert failed.returncode == 3, failed.stdout
    (failure,) = json.loads(failed.stdout)["error"]["failures"]
    assert failure["subject"] == "workload/own-gateway"
    assert 'clusterissuer.cert-manager.io "gone" not found' in failure["message"]
