"""An environment or a mesh gets another name while it is up: nobody forgets what it has."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab_fixture import RunningLab

EXAMPLE = Path(__file__).parents[2] / "examples" / "llm-prod"
MESH = """\
apiVersion: meshctl/v1
kind: Mesh
name: first
pools:
  web: {role: general, nodes: 1, cpu: {cores: 4}}
"""
pytestmark = pytest.mark.lab


@pytest.fixture
def mesh(lab: RunningLab, tmp_path: Path) -> Iterator[RunningLab]:
    """The mesh `first`, up in dc1."""
    shutil.copy(EXAMPLE / "environments.yaml", tmp_path)
    here = lab.at(tmp_path)
    (tmp_path / "mesh.yaml").write_text(MESH)
    here.meshctl("up", "dc1", "--yes")
    yield here
    (tmp_path / "mesh.yaml").write_text(MESH)
    here.meshctl("destroy", "dc1", "--yes")


def labelled(here: RunningLab) -> str:
    return here.kubectl("dc1", "get", "nodes", "-l", "meshctl.dev/mesh=first", "-o", "name")


@pytest.mark.exhaustive
def test_what_is_up_under_an_old_name_is_told_and_can_be_deleted(mesh: RunningLab) -> None:
    a_mesh_with_another_name_is_told_of_what_the_old_one_has(mesh)
    (mesh.folder / "mesh.yaml").write_text(MESH)
    an_environment_that_the_file_has_no_more_can_be_seen_and_deleted(mesh)


def a_mesh_with_another_name_is_told_of_what_the_old_one_has(mesh: RunningLab) -> None:
    (mesh.folder / "mesh.yaml").write_text(MESH.replace("first", "second"))
    assert "the mesh first is up, too (dc1)" in mesh.meshctl("status").stdout
    destroyed = mesh.meshctl("destroy", "dc1", "--yes").stdout
    assert destroyed.startswith("dc1: nothing is up\nthe mesh first is up, too (dc1)")
    assert labelled(mesh)


def an_environment_that_the_file_has_no_more_can_be_seen_and_deleted(mesh: RunningLab) -> None:
    file = mesh.folder / "environments.yaml"
    kept = file.read_text()
    assert "  dc1:\n" in kept
    file.write_text(kept.replace("  dc1:\n", "  hall-1:\n"))
    try:
        assert "dc1 is up, but not in environments.yaml" in mesh.meshctl("status").stdout
        assert mesh.json("status")["others"] == [{"mesh": "first", "environment": "dc1"}]
        assert "hall-1: nothing is up\ndc1 is up, but" in mesh.meshctl("destroy", "hall-1", "--yes").stdout
        assert labelled(mesh)
        assert "nothing left" in mesh.meshctl("destroy", "dc1", "--yes").stdout
        assert not labelled(mesh)
        assert mesh.json("status")["others"] == []
        gone = mesh.meshctl("--output", "json", "destroy", "dc1", "--yes", check=False)
        assert (gone.returncode, json.loads(gone.stdout)["error"]["code"]) == (64, "usage")
    finally:
        file.write_text(kept)
