"""A secret with a new value, on the lab's on-prem cluster: servers are rolled out with it, jobs are left to run."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab_fixture import RunningLab

EXAMPLE = Path(__file__).parents[2] / "examples" / "llm-prod"
OLD, NEW = "planted-old-41fa", "planted-new-87bd"
MESH = """\
apiVersion: meshctl/v1
kind: Mesh
name: rotate
pools:
  web: {role: general, nodes: 1, cpu: {cores: 4}}
workloads:
  site:
    kind: service
    pool: web
    replicas: 1
    image: "acme/site:1"
    secrets: {TOKEN: hf-token, /run/mesh/token: hf-token}
    files: {/etc/site/prompt.txt: prompt.txt}
  other: {kind: service, pool: web, replicas: 1, image: "acme/site:1", imagePullSecrets: [ghcr]}
  crunch: {kind: batch, pool: web, replicas: 1, image: "acme/crunch:1", secrets: {TOKEN: hf-token}}
"""
pytestmark = [pytest.mark.lab, pytest.mark.exhaustive]


@pytest.fixture
def mesh(lab: RunningLab, tmp_path: Path) -> Iterator[RunningLab]:
    shutil.copy(EXAMPLE / "environments.yaml", tmp_path)
    (tmp_path / "mesh.yaml").write_text(MESH)
    (tmp_path / "prompt.txt").write_text("be kind\n")
    here = lab.at(tmp_path)
    here.meshctl("up", "dc1", "--yes", **values(OLD))
    yield here
    here.meshctl("destroy", "dc1", "--yes")


def values(value: str) -> dict[str, Any]:
    """The variables that the secrets are read from."""
    return {"HF_TOKEN": value, "MESHCTL_SECRET_GHCR": json.dumps({"auths": {"ghcr.io": {"auth": value}}})}


def get(here: RunningLab, kind: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(here.kubectl("dc1", "get", kind, name, "-n", "rotate", "-o", "json"))
    return found


def written(here: RunningLab, *values: str) -> list[Path]:
    """The files of meshctl that hold one of the values, as it is or as Kubernetes writes it."""
    forms = [form for value in values for form in (value.encode(), base64.b64encode(value.encode())[:-4])]
    files = [path for path in here.folder.rglob("*") if path.is_file()]
    return [path for path in files if any(form in path.read_bytes() for form in forms)]


def test_a_rotated_secret_reaches_servers_and_leaves_jobs_alone_and_a_variable_can_leave(mesh: RunningLab) -> None:
    names = [("secret", "site-secrets"), ("secret", "crunch-secrets"), ("secret", "registry-ghcr"), ("job", "crunch")]
    names += [("deployment", "site"), ("deployment", "other")]
    before = {name: get(mesh, *name) for name in names}
    assert "no changes" in mesh.meshctl("plan", "dc1", **values(OLD)).stdout
    (mesh.folder / "prompt.txt").write_text("be brief\n")
    plan = mesh.meshctl("plan", "dc1", "--out", "plan.json", **values(NEW)).stdout
    assert "dc1: 5 to update," in plan
    assert "to replace" not in plan
    assert "secret TOKEN changes" in plan
    assert "secret /run/mesh/token changes" in plan
    assert "file /etc/site/prompt.txt changes" in plan
    mesh.meshctl("up", "dc1", "--plan", "plan.json", "--yes", **values(NEW))
    after = {name: get(mesh, *name) for name in names}
    assert {name: found["metadata"]["uid"] for name, found in after.items()} == {
        name: found["metadata"]["uid"] for name, found in before.items()
    }, "all are changed in place"
    assert {name for name in names if after[name].get("data") != before[name].get("data")} == set(names[:3])
    rolled = {name for name in names if after[name].get("spec") != before[name].get("spec")}
    assert rolled == {("deployment", "site")}, "the kubelet reads a registry's keys anew at each pull"
    template = after["deployment", "site"]["spec"]["template"]
    assert template["metadata"]["annotations"]["meshctl.dev/secrets-revision"] == "2"
    assert list(get(mesh, "configmap", "site-files")["data"].values()) == ["be brief\n"]
    assert "up to date" in mesh.meshctl("up", "dc1", "--yes", **values(NEW)).stdout
    assert "no changes" in mesh.meshctl("plan", "dc1", **values(NEW)).stdout
    assert written(mesh, OLD, NEW) == []

    file = mesh.folder / "mesh.yaml"
    file.write_text(
        MESH.replace("secrets: {TOKEN: hf-token", "secrets: {OTHER: hf-token").replace(
            ", /run/mesh/token: hf-token", ""
        )
    )
    stale = mesh.meshctl("up", "dc1", "--plan", "plan.json", "--yes", check=False, **values(NEW))
    assert stale.returncode == 1
    assert "the mesh has changed since the plan was made" in stale.stderr
    mesh.meshctl("up", "dc1", "--yes", **values(NEW))
    assert list(get(mesh, "secret", "site-secrets")["data"]) == ["OTHER"], (
        "a variable that leaves leaves the secret, too"
    )
