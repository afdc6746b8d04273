"""Row `plan`: a plan without changes against raw `pulumi preview`, and what its look at the world costs. EDGE."""

from __future__ import annotations

import json
import os
import re
from typing import Any

import boto3

from meshctl.catalog import load_catalog
from meshctl.load import load
from meshctl.model.deployment import Deployment
from meshctl.resolve import resolve
from tests.bench.samples import PYTHON, Outcome, interleaved, run
from tests.bench.settings import Bench

GOAL = 1.2
LOOK_GOAL = 1.5
WEIGHTS_MIB = 8


def plan(bench: Bench) -> list[Outcome]:
    bring_up(bench)
    raw = raw_command(bench)
    counts: list[int] = []

    def ours() -> float:
        return unchanged_s(bench, "--no-refresh")

    def looking() -> float:
        return unchanged_s(bench)

    def theirs() -> float:
        ended = run(raw, cwd=bench.example, env=bench.lab_env)
        unchanged = re.search(r"(\d+) unchanged", ended.stdout)
        if unchanged is None or re.search(r"to (create|update|delete|replace)", ended.stdout):
            raise RuntimeError(f"the preview is to have no changes:\n{ended.stdout[-2000:]}")
        counts.append(int(unchanged.group(1)))
        return ended.seconds

    found = interleaved({"raw": theirs, "ours": ours, "looking": looking}, bench.sizes.repetitions)
    ratio = found["ours"].median / found["raw"].median
    look_ratio = found["looking"].median / found["ours"].median
    return [
        Outcome(
            f"plan --no-refresh without changes, AWS example ({counts[-1]} resources)",
            f"≤ {GOAL} x raw",
            found["ours"].text(),
            f"pulumi preview {found['raw'].text()}",
            ratio,
            ratio <= GOAL,
        ),
        Outcome(
            "the same plan with the look at the world",
            f"≤ {LOOK_GOAL} x without",
            found["looking"].text(),
            f"--no-refresh {found['ours'].text()}",
            look_ratio,
            look_ratio <= LOOK_GOAL,
        ),
    ]


def unchanged_s(bench: Bench, *options: str) -> float:
    ended = bench.meshctl("--output", "json", "plan", "aws-east", *options)
    document = json.loads(ended.stdout[ended.stdout.index("{") :])
    if document["changes"] or document["outside"]:
        raise RuntimeError(f"the plan is to have no changes: {(document['changes'] + document['outside'])[:3]}")
    return ended.seconds


def bring_up(bench: Bench) -> None:
    """The example up on the lab's AWS, as the row's first step and that of the cutover. Once for a run."""
    if (bench.example / ".meshctl" / "work" / "aws-east").exists():
        return
    bench.say("the example goes up on the lab's AWS")
    bench.meshctl("up", "aws-east", "--yes", "--object-storage-only")
    client = s3(bench, "default")
    names = [bucket["Name"] for bucket in client.list_buckets()["Buckets"] if "aws-east-weights-" in bucket["Name"]]
    body = os.urandom(WEIGHTS_MIB << 20)
    client.put_object(Bucket=names[0], Key="llama/model-00000-of-00001.safetensors", Body=body)
    bench.meshctl("up", "aws-east", "--yes")


def raw_command(bench: Bench) -> list[str]:
    deployment = resolved(bench)
    file = bench.folder / "deployment.json"
    file.write_text(deployment.model_dump_json())
    state = bench.example / ".meshctl"
    secrets = sorted({secret for workload in deployment.workloads for secret in workload.secrets.values()})
    folders = [str(file), str(state / "work" / "aws-east"), str(state / "passphrase")]
    return [*PYTHON, "-m", "tests.bench.raw_preview", *folders, *secrets]


def resolved(bench: Bench) -> Deployment:
    mesh, environments = load(bench.example / "mesh.yaml", bench.example / "environments.yaml")
    found = resolve(mesh, environments, "aws-east", load_catalog(), None).deployment
    assert found is not None
    return found


def s3(bench: Bench, profile: str) -> Any:
    """A client that sees only the lab's AWS files."""
    names = ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_EC2_METADATA_DISABLED")
    os.environ.update({name: bench.lab_env[name] for name in names})
    return boto3.Session(profile_name=profile, region_name="us-east-1").client("s3")
