"""What kubectl has set on a workload: told by `plan`, refused by `up` and `migrate` before anything is done, taken over
where meshctl must set it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab_fixture import RunningLab

EXAMPLE = Path(__file__).parents[2] / "examples" / "llm-prod"
MESH = """\
apiVersion: meshctl/v1
kind: Mesh
name: owned
pools:
  web: {{role: general, nodes: 1, cpu: {{cores: 4}}}}
storage:
  results: {{kind: object, size: 1GiB}}
workloads:
  api:
    kind: service
    pool: web
    replicas: 2
    image: a/api:1
    env: {{LEVEL: {level}}}
    mounts: {{results: {{path: /results}}}}
"""
IMAGE = "workload/api:.spec.template.spec.containers[main].image"
pytestmark = pytest.mark.lab


@pytest.fixture
def mesh(lab: RunningLab, tmp_path: Path) -> Iterator[RunningLab]:
    shutil.copy(EXAMPLE / "environments.yaml", tmp_path)
    (tmp_path / "mesh.yaml").write_text(MESH.format(level="info"))
    here = lab.at(tmp_path)
    yield here
    here.meshctl("destroy", "dc1", "--yes", "--allow-data-loss", "--confirm", "dc1")


def api(here: RunningLab) -> tuple[int, str]:
    found = json.loads(here.kubectl("dc1", "get", "deployment", "api", "-n", "owned", "-o", "json"))["spec"]
    return found["replicas"], found["template"]["spec"]["containers"][0]["image"]


def refused(here: RunningLab, *arguments: str) -> dict[str, Any]:
    failed = here.meshctl("--output", "json", *arguments, check=False)
    found: dict[str, Any] = json.loads(failed.stdout)["error"]
    assert found["code"] == "owned-fields"
    assert [field["name"] for field in found["fields"]] == [IMAGE]
    return found


@pytest.mark.exhaustive
def test_what_kubectl_has_set_is_told_refused_and_taken_over(mesh: RunningLab) -> None:
    mesh.meshctl("up", "dc1", "--yes")
    mesh.kubectl("dc1", "scale", "deployment/api", "-n", "owned", "--replicas=3")
    mesh.kubectl("dc1", "set", "image", "deployment/api", "-n", "owned", "main=a/api:2")
    plan = mesh.json("plan", "dc1")
    changed = {field["path"]: (field["old"], field["new"]) for change in plan["outside"] for field in change["fields"]}
    assert changed["replicas"] == (2, 3)  # what the mesh says, and what it is now
    assert any(f"`up` needs --take-over '{IMAGE}'" in note for note in plan["notes"])

    (mesh.folder / "mesh.yaml").write_text(MESH.format(level="debug"))
    assert f"--take-over '{IMAGE}'" in refused(mesh, "up", "dc1", "--yes")["hint"]
    refused(mesh, "migrate", "dc1", "cw", "--yes")
    assert mesh.json("migrations", "list")["migrations"] == []
    assert api(mesh) == (3, "a/api:2")

    done = mesh.meshctl("up", "dc1", "--yes", "--take-over", IMAGE)
    assert "workload/api deployment: takes over .spec.replicas of deployment api from kubectl (3 -> 2)" in done.stderr
    assert api(mesh) == (2, "a/api:1")
