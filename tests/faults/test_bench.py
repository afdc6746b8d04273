"""`meshctl bench` in the lab: fio on a claim, what is left of a run that is killed, and a fabric that `up` measures."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from meshctl.lab.images.programs.fio import RATE_FILE
from meshctl.lab.images.programs.nccl_tests import RECORDING
from meshctl.measure import dcgm
from meshctl.render.benchmark_scripts import FOLDER
from tests.faults.small_mesh import ENVIRONMENTS
from tests.faults.started import started
from tests.lab_fixture import RunningLab
from tests.unit.advise.situations import RECORDED
from tests.waiting import wait_until

pytestmark = [pytest.mark.lab, pytest.mark.exhaustive]

MESH = """\
apiVersion: meshctl/v1
kind: Mesh
name: measured
pools:
  web: {role: general, nodes: 1, cpu: {cores: 4, memory: 16GiB}}
storage:
  shared: {kind: filesystem, size: 100GiB, throughput: 500MB/s}
workloads:
  site:
    kind: service
    pool: web
    replicas: 1
    image: ghcr.io/acme/site:1.0
    ports: {http: 8080}
    mounts: {shared: {path: /shared}}
"""
BENCH = ("bench", "dc1", "--what", "storage", "--size", "16MiB", "--seconds", "4", "--yes")


@pytest.fixture
def measured(lab: RunningLab, tmp_path: Path) -> Iterator[RunningLab]:
    own = lab.at(tmp_path)
    (tmp_path / "mesh.yaml").write_text(MESH)
    (tmp_path / "environments.yaml").write_text(ENVIRONMENTS)
    own.meshctl("up", "dc1", "--yes")
    yield own
    own.meshctl("destroy", "dc1", "--allow-data-loss", "--confirm", "dc1")


GATED = """\
apiVersion: meshctl/v1
kind: Mesh
name: gated
pools:
  train: {role: training, nodes: 2, accelerator: {model: H100, count: 8}, fabric: backend}
fabrics:
  backend: {kind: rdma, bandwidth: 400Gbps, expect: 0.8}
workloads:
  pretrain:
    kind: training
    pool: train
    nodes: 2
    image: ghcr.io/acme/simulated:1
    resources: {accelerators: 8}
"""


@pytest.fixture
def gated(lab: RunningLab, tmp_path: Path) -> Iterator[RunningLab]:
    own = lab.at(tmp_path)
    (tmp_path / "mesh.yaml").write_text(GATED)
    (tmp_path / "environments.yaml").write_text(ENVIRONMENTS)
    yield own
    (lab.lab.root / RECORDING).unlink(missing_ok=True)
    own.meshctl("destroy", "dc1", "--allow-data-loss", "--confirm", "dc1")


def test_a_fabric_on_tcp_starts_nothing_and_a_fast_one_does(gated: RunningLab) -> None:
    """Replayed: two nodes without EFA, then CoreWeave's InfiniBand; 400 Gbps are expected to give 50 GB/s."""
    (gated.lab.root / RECORDING).write_text((RECORDED / "nccl-tcp.txt").read_text())
    slow = gated.meshctl("up", "dc1", "--yes", check=False)
    assert slow.returncode == 3, slow.stderr
    assert (
        "the fabric of pool train gives 4.13 GB/s, 8% of the expected 50; its workloads were not started" in slow.stderr
    )
    assert "NCCL says: Using network Socket" in slow.stderr
    (job,) = jobs(gated, "gated")
    assert (job["metadata"]["name"], job["spec"]["suspend"]) == ("pretrain", True)
    assert gated.meshctl("status", "dc1").returncode == 0
    # all accelerators are free once the pods of the measurement have ended
    wait_until(lambda: gated.kubectl("dc1", "-n", "gated", "get", "pods", "-o", "name") == "")
    diagnosed = gated.json("bench", "dc1", "--what", "gpu", "--diagnose", "2", "--yes")["results"]
    verdicts = [row["verdict"] for row in diagnosed if row["result"]["metric"] == dcgm.FAILED]
    assert verdicts == ["as expected"] * 16
    assert {row["result"]["taken"]["origin"] for row in diagnosed} == {"replayed"}

    (gated.lab.root / RECORDING).unlink()
    assert "is as fast as the mesh expects" in gated.meshctl("up", "dc1", "--yes").stderr
    (job,) = (each for each in jobs(gated, "gated") if each["metadata"]["name"] == "pretrain")
    assert job["spec"]["suspend"] is False
    shown = gated.meshctl("bench", "dc1", "--show").stdout
    assert "386.6 GB/s" in shown or "387 GB/s" in shown
    assert "replayed" in shown
    assert gated.meshctl("up", "dc1", "--yes").stderr.count("measuring") == 0  # what is up stays up


