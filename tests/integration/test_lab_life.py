"""Starting and ending labs: nothing is left behind, and a lab that was killed comes back."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from meshctl import tools
from meshctl.lab.state import MARK, Lab, wait_ended
from tests.lab_fixture import command_line
from tests.waiting import COMMAND_S, wait_until

WAIT_S = 60


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


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A folder for a lab that is ended whatever happens."""
    yield tmp_path / "root"
    command_line(tmp_path / "root", "down")


def pids(root: Path) -> set[int]:
    return {process.pid for process in Lab(root).processes()}


def status(root: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(command_line(root, "status", json_output=True))
    return found


def is_up(root: Path) -> bool:
    return bool(status(root)["up"])


def kubectl(root: Path, *arguments: str) -> None:
    """The same of both clusters that a user has from the start."""
    for plane in ("cw", "dc1"):
        command = [str(tools.find("kubectl")), "--kubeconfig", str(Lab(root).kubeconfig), "--context", plane]
        subprocess.run([*command, *arguments], check=True, capture_output=True, timeout=COMMAND_S)


def test_a_life(root: Path) -> None:
    command_line(root, "up")
    temporary, first = sockets_of(root), pids(root)
    assert temporary
    assert is_up(root)
    assert set(status(root)["parts"]) == {"aws", "stores", "controllers", "network", "pods", "aws-east", "cw", "dc1"}
    command_line(root, "up")  # nothing to do
    assert pids(root) == first
    kill(root, "meshctl.lab.stores")  # can't clean up after itself any more
    bystander = start_bystander(root)
    try:
        command_line(root, "down")
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait(WAIT_S)
    assert left_behind(root) == []
    assert not [file for file in temporary if file.exists()]
    command_line(root, "down")  # of no lab: nothing to do


@pytest.mark.exhaustive
def test_what_ended_comes_back(root: Path) -> None:
    """First by the supervisor, then by `up` where it was killed, and anew without the AWS API's memory."""
    command_line(root, "up")
    kubectl(root, "create", "configmap", "kept")
    before = pids(root)
    kill(root, "etcd")
    wait_until(lambda: is_up(root) and status(root)["restarted"])
    endings = status(root)["restarted"]  # its API server may have ended, too, where it had to wait for long
    [log] = [each["log"] for each in endings if (each["program"], each["how"]) == ("etcd", "killed by SIGKILL")]
    assert Path(log).exists()
    for word in ("meshctl.lab.supervisor", "kube-scheduler", "meshctl.lab.network"):
        kill(root, word)
    # the killed supervisor and the killed scheduler are of one control plane or of two
    assert {"network"} < {each["part"] for each in status(root)["ended"]}
    command_line(root, "up")
    assert is_up(root)
    kubectl(root, "get", "configmap", "kept")
    assert len(before & pids(root)) > len(before) / 2, "what was up was left alone"
    ports, before = Lab(root).read()["ports"], pids(root)
    kill(root, "meshctl.lab.aws")
    command_line(root, "up")
    assert is_up(root)
    assert Lab(root).read()["ports"] == ports
    assert not before & pids(root)


def test_a_start_that_was_killed_is_cleaned_up(root: Path) -> None:
    command = [sys.executable, "-m", "meshctl.cli.main", "lab", "up"]
    env = {**os.environ, "MESHCTL_LAB_ROOT": str(root)}
    starting = subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL)
    wait_until(lambda: find(root, "kube-apiserver") is not None)
    starting.send_signal(signal.SIGSTOP)  # however slow the next command is, this one does not end before it
    busy = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=COMMAND_S)
    assert busy.returncode == 1
    assert "being started or ended" in busy.stderr
    starting.kill()
    starting.wait(WAIT_S)
    assert pids(root)
    command_line(root, "down")
    assert left_behind(root) == []


def find(root: Path, word: str) -> psutil.Process | None:
    """The first process of the lab with this word in its command line."""
    for process in Lab(root).processes():
        with contextlib.suppress(psutil.NoSuchProcess):  # it has just ended
            if any(word in part for part in process.cmdline()[:4]):
                return process
    return None


def kill(root: Path, word: str) -> None:
    """End one process of the lab the hard way."""
    process = find(root, word)
    assert process is not None, f"no process {word}"
    process.kill()
    wait_ended([process], WAIT_S)


@pytest.mark.parametrize("command", ["up", "down"])
def test_a_folder_with_other_files_is_left_alone(tmp_path: Path, command: str) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    done = subprocess.run(
        [sys.executable, "-m", "meshctl.cli.main", "lab", command],
        env={**os.environ, "MESHCTL_LAB_ROOT": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=COMMAND_S,
    )
    assert done.returncode == 1
    assert "not a lab's" in done.stderr
    assert (tmp_path / "thesis.txt").read_text() == "precious"
