"""Starting and ending labs: nothing is left behind, and a lab that was killed comes back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from meshctl.lab.state import MARK, Lab
from tests.lab_fixture import command_line


def left_behind(root: Path) -> list[Any]:
    """Processes that say anything of this lab, and files."""
    processes = []
    for process in psutil.process_iter():
        try:
            words = [*process.cmdline(), process.environ().get(MARK, ""), process.cwd()]
        except psutil.Error:
            continue
        if process.pid != os.getpid() and any(str(root) in word for word in words):
            processes.append(words)
    return [*processes, *([root] if root.exists() else [])]


def sockets_of(root: Path) -> list[Path]:
    """What the object stores have outside of the lab's folder."""
    ports = [port for file in (root / "stores").glob("*.ports.json") for port in json.loads(file.read_text())]
    return [file for port in ports for file in Path("/tmp").glob(f"*{port}.sock")]  # noqa: S108


def start_bystander(root: Path) -> subprocess.Popen[bytes]:
    """A user's own program with a file of the lab open: nothing of the lab's."""
    command = [sys.executable, "-c", "import time; time.sleep(600)", str(root / "logs" / "aws.log")]
    return subprocess.Popen(command, env={**os.environ, "MESHCTL_LAB_ROOT": str(root)})


def test_a_life(tmp_path: Path) -> None:
    root = tmp_path / "root"
    command_line(root, "up")
    temporary = sockets_of(root)
    assert temporary
    ports = Lab(root).read()["ports"]
    first = {process.pid for process in Lab(root).processes()}
    # up again: nothing happens
    command_line(root, "up")
    assert {process.pid for process in Lab(root).processes()} >= first
    status = json.loads(command_line(root, "status", json_output=True))
    assert status["up"]
    assert set(status["parts"]) >= {"aws", "stores", "controllers", "network", "pods", "aws-east", "cw", "dc1"}

    # killed: the next up ends the rest and starts anew on the same ports
    for victim in ("meshctl.lab.aws", "etcd"):
        kill(root, victim)
        assert not json.loads(command_line(root, "status", json_output=True))["up"]
        command_line(root, "up")
        assert json.loads(command_line(root, "status", json_output=True))["up"]
    assert Lab(root).read()["ports"] == ports
    assert not first & {process.pid for process in Lab(root).processes()}

    temporary += sockets_of(root)
    stores = [process for process in Lab(root).processes() if "meshctl.lab.stores" in process.cmdline()]
    stores[0].kill()  # can't clean up after itself any more
    bystander = start_bystander(root)
    try:
        command_line(root, "down")
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()
    assert left_behind(root) == []
    assert not [file for file in temporary if file.exists()]
    command_line(root, "down")  # of no lab: nothing to do


def kill(root: Path, word: str) -> None:
    """End one process of the lab the hard way: the first with this word in its command line."""
    for process in Lab(root).processes():
        if any(word in part for part in process.cmdline()[:4]):
            process.kill()
            gone = time.monotonic() + 10
            while process.is_running() and process.status() != psutil.STATUS_ZOMBIE and time.monotonic() < gone:
                time.sleep(0.05)
            return
    pytest.fail(f"no process {word}")


@pytest.mark.parametrize("command", ["up", "down"])
def test_a_folder_with_other_files_is_left_alone(tmp_path: Path, command: str) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    done = subprocess.run(
        [sys.executable, "-m", "meshctl.cli.main", "lab", command],
        env={**os.environ, "MESHCTL_LAB_ROOT": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "not a lab's" in done.stderr
    assert (tmp_path / "thesis.txt").read_text() == "precious"
