"""`meshctl migrate` in the lab, killed with -9 in every phase, then resumed or rolled back: the same end each time.

Nothing in meshctl knows of these tests: they watch the journal's folder, and kill when a record appears.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.lab_fixture import RunningLab

pytestmark = pytest.mark.lab

MESH = """\
apiVersion: meshctl/v1
kind: Mesh
name: {name}
pools:
  train: {{role: training, nodes: 2, accelerator: {{model: H100, count: 8}}}}
  serve: {{role: inference, nodes: 2, accelerator: {{model: H100, count: 8}}}}
storage:
  weights:     {{kind: object, size: 1TiB}}
  checkpoints: {{kind: object, size: 1TiB}}
workloads:
  chat:
    kind: inference
    pool: serve
    replicas: 2
    image: vllm/vllm-openai:v0.11.0
    args: [--model, /models/llama]
    resources: {{accelerators: 8, cpu: 64, memory: 512GiB}}
    ports: {{http: 8000}}
    health: {{path: /health, port: http}}
    mounts: {{weights: {{path: /models, readOnly: true}}}}
  pretrain:
    kind: training
    pool: train
    nodes: 2
    image: ghcr.io/acme/train:1.4
    command: [python, train.py]
    resources: {{accelerators: 8}}
    mounts: {{checkpoints: {{path: /ckpt}}}}
    checkpoint: {{storage: checkpoints, signal: SIGTERM, grace: 60s}}
endpoints:
  chat: {{host: chat.example.com, workload: chat, port: http}}
"""
ENVIRONMENTS = """\
apiVersion: meshctl/v1
kind: Environments
environments:
  cw: {provider: coreweave, region: US-EAST-04A, kubernetes: {context: cw}, objectStorage: {profile: coreweave}}
  dc1:
    provider: onprem
    kubernetes: {context: dc1}
    objectStorage: {profile: dc1}
    storageClasses: {filesystem: nfs, block: local-path}
dns: {provider: route53, zone: example.com, ttl: 2s}
"""
PROFILES = {"cw": "coreweave", "dc1": "dc1"}
# one record in each phase: the step's intent is written, its effect may or may not be there
POINTS = (
    "preflight.source-intent",
    "provision.target-intent",
    "seed.weights-intent",
    "quiesce.warm-intent",
    "quiesce.stop-intent",
    "sync.checkpoints-intent",
    "verify.checkpoints-intent",
    "start.target-intent",
    "probe.chat-intent",
    "cutover.names-intent",
    "cutover.ttl-intent",
    "observe.health-intent",
)


class Moved:
    """One mesh in a folder of its own, up at dc1 with data."""

    def __init__(self, lab: RunningLab, folder: Path) -> None:
        self.lab = lab.at(folder)
        self.folder = folder
        (folder / "mesh.yaml").write_text(MESH.format(name="faults"))
        (folder / "environments.yaml").write_text(ENVIRONMENTS)
        self.lab.meshctl("up", "dc1", "--yes", "--object-storage-only")
        s3 = self.lab.boto3("s3", "dc1")
        for number in range(3):
            s3.put_object(
                Bucket=self.bucket("dc1", "weights"), Key=f"llama/{number}.bin", Body=bytes([number]) * 99_000
            )
        self.lab.meshctl("up", "dc1", "--yes")

    def bucket(self, environment: str, store: str) -> str:
        found = self.lab.boto3("s3", PROFILES[environment]).list_buckets()["Buckets"]
        return next(str(b["Name"]) for b in found if b["Name"].startswith(f"faults-{environment}-{store}"))

    def start(self) -> subprocess.Popen[bytes]:
        """The migration from dc1 to cw, in the background."""
        command = [sys.executable, "-m", "meshctl.cli.main", "migrate", "dc1", "cw", "--yes", "--observe", "2"]
        quiet = subprocess.DEVNULL
        return subprocess.Popen(command, cwd=self.folder, env=self.lab.env, stdout=quiet, stderr=quiet)

    def kill_at(self, record: str, *arguments: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Run the command, and send it a signal once the journal holds `record`; its exit code."""
        command = [sys.executable, "-m", "meshctl.cli.main", *arguments]
        with (self.folder / "killed.log").open("w") as log:
            process = subprocess.Popen(command, cwd=self.folder, env=self.lab.env, stdout=log, stderr=log)
        journals = self.folder / ".meshctl/state/migrations/faults"
        deadline = time.monotonic() + 240
        while not list(journals.glob(f"*/*-{record}.json")):
            output = (self.folder / "killed.log").read_text()
            assert process.poll() is None, f"ended before {record}:\n{output}"
            assert time.monotonic() < deadline, f"no record {record}:\n{output}"
            time.sleep(0.01)
        process.send_signal(number)
        return process.wait()

    def ready(self, environment: str) -> dict[str, int]:
        status = self.lab.json("status", environment)["environments"][environment]
        return {w["name"]: w["ready"] for w in status.get("workloads", ())}

    def chain(self, environment: str) -> int:
        """The last step at an environment; every checkpoint must be the hash chain's own: none skipped, none twice."""
        s3, bucket = self.lab.boto3("s3", PROFILES[environment]), self.bucket(environment, "checkpoints")
        step = int(self.read(s3, bucket, "latest")["step"])
        weights = ""
        for number in range(1, step + 1):
            weights = hashlib.sha256(f"{weights}:{number}".encode()).hexdigest()
        assert self.read(s3, bucket, f"step-{step:08d}.json")["weights"] == weights
        return step

    def read(self, s3: Any, bucket: str, key: str) -> Any:
        return json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())

    def serves(self) -> str:
        status = self.lab.json("status", "dc1")["environments"]["dc1"]
        return str(status["endpoints"][0]["points_at"])


