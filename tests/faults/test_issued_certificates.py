"""An endpoint with `tls: true` has a certificate of ACM or of cert-manager, and moves from one to the other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from meshctl.lab.load import Load
from tests.lab_fixture import RunningLab
from tests.waiting import wait_until

pytestmark = [pytest.mark.lab, pytest.mark.exhaustive]

HOST = "api.example.com"
MESH = """\
apiVersion: meshctl/v1
kind: Mesh
name: issued
pools:
  web: {role: general, nodes: 1, cpu: {cores: 8}}
workloads:
  chat:
    kind: inference
    pool: web
    replicas: 2
    image: vllm/vllm-openai:v0.11.0
    args: [--model, /models]
    files: {/models/config.json: config.json}
    ports: {http: 8000}
    health: {port: http, path: /health}
endpoints:
  api: {host: api.example.com, workload: chat, port: http, tls: true, access: public}
"""
ENVIRONMENTS = """\
apiVersion: meshctl/v1
kind: Environments
environments:
  aws-east: {provider: aws, region: us-east-1, zones: [us-east-1a, us-east-1b]}
  cw:
    provider: coreweave
    region: US-EAST-04A
    kubernetes: {context: cw}
    objectStorage: {profile: coreweave}
    certificates: {clusterIssuer: lab}
dns: {provider: route53, zone: example.com, ttl: 2s}
"""


@pytest.fixture
def issued(lab: RunningLab, tmp_path: Path) -> Iterator[RunningLab]:
    here = lab.at(tmp_path)
    (tmp_path / "mesh.yaml").write_text(MESH)
    (tmp_path / "environments.yaml").write_text(ENVIRONMENTS)
    (tmp_path / "config.json").write_text('{"model": "tiny"}')
    yield here
    here.meshctl("migrations", "finish", "--yes", check=False)  # while it is open, `destroy` is refused
    for environment in ("aws-east", "cw"):
        here.meshctl("destroy", environment, "--yes", check=False, timeout_s=400)


def certificates(here: RunningLab) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = here.boto3("acm").list_certificates()["CertificateSummaryList"]
    return listed


def proofs(here: RunningLab) -> list[str]:
    """The records of the zone by which ACM proves hosts."""
    route53 = here.boto3("route53")
    (zone,) = (each for each in route53.list_hosted_zones()["HostedZones"] if each["Name"] == "example.com.")
    records = route53.list_resource_record_sets(HostedZoneId=zone["Id"])["ResourceRecordSets"]
    return [each["Name"] for each in records if each["Name"].startswith("_")]


def sent_to(here: RunningLab, environment: str) -> str:
    """Where clients are sent who come by HTTP."""
    (endpoint,) = here.json("status", environment)["environments"][environment]["endpoints"]
    with httpx2.Client(trust_env=False, timeout=20) as client:
        response = client.get(f"http://{endpoint['address']}/v1/models", headers={"Host": HOST})
    assert response.status_code == 308
    return str(response.headers["Location"])


def migrate(here: RunningLab, source: str, target: str, load: Load) -> None:
    before = load.environments[target]
    here.meshctl("migrate", source, target, "--yes", "--observe", "5", timeout_s=400)
    wait_until(lambda: load.environments[target] > before + 100)
    here.meshctl("migrations", "finish", "--yes", timeout_s=400)


def test_an_endpoint_with_issued_certificates_moves_there_and_back(issued: RunningLab) -> None:
    issued.meshctl("up", "aws-east", "--yes", timeout_s=400)
    (certificate,) = certificates(issued)
    assert (certificate["DomainName"], certificate["Status"]) == (HOST, "ISSUED")
    (proof,) = proofs(issued)
    assert proof.endswith(f".{HOST}.")
    plan = issued.json("plan", "aws-east")
    assert plan["changes"] == plan["outside"] == []  # that ACM has issued it since is no change
    # both certificates are of the lab's authority, which clients verify all the time
    server, authority = issued.env["MESHCTL_DNS_SERVER"], str(issued.lab.root / "certificates" / "authority.pem")
    load = Load(f"https://{HOST}/v1/completions", rate=50, dns_server=server, authority=authority).start()
    wait_until(lambda: load.environments["aws-east"] > 50)
    migrate(issued, "aws-east", "cw", load)
    assert sent_to(issued, "cw") == f"https://{HOST}/v1/models"
    assert (certificates(issued), proofs(issued)) == ([], [])
    migrate(issued, "cw", "aws-east", load)
    result = load.stop()
    assert result.failed == 0, result.errors
    issued.meshctl("destroy", "aws-east", "--yes", timeout_s=400)
    assert (certificates(issued), proofs(issued)) == ([], [])


def test_the_proof_of_another_tool_outlives_the_environment(issued: RunningLab) -> None:
    """Its certificate for the same host is renewed by the same record, which it has made with a TTL of its own."""
    acm, route53 = issued.boto3("acm"), issued.boto3("route53")
    theirs = acm.request_certificate(DomainName=HOST, ValidationMethod="DNS")["CertificateArn"]
    (option,) = acm.describe_certificate(CertificateArn=theirs)["Certificate"]["DomainValidationOptions"]
    (zone,) = (each["Id"] for each in route53.list_hosted_zones()["HostedZones"] if each["Name"] == "example.com.")
    name, kind, value = (option["ResourceRecord"][key] for key in ("Name", "Type", "Value"))
    record = {"Name": name, "Type": kind, "TTL": 60, "ResourceRecords": [{"Value": value}]}
    route53.change_resource_record_sets(
        HostedZoneId=zone, ChangeBatch={"Changes": [{"Action": "CREATE", "ResourceRecordSet": record}]}
    )
    try:
        issued.meshctl("up", "aws-east", "--yes", timeout_s=400)
        plan = issued.json("plan", "aws-east")
        assert plan["changes"] == plan["outside"] == []
        issued.meshctl("destroy", "aws-east", "--yes", timeout_s=400)
        listed = route53.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
        assert [each["TTL"] for each in listed if each["Name"] == name] == [60]
    finally:
        acm.delete_certificate(CertificateArn=theirs)
        route53.change_resource_record_sets(
            HostedZoneId=zone, ChangeBatch={"Changes": [{"Action": "DELETE", "ResourceRecordSet": record}]}
        )
