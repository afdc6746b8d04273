"""Row `sync`: a migration's copy against raw rclone, between two object stores with keys of their own. EDGE."""

from __future__ import annotations

import itertools
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from meshctl import tools
from meshctl.lab import stores
from meshctl.objects import sync as migrate_sync
from meshctl.objects.listing import s3_client
from meshctl.objects.store import ObjectAccess
from tests.bench.samples import Outcome, interleaved, run
from tests.bench.settings import Bench

GOAL = 0.95
FILE_MIB = 32
SMALL_FILES = 200
_TUNED = ("--transfers=16", "--checkers=32", "--s3-upload-concurrency=8", "--s3-chunk-size=16Mi", "--buffer-size=4Mi")


def sync(bench: Bench) -> list[Outcome]:
    with two_stores(bench.folder / "sync") as (source, target):
        source = fill(source, bench.sizes.sync_mib)
        targets = (_in_bucket(target, f"target-{number}") for number in itertools.count())

        def throughput(copy: str) -> float:
            fresh = next(targets)
            began = time.monotonic()
            if copy == "ours":
                migrate_sync.copy(lambda: source, lambda: fresh, delete=True)
            else:
                raw(bench, source, fresh, _TUNED if copy == "tuned" else ())
            seconds = time.monotonic() - began
            empty(fresh)
            return bench.sizes.sync_mib / seconds

        sides = {copy: lambda copy=copy: throughput(copy) for copy in ("plain", "tuned", "ours")}
        found = interleaved(sides, bench.sizes.repetitions)
    best = max(("plain", "tuned"), key=lambda name: found[name].median)
    ratio = found["ours"].median / found[best].median
    other = "tuned" if best == "plain" else "plain"
    return [
        Outcome(
            f"data sync, {bench.sizes.sync_mib} MiB",
            f"≥ {GOAL:.0%} of raw rclone",
            found["ours"].text("MiB/s", 0),
            f"rclone sync, {best} {found[best].text('MiB/s', 0)}",
            ratio,
            ratio >= GOAL,
            f"against the faster of rclone's own defaults (plain) and meshctl's options (tuned); {other}: "
            f"{found[other].text('MiB/s', 0)}. meshctl's time includes the listings that prove both sides equal",
        )
    ]


@contextmanager
def two_stores(root: Path) -> Iterator[tuple[ObjectAccess, ObjectAccess]]:
    processes: list[subprocess.Popen[bytes]] = []
    found = []
    try:
        for name, port in zip(stores.NAMES, stores.free_ports(2), strict=True):
            process = stores.start(root, name, port)
            processes.append(process)
            stores.wait_healthy(port, process)
            keys = stores.keys(root, name)
            endpoint = f"http://127.0.0.1:{port}"
            found.append(ObjectAccess("", "", endpoint, "us-east-1", keys.access_key, keys.secret_key, "", "path"))
        yield found[0], found[1]
    finally:
        for process in processes:
            process.terminate()
            process.wait(timeout=30)
        stores.remove_sockets(root)


def _in_bucket(access: ObjectAccess, bucket: str) -> ObjectAccess:
    s3_client(replace(access, bucket=bucket)).create_bucket(Bucket=bucket)
    return replace(access, bucket=bucket)


def fill(access: ObjectAccess, size_mib: int) -> ObjectAccess:
    """Large files as weights are, and some small ones beside them. Random bytes: nothing can be compressed away."""
    found = _in_bucket(access, "source")
    client = s3_client(found)
    for number in range(max(1, size_mib // FILE_MIB)):
        body = os.urandom(min(FILE_MIB, size_mib) << 20)
        client.put_object(Bucket=found.bucket, Key=f"weights/{number:05d}.safetensors", Body=body)
    for number in range(SMALL_FILES):
        client.put_object(Bucket=found.bucket, Key=f"config/{number:05d}.json", Body=os.urandom(2048))
    return found


def raw(bench: Bench, source: ObjectAccess, target: ObjectAccess, options: tuple[str, ...]) -> None:
    places = [f"{name}:{access.bucket}" for name, access in (("SOURCE", source), ("TARGET", target))]
    env = {k: v for k, v in bench.base_env.items() if not k.startswith(("RCLONE_", "AWS_"))}
    env |= migrate_sync.remote_environment("SOURCE", source) | migrate_sync.remote_environment("TARGET", target)
    run([str(tools.find("rclone")), "sync", "--config=", *options, *places], env=env)


def empty(access: ObjectAccess) -> None:
    """Delete what was copied: the stores' disk is that of the machine."""
    client = s3_client(access)
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=access.bucket):
        keys = [{"Key": item["Key"]} for item in page.get("Contents", ())]
        if keys:
            client.delete_objects(Bucket=access.bucket, Delete={"Objects": keys, "Quiet": True})
    client.delete_bucket(Bucket=access.bucket)
