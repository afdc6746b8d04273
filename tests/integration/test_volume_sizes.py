"""Volumes grow in place where their class lets them, and a size that can't be had is refused before anything runs."""

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
name: sizes
pools:
  web: {{role: general, nodes: 1, cpu: {{cores: 4}}}}
storage:
  shared: {{kind: filesystem, size: {shared}GiB}}
  disk: {{kind: block, size: {disk}GiB}}
  work: {{kind: block, size: {work}GiB}}
workloads:
  site:
    {{kind: service, pool: web, replicas: 1, image: "a/site:1", mounts: {{shared: {{path: /s}}, disk: {{path: /d}}}}}}
  crunch: {{kind: batch, pool: web, replicas: 1, image: "a/crunch:1", mounts: {{work: {{path: /w}}}}}}
"""
LOSE = ("--yes", "--allow-data-loss", "--confirm", "dc1")
CLASSES = """\
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {{name: sizes-{name}}}
provisioner: {provisioner}
volumeBindingMode: Immediate
allowVolumeExpansion: true
"""
pytestmark = pytest.mark.lab


def declare(here: RunningLab, *, shared: int = 10, disk: int = 10, work: int = 10) -> None:
    (here.folder / "mesh.yaml").write_text(MESH.format(shared=shared, disk=disk, work=work))


@pytest.fixture
def mesh(lab: RunningLab, tmp_path: Path) -> Iterator[RunningLab]:
    shutil.copy(EXAMPLE / "environments.yaml", tmp_path)
    here = lab.at(tmp_path)
    declare(here)
    yield here
    here.meshctl("destroy", "dc1", *LOSE)


@pytest.fixture
def growing(mesh: RunningLab) -> Iterator[RunningLab]:
    """The mesh on classes whose volumes can grow."""
    (mesh.folder / "classes.yaml").write_text(
        "---\n".join(
            CLASSES.format(name=name, provisioner=provisioner)
            for name, provisioner in (("nfs", "nfs.csi.k8s.io"), ("block", "rancher.io/local-path"))
        )
    )
    mesh.kubectl("dc1", "apply", "-f", str(mesh.folder / "classes.yaml"))
    file = mesh.folder / "environments.yaml"
    file.write_text(
        file.read_text().replace("filesystem: nfs, block: local-path", "filesystem: sizes-nfs, block: sizes-block")
    )
    mesh.meshctl("up", "dc1", "--yes")
    yield mesh
    mesh.kubectl("dc1", "delete", "-f", str(mesh.folder / "classes.yaml"))


def claims(here: RunningLab) -> dict[str, tuple[str, str]]:
    """By name: what was asked for, and the claim's own identity."""
    found = json.loads(here.kubectl("dc1", "get", "pvc", "-n", "sizes", "-o", "json"))["items"]
    return {
        item["metadata"]["name"]: (item["spec"]["resources"]["requests"]["storage"], item["metadata"]["uid"])
        for item in found
    }


def error(here: RunningLab, *arguments: str) -> dict[str, Any]:
    failed = here.meshctl("--output", "json", *arguments, check=False)
    assert failed.returncode != 0, failed.stdout
    found: dict[str, Any] = json.loads(failed.stdout)["error"]
    return found


def test_volumes_grow_in_place_and_a_smaller_one_is_refused(growing: RunningLab) -> None:
    before = claims(growing)
    declare(growing, shared=20, disk=30, work=40)
    plan = growing.json("plan", "dc1")
    assert plan["data_at_risk"] == []
    growing.meshctl("up", "dc1", "--yes")
    after = claims(growing)
    assert {name: size for name, (size, _) in after.items()} == {
        "shared": "20Gi",
        "disk-site-0": "30Gi",
        "crunch-work": "40Gi",
    }
    assert {name: uid for name, (_, uid) in after.items()} == {name: uid for name, (_, uid) in before.items()}
    assert "no changes" in growing.meshctl("plan", "dc1").stdout

    for smaller in ("shared", "disk", "work"):
        declare(growing, **{"shared": 20, "disk": 30, "work": 40, smaller: 5})
        for command in (("plan", "dc1"), ("up", "dc1", "--yes")):
            refused = error(growing, *command)
            assert f"storage/{smaller}" in refused["what"]
            assert "can grow, not shrink" in refused["hint"]
    assert claims(growing) == after


def test_a_class_that_lets_nothing_grow_is_named(mesh: RunningLab) -> None:
    mesh.meshctl("up", "dc1", "--yes")
    before = claims(mesh)
    for bigger in ("shared", "disk"):
        declare(mesh, **{bigger: 50})
        refused = error(mesh, "up", "dc1", "--yes")
        assert f"storage/{bigger}" in refused["what"]
        assert "allowVolumeExpansion" in refused["hint"]
    assert claims(mesh) == before


def test_an_efs_file_system_has_whatever_size_the_mesh_says(mesh: RunningLab) -> None:
    file = mesh.folder / "mesh.yaml"
    shared = "{}storage:\n  shared: {{kind: filesystem, size: {}GiB}}\n"
    head = file.read_text().partition("storage:")[0]
    try:
        file.write_text(shared.format(head, 10))
        mesh.meshctl("up", "aws-east", "--yes")
        file.write_text(shared.format(head, 20))
        (change,) = mesh.json("plan", "aws-east")["changes"]
        assert (change["subject"], change["summary"]) == ("storage/shared", "size 10Gi -> 20Gi")
        mesh.meshctl("up", "aws-east", "--yes")
        assert "no changes" in mesh.meshctl("plan", "aws-east").stdout
    finally:
        mesh.meshctl("destroy", "aws-east", "--yes", "--allow-data-loss", "--confirm", "aws-east")
