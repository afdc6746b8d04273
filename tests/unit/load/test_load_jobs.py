"""Jobs get no requests: an endpoint or a health check of one is refused, and what is up with it can still go."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshctl import render
from meshctl.catalog import load_catalog
from meshctl.cli.context import Context
from meshctl.errors import DiagnosticsError
from meshctl.load import load
from meshctl.model.deployment import Endpoint
from meshctl.model.environment import Environments
from meshctl.model.mesh import Mesh
from meshctl.model.persisted import Stamp
from meshctl.model.stack_state import DEPLOYMENT
from meshctl.resolve import resolve
from tests.unit.deployments import deployment

MESH = """\
apiVersion: meshctl/v1
kind: Mesh
name: m
pools: {p: {nodes: 2}}
workloads:
  w:
    kind: KIND
    pool: p
    image: a/b:1
    ports: {http: 8000}
    health: {path: /health, port: http}
endpoints:
  e: {host: w.example.com, workload: w, port: http}
"""
ENVIRONMENTS = """\
apiVersion: meshctl/v1
kind: Environments
environments: {e: {provider: aws, region: us-east-1, zones: [us-east-1a, us-east-1b]}}
dns: {provider: route53, zone: example.com}
"""


def loaded(folder: Path, mesh: str) -> tuple[Mesh, Environments]:
    (folder / "mesh.yaml").write_text(mesh)
    (folder / "environments.yaml").write_text(ENVIRONMENTS)
    return load(folder / "mesh.yaml", folder / "environments.yaml")


@pytest.mark.parametrize(("kind", "pods"), [("training", "every rank of the gang"), ("batch", "every pod of the job")])
def test_a_job_with_requests_is_not_brought_up(tmp_path: Path, kind: str, pods: str) -> None:
    mesh, environments = loaded(tmp_path, MESH.replace("KIND", kind))
    with pytest.raises(DiagnosticsError) as caught:
        resolve(mesh, environments, "e", load_catalog())
    health, endpoint = caught.value.diagnostics
    assert (health.line, health.column, health.path) == (11, 5, "workloads.w.health")
    assert health.message.startswith(f"a {kind} job has no health")
    assert (endpoint.line, endpoint.column, endpoint.path) == (13, 38, "endpoints.e.workload")
    assert pods in endpoint.message
    assert ("w-0.w" in endpoint.message) == (kind == "training")


@pytest.mark.parametrize("kind", ["inference", "service"])
def test_what_serves_has_both(tmp_path: Path, kind: str) -> None:
    mesh, environments = loaded(tmp_path, MESH.replace("KIND", kind))
    assert resolve(mesh, environments, "e", load_catalog()).deployment


def test_it_is_told_with_everything_else_that_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(DiagnosticsError) as caught:
        loaded(tmp_path, MESH.replace("KIND", "training").replace("pool: p\n", "pool: q\n"))
    paths = [problem.path for problem in caught.value.diagnostics]
    assert paths == ["workloads.w.pool", "workloads.w.health", "endpoints.e.workload"]


def test_commands_that_look_or_delete_read_the_mesh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`status` and `destroy` resolve nothing: an older version may have brought the endpoint up."""
    loaded(tmp_path, MESH.replace("KIND", "training"))
    monkeypatch.chdir(tmp_path)
    mesh, _ = Context().load()
    assert (mesh.name, len(mesh.mistakes)) == ("m", 2)


def test_what_an_older_version_brought_up_is_still_read() -> None:
    endpoint = Endpoint(name="e", host="w.example.com", workload="pretrain", port="http")
    made = deployment("aws-east", endpoints=(endpoint,))
    ports = {"ports": {"http": 8000}}
    made = made.model_copy(update={"workloads": tuple(w.model_copy(update=ports) for w in made.workloads)})
    assert DEPLOYMENT.read(made.model_dump(mode="json"), Stamp(0), "the state") == made
    assert "workload/pretrain:load-balancer" in {item.name for item in render.platform_objects(made)}