@pytest.fixture
def moving(lab: RunningLab, tmp_path: Path) -> Iterator[RunningLab]:
    """A gang whose fabric is measured; up at dc1, of whose bandwidth nothing is known. It trains until it is stopped,
    since a migration runs no job again that has finished."""
    own = lab.at(tmp_path)
    training = GATED.replace("ghcr.io/acme/simulated:1", "ghcr.io/acme/train:1.4")
    (tmp_path / "mesh.yaml").write_text(training.replace("bandwidth: 400Gbps, ", ""))
    (tmp_path / "environments.yaml").write_text(ENVIRONMENTS)
    own.meshctl("up", "dc1", "--yes")
    yield own
    (lab.lab.root / RECORDING).unlink(missing_ok=True)
    own.meshctl("migrations", "finish", "--yes", check=False)
    for environment in ("dc1", "cw"):
        own.meshctl("destroy", environment, "--yes", check=False)


def test_a_migration_measures_its_target_before_it_stops_anything(moving: RunningLab) -> None:
    """Replayed, as above: the trainer runs on until the fabric of the target carries it."""
    (moving.lab.root / RECORDING).write_text((RECORDED / "nccl-tcp.txt").read_text())
    slow = moving.meshctl("migrate", "dc1", "cw", "--yes", "--observe", "2", check=False)
    assert slow.returncode == 3, slow.stderr
    assert "4.13 GB/s, 1% of the expected 400; its workloads were not started in cw" in slow.stderr
    assert "NCCL fell back to TCP sockets over eth0" in slow.stderr
    assert suspended(moving, "dc1") == {"pretrain": False}
    assert suspended(moving, "cw") == {"pretrain": True}
    assert moving.json("migrations", "show")["step"] == "provision/fabric.train"

    (moving.lab.root / RECORDING).unlink()
    assert "is as fast as the mesh expects" in moving.meshctl("migrations", "resume", "--yes").stderr
    assert suspended(moving, "dc1") == {"pretrain": True}
    assert suspended(moving, "cw") == {"pretrain": False}
    assert "replayed" in moving.meshctl("bench", "cw", "--show").stdout


def suspended(lab: RunningLab, context: str) -> dict[str, bool]:
    return {job["metadata"]["name"]: job["spec"].get("suspend", False) for job in jobs(lab, "gated", context)}


def jobs(lab: RunningLab, namespace: str = "measured", context: str = "dc1") -> list[Any]:
    listed: list[Any] = json.loads(lab.kubectl(context, "-n", namespace, "get", "jobs", "-o", "json"))["items"]
    return listed


def claim_folder(lab: RunningLab) -> Path:
    claim = json.loads(lab.kubectl("dc1", "-n", "measured", "get", "pvc", "shared", "-o", "json"))
    return lab.lab.root / "volumes" / str(claim["spec"]["volumeName"])


def write_mbps(document: Any) -> float:
    (row,) = [
        row["result"]
        for row in document["results"]
        if row["result"]["metric"] == "write throughput" and row["result"]["setting"]["job"] == "write"
    ]
    return float(row["value"])


def test_a_slow_disk_shows(measured: RunningLab) -> None:
    fast = write_mbps(measured.json(*BENCH))
    folder = claim_folder(measured)
    (folder / RATE_FILE).write_text("5")
    slow = write_mbps(measured.json(*BENCH))
    assert slow <= 5.5 < fast
    assert "storage/shared: write throughput" in measured.meshctl("bench", "dc1", "--show").stdout
    wait_until(lambda: not jobs(measured))


def test_a_run_that_is_stopped_or_killed_leaves_nothing(measured: RunningLab) -> None:
    folder = claim_folder(measured)
    (folder / "of-a-user").write_text("stays")
    with started(measured, *BENCH[:-2], "40", "--yes") as command:
        command.wait_until(lambda: any(folder.glob(f"{FOLDER}/*/data1")), "a measurement")
        command.process.send_signal(signal.SIGINT)
        assert command.ended() == 130, command.said()
    wait_until(lambda: not jobs(measured))
    wait_until(lambda: not (folder / FOLDER).exists())

    with started(measured, *BENCH[:-2], "8", "--yes") as command:
        command.wait_until(lambda: any(folder.glob(f"{FOLDER}/*/data1")), "a measurement")
        command.kill()
    beside = measured.meshctl(*BENCH, check=False)
    assert beside.returncode == 75, beside.stderr
    assert "bench-storage-shared is running in dc1 already" in beside.stderr
    wait_until(lambda: any(job["status"].get("succeeded") for job in jobs(measured)))
    assert not (folder / FOLDER).exists()
    assert write_mbps(measured.json(*BENCH)) > 0
    wait_until(lambda: not jobs(measured))
    assert (folder / "of-a-user").read_text() == "stays"
