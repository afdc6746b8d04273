"""Storage of `kind: local`: a folder on the node's own disk, counted where pods are packed, never moved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from meshctl.catalog import load_catalog
from meshctl.changes.fields import fields
from meshctl.changes.steps import PropertyChange, Step
from meshctl.errors import DiagnosticsError
from meshctl.load import load
from meshctl.migrate.planning.plan import storage_of
from meshctl.model.deployment import Deployment, Resolution
from meshctl.render.pod import pods
from meshctl.resolve import resolve
from meshctl.resolve.data.storage import stays_behind

MESH = """\
apiVersion: meshctl/v1
kind: Mesh
name: m
pools:
  gpu: {nodes: 1, accelerator: {model: H100, count: 8}, SCRATCH}
storage:
  shards: {kind: local, size: SIZE}
workloads:
  w:
    kind: inference
    pool: gpu
    replicas: 2
    image: acme/w:1
    resources: {accelerators: 1}
    mounts: {shards: {path: /shards}}
"""
ENVIRONMENTS = """\
apiVersion: meshctl/v1
kind: Environments
environments:
  aws-east: {provider: aws, region: us-east-1, zones: [us-east-1a, us-east-1b], network: {cidr: 10.64.0.0/16}}
"""


def resolution(folder: Path, *, size: str = "1TiB", scratch: str = "scratch: 10TB") -> Resolution:
    (folder / "mesh.yaml").write_text(MESH.replace("SIZE", size).replace("SCRATCH", scratch))
    (folder / "environments.yaml").write_text(ENVIRONMENTS)
    mesh, environments = load(folder / "mesh.yaml", folder / "environments.yaml")
    return resolve(mesh, environments, "aws-east", load_catalog())


def deployment(folder: Path) -> Deployment:
    made = resolution(folder).deployment
    assert made is not None
    return made


def test_each_pod_gets_a_folder_of_its_node_and_asks_for_the_room(tmp_path: Path) -> None:
    made = deployment(tmp_path)
    (workload,) = made.workloads
    values = pods.pod_values(made, workload)
    assert {"name": "shards", "emptyDir": {"sizeLimit": "1024Gi"}} in values["volumes"]
    assert {"name": "shards", "mountPath": "/shards"} in values["volume_mounts"]
    assert values["resources"]["requests"]["ephemeral-storage"] == "1024Gi"


def test_it_is_neither_moved_nor_in_the_way_of_a_migration(tmp_path: Path) -> None:
    made = deployment(tmp_path)
    assert storage_of(made) == ()
    mesh, _ = load(tmp_path / "mesh.yaml", tmp_path / "environments.yaml")
    assert stays_behind(mesh) == {}


@pytest.mark.parametrize(("size", "fits"), [("10TiB", True), ("20TiB", False)])
def test_pods_share_the_disk_of_their_node(tmp_path: Path, size: str, fits: bool) -> None:
    """Two pods on one p5, which has 30 TB of NVMe."""
    made = resolution(tmp_path, size=size)
    assert (made.deployment is not None) == fits, made.gaps


def test_a_pod_that_no_disk_can_hold_is_a_gap(tmp_path: Path) -> None:
    (gap,) = resolution(tmp_path, size="900TiB").gaps
    assert gap.subject == "workload/w"
    assert (
        gap.wanted
        == "921,600 GiB of local disk per pod, for its local storage and the object stores that it mounts with readOnly"
    )


def test_a_plan_says_how_large_the_folder_becomes() -> None:
    def volumes(size: str) -> dict[str, Any]:
        return {"spec": {"template": {"spec": {"volumes": [{"name": "shards", "emptyDir": {"sizeLimit": size}}]}}}}

    changed = (PropertyChange("spec.template.spec.volumes[0].emptyDir.sizeLimit"),)
    step = Step("urn:w", "kubernetes:apps/v1:Deployment", "update", volumes("1Ti"), volumes("2Ti"), changed)
    (change,) = fields(step)
    assert (change.path, change.old, change.new) == (
        "volume shards",
        "a folder of the node, at most 1Ti",
        "a folder of the node, at most 2Ti",
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("size: SIZE}", "size: SIZE, ephemeral: true}", "local storage always goes with its pod; leave this out"),
        ("size: SIZE}", "size: SIZE, throughput: 1GB/s}", "only for kind filesystem, not local"),
        ("{path: /shards}", "{path: /shards, readOnly: true}", "local storage is empty when a pod starts"),
        (
            "replicas: 2",
            "checkpoint: {storage: shards}",
            "local storage is deleted with its pod, and the checkpoints with it; use an object store or a file system",
        ),
    ],
)
def test_what_local_storage_cant_be_is_said(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = MESH.replace(old, new).replace("SIZE", "1TiB").replace("SCRATCH", "scratch: 10TB")
    text = text.replace("kind: inference", "kind: training") if "checkpoint" in new else text
    (tmp_path / "mesh.yaml").write_text(text)
    (tmp_path / "environments.yaml").write_text(ENVIRONMENTS)
    with pytest.raises(DiagnosticsError) as caught:
        load(tmp_path / "mesh.yaml", tmp_path / "environments.yaml")
    assert any(problem.message.startswith(message) for problem in caught.value.diagnostics)
