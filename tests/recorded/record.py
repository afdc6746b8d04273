"""Records what a version of meshctl persists: states, a saved plan, journals. Run it once before each release.

    PYTHONPATH=<that version's tree> python tests/recorded/record.py FOLDER

It works in the lab, as a user would, with the version of meshctl that PYTHONPATH names, and writes into FOLDER what
`tests/unit/test_recorded.py` reads with every version that follows. Secrets in what it writes are encrypted by a
passphrase that nobody keeps. Left out is what says on which machine it was recorded: the places in the program that the
engine keeps for each resource, and the name of the host.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

MESH = """\
apiVersion: meshctl/v1
kind: Mesh
name: kept
pools:
  serve: {role: inference, nodes: 1, accelerator: {model: H100, count: 8}}
storage:
  weights:     {kind: object, size: 1TiB}
  checkpoints: {kind: object, size: 1TiB}
  cache:       {kind: block, size: 100GiB, ephemeral: true}
workloads:
  chat:
    kind: inference
    pool: serve
    replicas: 1
    image: vllm/vllm-openai:v0.11.0
    args: [--model, /models/llama]
    secrets: {HF_TOKEN: hf-token}
    resources: {accelerators: 4, cpu: 32, memory: 256GiB}
    ports: {http: 8000}
    health: {path: /health, port: http}
    mounts: {weights: {path: /models, readOnly: true}, cache: {path: /cache}}
  pretrain:
    kind: training
    pool: serve
    nodes: 1
    image: ghcr.io/acme/train:1.4
    command: [python, train.py]
    resources: {accelerators: 4}
    mounts: {checkpoints: {path: /ckpt}}
    checkpoint: {storage: checkpoints, signal: SIGTERM, grace: 30s}
endpoints:
  chat: {host: chat.example.com, workload: chat, port: http}
"""
ENVIRONMENTS = """\
apiVersion: meshctl/v1
kind: Environments
environments:
  aws-east: {provider: aws, region: us-east-1, zones: [us-east-1a, us-east-1b], network: {cidr: 10.64.0.0/16}}
  cw: {provider: coreweave, region: US-EAST-04A, kubernetes: {context: cw}, objectStorage: {profile: coreweave}}
  dc1:
    provider: onprem
    kubernetes: {context: dc1}
    objectStorage: {profile: dc1}
    storageClasses: {filesystem: nfs, block: local-path}
dns: {provider: route53, zone: example.com, ttl: 1s}
secrets: {hf-token: {env: HF_TOKEN}}
"""
# of vCPUs, by their codes: a new account may run no GPU machine. Labs before 0.2.0 know of no quotas.
QUOTAS = '{"L-417A185B": 10000, "L-1216C47A": 10000}'


def main() -> None:
    target, work = Path(sys.argv[1]).absolute(), Path(tempfile.mkdtemp(prefix="recorded-"))
    target.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    os.environ.update(
        MESHCTL_LAB_ROOT=str(work / "lab"), HF_TOKEN="a-token-of-nobody", AWS_EC2_METADATA_DISABLED="true"
    )
    folder = work / "mesh"
    folder.mkdir()
    (folder / "mesh.yaml").write_text(MESH)
    (folder / "environments.yaml").write_text(ENVIRONMENTS)
    meshctl(folder, "lab", "up")
    (work / "lab/quotas.json").write_text(QUOTAS)
    try:
        from meshctl.lab import environment
        from meshctl.lab.state import Lab

        os.environ.update(environment.variables(Lab(work / "lab"), folder))
        record(folder, target)
    finally:
        meshctl(folder, "lab", "down")
    shutil.rmtree(work)


def record(folder: Path, target: Path) -> None:
    meshctl(folder, "up", "dc1", "--yes", "--object-storage-only")
    upload(folder, "dc1", "dc1")
    meshctl(folder, "up", "dc1", "--yes")
    keep_state(folder, target, "dc1")
    meshctl(folder, "migrate", "dc1", "cw", "--yes")
    keep_state(folder, target, "cw")
    keep_state(folder, target, "edge")
    keep_journal(folder, target, "open")
    meshctl(folder, "migrations", "rollback", "--yes")
    keep_journal(folder, target, "rolled-back")
    meshctl(folder, "migrate", "dc1", "cw", "--yes")
    meshctl(folder, "migrations", "finish", "--yes")
    keep_journal(folder, target, "finished")
    meshctl(folder, "destroy", "cw", "--yes", "--allow-data-loss", "--confirm", "cw")
    meshctl(folder, "up", "aws-east", "--yes", "--object-storage-only")
    upload(folder, "aws-east", "default")
    meshctl(folder, "up", "aws-east", "--yes")
    keep_state(folder, target, "aws-east")
    (folder / "mesh.yaml").write_text(MESH.replace("/models/llama", "/models/other"))
    meshctl(folder, "plan", "aws-east", "--out", str(target / "plan.json"))


def meshctl(folder: Path, *arguments: str) -> None:
    print(">", *arguments, flush=True)
    command = [sys.executable, "-m", "meshctl.cli.main", *arguments]
    subprocess.run(command, cwd=folder, check=True, timeout=500)


def upload(folder: Path, stack: str, profile: str) -> None:
    """What the workload reads, without which it does not start."""
    import boto3

    resources = kept_state(folder, stack)["resources"]
    bucket = next(each["inputs"]["Bucket"] for each in resources if each["urn"].endswith("storage/weights:bucket"))
    boto3.Session(profile_name=profile).client("s3").put_object(Bucket=bucket, Key="llama/0.bin", Body=b"0" * 9)


def kept_state(folder: Path, stack: str) -> Any:
    return json.loads((folder / f".meshctl/state/.pulumi/stacks/kept/{stack}.json").read_text())["checkpoint"]["latest"]


def keep_state(folder: Path, target: Path, stack: str) -> None:
    """As `pulumi stack export` gives it."""
    state = kept_state(folder, stack)
    for resource in state["resources"]:
        for machine in ("stackTrace", "sourcePosition"):
            resource.pop(machine, None)
    write(target / f"state-{stack}.json", {"version": 3, "deployment": state})


def keep_journal(folder: Path, target: Path, name: str) -> None:
    """All records of the last migration, by file name, as they stand there."""
    migrations = folder / ".meshctl/state/migrations/kept"
    last = sorted(path for path in migrations.iterdir() if path.name != "locks")[-1]
    records = {path.name: path.read_text() for path in sorted(last.iterdir())}
    write(target / f"journal-{name}.json", {"id": last.name, "records": records})


def write(path: Path, document: Any) -> None:
    text = json.dumps(document, separators=(",", ":"))
    path.write_text(text.replace(socket.gethostname(), "a-host") + "\n")


if __name__ == "__main__":
    main()
