"""What the lab runs for a training image: steps, checkpoints to S3, resumes at the last one. EDGE.

Started by `meshctl.lab.pods` in place of `ghcr.io/acme/train`. Every rank steps; rank 0 writes `step-%08d.json`, then
`latest` (JSON: step, digest) to its object store. SIGTERM: checkpoint of the current step, exit 0, or with the code of
TRAINER_STOP_CODE.

Two environment variables make it stop as badly as real trainers do: with TRAINER_SAVE_S=40 the save on SIGTERM takes
40 s on every rank, and until it is over the last complete checkpoint is an older one; with TRAINER_IGNORE_SIGNAL=1
SIGTERM does nothing, so that only SIGKILL ends it.

It ends at once with exit code 134, as libfabric's abort() does, where FI_EFA_USE_DEVICE_RDMA asks for what the EFA of
the machine can't do.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import sys
import threading
import time

from meshctl.lab import images
from meshctl.lab.images import s3

LATEST = "latest"
ABORTED = 134  # 128 + SIGABRT
# As libfabric says it: ofiwg/libfabric, prov/efa/src/rdm/efa_rdm_util.c
NO_RDMA_READ = (
    "FI_EFA_USE_DEVICE_RDMA=1 was set by user, but EFA device has no rdma-read capability. Application will abort()."
)


def store_url(name: str | None) -> str:
    """MESH_<NAME>_URL of the named store, else MESH_CHECKPOINTS_URL, else the first MESH_*_URL; "" without any."""
    if name:
        return os.environ[f"MESH_{name.upper().replace('-', '_')}_URL"]
    if "MESH_CHECKPOINTS_URL" in os.environ:
        return os.environ["MESH_CHECKPOINTS_URL"]
    return next((v for k, v in sorted(os.environ.items()) if k.startswith("MESH_") and k.endswith("_URL")), "")


def rank() -> int:
    return int(os.environ.get("MESH_RANK") or os.environ.get("JOB_COMPLETION_INDEX") or "0")


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def save(store: s3.Store, step: int, weights: str) -> None:
    """Write the checkpoint, then `latest`: a reader of `latest` always finds the file that it names."""
    body = json.dumps(
        {"step": step, "weights": weights, "environment": os.environ.get("MESH_ENVIRONMENT", "")}
    ).encode()
    store.put(f"step-{step:08d}.json", body)
    store.put(LATEST, json.dumps({"step": step, "sha256": hashlib.sha256(body).hexdigest()}).encode())
    say(f"checkpoint at step {step}")


def resume(store: s3.Store) -> tuple[int, str]:
    """Step and weights to go on from; (0, "") when there is no checkpoint. Raises ValueError for a damaged one."""
    latest = store.get(LATEST)
    if latest is None:
        return 0, ""
    noted = json.loads(latest)
    body = store.get(f"step-{noted['step']:08d}.json")
    if body is None or hashlib.sha256(body).hexdigest() != noted["sha256"]:
        raise ValueError(f"checkpoint of step {noted['step']} is missing or damaged")
    return int(noted["step"]), str(json.loads(body)["weights"])


def train(
    store: s3.Store | None,
    *,
    every: int,
    steps: int,
    step_s: float,
    save_s: float = 0,
    ignore_signal: bool = False,
    stop_code: int = 0,
) -> int:
    """Step until SIGTERM or, if `steps` is set, until that step. Returns the exit code.

    `save_s`: how long the save on SIGTERM takes. `ignore_signal`: SIGTERM is ignored. `stop_code`: the exit code after
    SIGTERM.

    The weights are a hash chain over the steps, so a repeated or skipped step shows in every later checkpoint.
    """
    stop = threading.Event()
    signal.signal(signal.SIGTERM, signal.SIG_IGN if ignore_signal else lambda *_: stop.set())
    step, weights = resume(store) if store else (0, "")
    say(f"resumed at step {step}" if step else "started at step 0")
    writes = store is not None and rank() == 0
    saved_step = step
    while not stop.wait(step_s) and (not steps or step < steps):
        step += 1
        weights = hashlib.sha256(f"{weights}:{step}".encode()).hexdigest()
        say(f"step {step}")
        if writes and store and step % every == 0:
            save(store, step, weights)
            saved_step = step
    if stop.is_set() and save_s:
        say(f"saving step {step}, which takes {save_s:g} s")
        time.sleep(save_s)
    if writes and store and saved_step != step:
        save(store, step, weights)
    say(f"stopped at step {step}" if stop.is_set() else f"finished at step {step}")
    return stop_code if stop.is_set() else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="train", allow_abbrev=False)
    parser.add_argument("--store")
    parser.add_argument("--steps", type=int, default=0)
    parser.add_argument("--step-seconds", type=float, default=0.1)
    options, _ = parser.parse_known_args()
    if os.environ.get("FI_EFA_USE_DEVICE_RDMA") == "1" and images.WITHOUT_RDMA_READ in os.environ:
        say(NO_RDMA_READ)
        return ABORTED
    url = store_url(options.store)
    nodes, leader = os.environ.get("MESH_NODES", "1"), os.environ.get("MESH_LEADER", "")
    say(f"rank {rank()} of {nodes}, leader {leader}, checkpoints {url}")
    return train(
        s3.open_store(url) if url else None,
        every=int(os.environ.get("CHECKPOINT_EVERY", "10")),
        steps=options.steps,
        step_s=options.step_seconds,
        save_s=float(os.environ.get("TRAINER_SAVE_S", "0")),
        ignore_signal=os.environ.get("TRAINER_IGNORE_SIGNAL", "") == "1",
        stop_code=int(os.environ.get("TRAINER_STOP_CODE", "0")),
    )


if __name__ == "__main__":
    sys.exit(main())
