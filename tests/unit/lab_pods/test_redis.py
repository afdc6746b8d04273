"""Redis as a process pod: its data is in the volume that the pod mounts, and gone with the pod where it mounts none."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from meshctl.lab import images
from meshctl.lab.pods import launch
from tests.programs import ask_redis, needs_redis
from tests.waiting import end, wait_until

ADDRESS = "127.0.0.1"


@contextmanager
def running(folder: Path, *mounts: tuple[Path, str]) -> Iterator[int]:
    """The port of a server in a container of its own, which ends as a pod does."""
    with socket.create_server((ADDRESS, 0)) as taken:
        port = int(taken.getsockname()[1])
    image = images.runnable("redis:8.2.1")
    assert image is not None
    spec = {
        "argv": images.argv(image, [], ["--port", str(port), "--appendonly", "yes"], sys.executable),
        "env": {**os.environ, "POD_ADDRESS": ADDRESS},
        "cwd": image.folder,
        "parent": os.getpid(),
        "hostname": "redis",
        "root": str(folder / "root"),
        "mounts": [(str(source), path, False) for source, path in mounts],
        "empty": [image.folder],
    }
    (folder / "spec.json").write_text(json.dumps(spec))
    command = [sys.executable, "-I", "-S", launch.__file__, str(folder / "spec.json")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: answers(port))
        yield port
        process.terminate()
        assert process.wait(60) == 0
    finally:
        end(process)


def answers(port: int) -> bool:
    try:
        return ask_redis(ADDRESS, port, "PING") == "+PONG"
    except OSError:
        return False


@needs_redis
def test_the_data_is_in_the_volume(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    with running(tmp_path, (volume, "/data")) as port:
        assert ask_redis(ADDRESS, port, "SET greeting hello") == "+OK"
    with running(tmp_path, (volume, "/data")) as port:
        assert ask_redis(ADDRESS, port, "GET greeting") == "hello"


@needs_redis
def test_without_a_volume_nothing_is_kept(tmp_path: Path) -> None:
    with running(tmp_path) as port:
        assert ask_redis(ADDRESS, port, "SET greeting hello") == "+OK"
    with running(tmp_path) as port:
        assert ask_redis(ADDRESS, port, "GET greeting") == "$-1"
