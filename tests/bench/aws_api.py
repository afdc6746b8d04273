"""An AWS API for rows that need no lab: moto's server, as a process of its own. EDGE."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError

from meshctl.lab.network.ports import free_ports

KEYS = {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench", "AWS_REGION": "us-east-1"}
_TIMEOUT_S = 60


@contextmanager
def serving(log: Path) -> Iterator[str]:
    """Its endpoint URL, for as long as the block runs."""
    (port,) = free_ports(1)
    endpoint = f"http://127.0.0.1:{port}"
    program = Path(sys.executable).parent / "moto_server"
    with log.open("wb") as output:
        process = subprocess.Popen([str(program), "-p", str(port)], stdout=output, stderr=output)
    try:
        _wait(endpoint, process)
        yield endpoint
    finally:
        process.terminate()
        process.wait(timeout=30)


def reset(endpoint: str) -> None:
    """Forget everything: each run meets an empty account."""
    with urllib.request.urlopen(urllib.request.Request(f"{endpoint}/moto-api/reset", method="POST"), timeout=60):  # noqa: S310
        pass


def _wait(endpoint: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _TIMEOUT_S
    while True:
        try:
            with urllib.request.urlopen(f"{endpoint}/moto-api/", timeout=5):  # noqa: S310
                return
        except URLError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.1)
