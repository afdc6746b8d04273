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
allowVolumeExpansion: {grow}
"""
pytestmark = [pytest.mark.lab, pytest.mark.exhaustive]


def declare(here: RunningLab, *, shared: int = 10, disk: int = 10, work: int = 10) -> None:
    (here.folder / "mesh.yaml").write_text(MESH.format(shared=shared, disk=disk, work=work))


@pytest.fixture
def growing(lab: RunningLab, tmp_path: Path) -> Iterator[RunningLab]:
    """The mesh, up on classes of its own whose volumes can grow."""
    here = lab.at(tmp_path)
    declare(here)
    shutil.copy(EXAMPLE / "environments.yaml", tmp_path)
    file = tmp_path / "environments.yaml"
    of_its_own = ("filesystem: nfs, block: local-path", "filesystem: sizes-nfs, block: sizes-block")
    file.write_text(file.read_text().replace(*of_its_own))
    offer_classes(here, grow=True)
    here.meshctl("up", "dc1", "--yes")
    yield here
    here.meshctl("destroy", "dc1", *LOSE)
    here.kubectl("dc1", "delete", "-f", str(tmp_path / "classes.yaml"))


def offer_classes(here: RunningLab, *, grow: bool) -> None:
    provisioners = (("nfs", "nfs.csi.k8s.io"), ("block", "rancher.io/local-path"))
    classes = [CLASSES.format(name=name, provisioner=it, grow=str(grow).lower()) for name, it in provisioners]
    (here.folder / "classes.yaml").write_text("---\n".join(classes))
    here.kubectl("dc1", "apply", "-f", str(here.folder / "classes.yaml"))


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


def test_volumes_grow_in_place_and_one_that_is_smaller_or_cannot_grow_is_refused(growing: RunningLab) -> None:
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
            assert "can grow but not shrink" in refused["hint"]
    assert claims(growing) == after

    offer_classes(growing, grow=False)
    for bigger in ("shared", "disk"):
        declare(growing, **{"shared": 20, "disk": 30, "work": 40, bigger: 50})
        refused = error(growing, "up", "dc1", "--yes")
        assert f"storage/{bigger}" in refused["what"]
        assert "allowVolumeExpansion" in refused["hint"]
    assert claims(growing) == after
