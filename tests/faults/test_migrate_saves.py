"""A migration stops two trainers: one that takes seconds to save its work, and one that ignores the signal to do so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.small_mesh import ENVIRONMENTS
from tests.lab_fixture import RunningLab
from tests.waiting import wait_until

MESH = """\
apiVersion: meshctl/v1
kind: Mesh
name: saves
pools:
  web: {role: general, nodes: 2, cpu: {cores: 4}}
storage:
  slow: {kind: object, size: 1GiB}
  deaf: {kind: object, size: 1GiB}
workloads:
  slow:
    kind: training
    pool: web
    nodes: 1
    image: ghcr.io/acme/train:1.4
    args: [--store, slow]
    env: {TRAINER_SAVE_S: "6", CHECKPOINT_EVERY: "1000000"}
    mounts: {slow: {path: /ckpt}}
    checkpoint: {storage: slow, grace: 60s}
  deaf:
    kind: training
    pool: web
    nodes: 1
    image: ghcr.io/acme/train:1.4
    args: [--store, deaf]
    env: {TRAINER_IGNORE_SIGNAL: "1", CHECKPOINT_EVERY: "20"}
    mounts: {deaf: {path: /ckpt}}
    checkpoint: {storage: deaf, grace: 8s}
"""
pytestmark = [pytest.mark.lab, pytest.mark.exhaustive]


@pytest.fixture
def mesh(lab: RunningLab, tmp_path: Path) -> Iterator[RunningLab]:
    (tmp_path / "mesh.yaml").write_text(MESH)
    (tmp_path / "environments.yaml").write_text(ENVIRONMENTS)
    here = lab.at(tmp_path)
    here.meshctl("up", "dc1", "--yes")
    yield here
    here.meshctl("migrations", "rollback", "--yes", "--destroy-target", check=False)
    for environment in ("dc1", "cw"):
        here.meshctl("destroy", environment, "--yes", "--allow-data-loss", "--confirm", environment, check=False)


def latest(here: RunningLab, environment: str, store: str) -> dict[str, Any] | None:
    """The newest checkpoint in the bucket of the store there."""
    client = here.boto3("s3", {"dc1": "dc1", "cw": "coreweave"}[environment])
    (bucket,) = [
        each["Name"] for each in client.list_buckets()["Buckets"] if f"-{environment}-{store}-" in each["Name"]
    ]
    keys = [each["Key"] for each in client.list_objects_v2(Bucket=bucket).get("Contents", [])]
    if "latest" not in keys:
        return None
    found: dict[str, Any] = json.loads(client.get_object(Bucket=bucket, Key="latest")["Body"].read())
    return found


def test_a_slow_save_is_waited_for_and_what_ignores_its_signal_is_killed_and_named(mesh: RunningLab) -> None:
    wait_until(lambda: latest(mesh, "dc1", "deaf"))
    assert latest(mesh, "dc1", "slow") is None  # it saves only when it is told to end
    moved = mesh.meshctl("migrate", "dc1", "cw", "--yes", "--observe", "1", timeout_s=500)
    said = moved.stdout + moved.stderr
    assert "deaf-0" in said
    assert "used its whole grace period of 8 s, after which a pod is killed" in said
    assert not [line for line in said.splitlines() if "slow-0" in line and "used its whole grace period" in line]
    saved = latest(mesh, "cw", "slow")
    assert saved is not None
    killed = latest(mesh, "cw", "deaf")
    assert killed is not None
    assert killed["step"] % 20 == 0  # a whole checkpoint of before it was killed, or a later one of the target