@pytest.fixture
def moved(lab: RunningLab, tmp_path: Path) -> Iterator[Moved]:
    made = Moved(lab, tmp_path)
    yield made
    made.lab.meshctl("migrations", "finish", "--yes", check=False)  # while it is open, `destroy` is refused
    for environment in ("dc1", "cw"):
        made.lab.meshctl(
            "destroy", environment, "--allow-data-loss", "--confirm", environment, "--break-lock", check=False
        )


def test_killed_in_every_phase_then_resumed(moved: Moved) -> None:
    """One migration killed twelve times: at the first record with `migrate`, then each time with `resume`."""
    command = ("migrate", "dc1", "cw", "--yes", "--observe", "2")
    for record in POINTS:
        moved.kill_at(record, *command)
        command = ("migrations", "resume")
    moved.lab.meshctl("migrations", "resume")
    shown = moved.lab.json("migrations", "show")
    assert shown["state"] == "waiting"
    assert all(row["same"] is not False for row in shown["parity"])
    assert moved.serves() == "cw"
    assert moved.ready("cw") == {"chat": 2, "pretrain": 2}
    assert moved.ready("dc1") == {"chat": 2, "pretrain": 0}
    stopped = moved.chain("dc1")
    assert moved.chain("cw") >= stopped


def test_told_to_end_then_resumed(moved: Moved) -> None:
    """In the middle of an engine's run, of a wait for pods, and of a wait for DNS."""
    command = ("migrate", "dc1", "cw", "--yes", "--observe", "2")
    for record, number in (
        ("provision.target-intent", signal.SIGTERM),
        ("quiesce.stop-intent", signal.SIGHUP),
        ("cutover.ttl-intent", signal.SIGTERM),
    ):
        assert moved.kill_at(record, *command, number=number) == 130
        said = (moved.folder / "killed.log").read_text()
        assert "stopped at a safe point" in said
        assert "`meshctl migrations resume" in said
        command = ("migrations", "resume")
    moved.lab.meshctl("migrations", "resume")
    assert moved.lab.json("migrations", "show")["state"] == "waiting"
    assert moved.serves() == "cw"
    assert moved.ready("cw") == {"chat": 2, "pretrain": 2}


@pytest.mark.parametrize("record", ["quiesce.stop-intent", "start.target-intent", "cutover.names-done"])
def test_killed_then_rolled_back(moved: Moved, record: str) -> None:
    moved.kill_at(record, "migrate", "dc1", "cw", "--yes", "--observe", "2")
    (listed,) = moved.lab.json("migrations", "list")["migrations"]
    assert (listed["state"], listed["active"]) == ("running", False)
    moved.lab.meshctl("migrations", "rollback")
    assert moved.lab.json("migrations", "show")["state"] == "rolled-back"
    assert moved.serves() == "dc1"
    assert moved.ready("dc1") == {"chat": 2, "pretrain": 2}
    assert sum(moved.ready("cw").values()) == 0
    moved.chain("dc1")


def test_an_engine_that_outlives_its_migration_is_waited_for(moved: Moved) -> None:
    """Only meshctl is killed: the engine that it started still writes the target's state."""
    first = moved.start()
    locks = moved.folder / ".meshctl/state/.pulumi/locks/organization/faults/cw"
    while not list(locks.glob("*.json")):
        assert first.poll() is None
        time.sleep(0.01)
    engine = next(child for child in psutil.Process(first.pid).children() if child.name().startswith("pulumi"))
    engine.suspend()  # it would be done before the next command looks
    try:
        first.kill()
        first.wait()
        command = [sys.executable, "-m", "meshctl.cli.main", "migrations", "resume"]
        resumed = subprocess.Popen(command, cwd=moved.folder, env=moved.lab.env, stderr=subprocess.PIPE, text=True)
        assert resumed.stderr is not None
        said = ""
        for line in resumed.stderr:
            said += line
            if f"(pid {engine.pid}) is still saving its state" in line:
                engine.resume()
        assert resumed.wait() == 0, said
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            engine.kill()
    assert f"(pid {engine.pid}) is still saving its state" in said
    assert moved.lab.json("migrations", "show")["state"] == "waiting"


def test_a_second_run_is_locked_out(moved: Moved) -> None:
    first = moved.start()
    journals = moved.folder / ".meshctl/state/migrations/faults"
    while not list(journals.glob("*/*-begin.json")):
        assert first.poll() is None
        time.sleep(0.01)
    second = moved.lab.meshctl("migrations", "resume", check=False)
    assert second.returncode == 75
    assert f"pid {first.pid}" in second.stderr
    assert first.wait() == 0
