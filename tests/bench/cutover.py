"""Row `cutover`: a migration under load. Requests that failed, training steps that were lost or repeated. EDGE."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass
from typing import Any

from meshctl.lab.load import Load, Result
from tests.bench.plans import bring_up, s3
from tests.bench.samples import NotMeasured, Outcome
from tests.bench.settings import Bench

URL = "http://chat.example.com:8000/v1/completions"
BEFORE_S = 10  # load before the migration, and as a baseline
AFTER_S = 15  # more than the name's time to live


@dataclass(frozen=True)
class Training:
    """The last step that the source saved, the target's newest step, and how many of its steps do not follow."""

    stopped: int
    newest: int
    wrong: int


def cutover(bench: Bench) -> list[Outcome]:
    if not bench.sizes.cutover:
        raise NotMeasured("--quick leaves it out; `--only cutover` measures it")
    bring_up(bench)
    _wait_for_steps(bench, "aws-east", "default", 20)
    quiet = _load(bench).start()
    time.sleep(BEFORE_S)
    before = quiet.stop()
    load = _load(bench).start()
    began = time.monotonic()
    bench.meshctl("migrate", "aws-east", "cw", "--yes", "--observe", "5")
    seconds = time.monotonic() - began
    time.sleep(AFTER_S)
    result = load.stop()
    return [_requests(bench, before, result, seconds), _steps(training(bench))]


def _load(bench: Bench) -> Load:
    return Load(URL, rate=bench.sizes.rate, dns_server=bench.lab_env["MESHCTL_DNS_SERVER"])


def _requests(bench: Bench, before: Result, result: Result, seconds: float) -> Outcome:
    moved = {"aws-east", "cw"} <= set(result.by_environment)
    reached = result.requests / (seconds + AFTER_S)
    return Outcome(
        f"failed requests of a cutover, {bench.sizes.rate}/s wanted",
        "0",
        f"{result.failed} of {result.requests:,}",
        f"without a migration {before.failed} of {before.requests:,}",
        None,
        result.failed == 0 and moved,
        f"{reached:.0f} requests/s reached, migration {seconds:.0f} s, by environment {result.by_environment}, "
        f"errors {result.errors}, latency ms {result.latency_ms} (before: {before.latency_ms})",
    )


def _steps(found: Training) -> Outcome:
    return Outcome(
        "training steps lost or repeated by a cutover",
        "0",
        str(found.wrong),
        f"source stopped at step {found.stopped}",
        None,
        found.wrong == 0 and found.newest > found.stopped > 0,
        f"the target has gone on to step {found.newest}; each checkpoint is a hash over all steps before it",
    )


def training(bench: Bench) -> Training:
    """Compare every checkpoint at the target with what an uninterrupted run would have saved."""
    stopped = _latest(bench, "aws-east", "default")
    _wait_for_steps(bench, "cw", "coreweave", stopped + 10)
    client, bucket = s3(bench, "coreweave"), _bucket(bench, "cw", "coreweave")
    newest = _latest(bench, "cw", "coreweave")
    wanted, weights, wrong = {}, "", 0
    for step in range(1, newest + 1):
        weights = hashlib.sha256(f"{weights}:{step}".encode()).hexdigest()
        wanted[step] = weights
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="step-"):
        for item in page.get("Contents", ()):
            saved = json.loads(client.get_object(Bucket=bucket, Key=item["Key"])["Body"].read())
            wrong += saved["step"] <= newest and saved["weights"] != wanted[saved["step"]]
    return Training(stopped, newest, wrong)


def _wait_for_steps(bench: Bench, environment: str, profile: str, step: int) -> None:
    deadline = time.monotonic() + 120
    while _latest(bench, environment, profile) < step:
        if time.monotonic() > deadline:
            raise RuntimeError(f"the trainer at {environment} does not come to step {step}")
        time.sleep(0.5)


def _latest(bench: Bench, environment: str, profile: str) -> int:
    client = s3(bench, profile)
    try:
        body: Any = client.get_object(Bucket=_bucket(bench, environment, profile), Key="latest")["Body"]
    except client.exceptions.NoSuchKey:
        return 0
    return int(json.loads(body.read())["step"])


def _bucket(bench: Bench, environment: str, profile: str) -> str:
    names: list[str] = [bucket["Name"] for bucket in s3(bench, profile).list_buckets()["Buckets"]]
    return next(name for name in names if f"{environment}-checkpoints-" in name)
