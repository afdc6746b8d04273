"""A mesh with data, up at dc1, for the tests that kill its migration to cw.

Nothing in meshctl knows of these tests: they watch the journal's folder, and kill when a record appears.
"""

from __future__ import annotations

import hashlib
import json
import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from tests.faults.started import Started, started
from tests.lab_fixture import RunningLab

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
  chat: {{host: chat.example.com, workload: chat, port: http, access: public}}
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
MIGRATE = ("migrate", "dc1", "cw", "--yes", "--observe", "2")
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
        buckets = self.lab.boto3("s3", PROFILES[environment]).list_buckets()["Buckets"]
        return next(str(b["Name"]) for b in buckets if b["Name"].startswith(f"faults-{environment}-{store}"))

    def started(self, *arguments: str) -> AbstractContextManager[Started]:
        return started(self.lab, *arguments)

    def records(self, record: str) -> set[Path]:
        """The journal's records of that name, of all migrations."""
        return set((self.folder / ".meshctl/state/migrations/faults").glob(f"*/*-{record}.json"))

    def signal_at(self, record: str, *arguments: str, number: signal.Signals = signal.SIGKILL) -> tuple[int, str]:
        """Run the command, and send it alone a signal once the journal holds `record`; its exit code, and what it
        said. What a killed command has started lives on, as after a crash."""
        with self.started(*arguments) as command:
            command.wait_until(lambda: self.records(record), f"record {record}")
            command.process.send_signal(number)
            return command.ended(), command.said()

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

    def serves(self, asked: str = "dc1") -> str:
        """The environment that the mesh's name leads to, as one that has the mesh says."""
        status = self.lab.json("status", asked)["environments"][asked]
        return str(status["endpoints"][0]["points_at"])

    def assert_waiting_at_the_target(self) -> None:
        """All of it is at cw, with nothing lost, and waits for `finish`."""
        shown = self.lab.json("migrations", "show")
        assert shown["state"] == "waiting"
        assert all(row["same"] is not False for row in shown["parity"])
        assert self.serves() == "cw"
        assert self.ready("cw") == {"chat": 2, "pretrain": 2}
        assert self.ready("dc1") == {"chat": 2, "pretrain": 0}
        stopped = self.chain("dc1")
        assert self.chain("cw") >= stopped

    def assert_rolled_back(self) -> None:
        assert self.lab.json("migrations", "show")["state"] == "rolled-back"
        assert self.serves() == "dc1"
        assert self.ready("dc1") == {"chat": 2, "pretrain": 2}
        assert sum(self.ready("cw").values()) == 0
        self.chain("dc1")


@pytest.fixture
def moved(lab: RunningLab, tmp_path: Path) -> Iterator[Moved]:
    made = Moved(lab, tmp_path)
    yield made
    made.lab.meshctl("migrations", "finish", "--yes", check=False)  # while it is open, `destroy` is refused
    for environment in ("dc1", "cw"):
        made.lab.meshctl(
            "destroy", environment, "--allow-data-loss", "--confirm", environment, "--break-lock", check=False
        )
