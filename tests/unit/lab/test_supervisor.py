"""The supervisor of a control plane, with shells in the place of its programs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from meshctl.lab.clusters import endings, log_of
from meshctl.lab.parts import lines, states
from meshctl.lab.restarts import MOST
from meshctl.lab.state import Lab, write_atomically
from tests.waiting import wait_until

# as its own `main`, but without the waits between two starts
SUPERVISE = """
import sys
from meshctl.lab import supervisor
supervisor.Supervisor.__init__.__kwdefaults__["first_delay_s"] = 0
sys.exit(supervisor.main())
"""
Start = Callable[..., subprocess.Popen[bytes]]


def component(home: Path, name: str, script: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "binary": "/bin/sh", "args": ["-c", script], "workDir": str(home), **more}


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """A lab with one control plane, `cw`, of which nothing runs."""
    made = Lab(tmp_path)
    made.write({"ports": {}, "clusters": {"cw": {}}})
    for folder in (made.logs, tmp_path / "clusters" / "cw", *(home_of(made) / each for each in ("pids", "logs"))):
        folder.mkdir(parents=True)
    return made


def home_of(lab: Lab) -> Path:
    return lab.root / "kwok" / "clusters" / "cw"


def write_programs(lab: Lab, *components: dict[str, Any]) -> None:
    document = {"kind": "KwokctlConfiguration", "components": list(components)}
    (home_of(lab) / "kwok.yaml").write_text(yaml.safe_dump_all([document, {"kind": "Stage"}]))


@pytest.fixture
def start(lab: Lab) -> Iterator[Start]:
    """Starts the supervisor; it and what it started are ended at last."""
    begun: list[subprocess.Popen[bytes]] = []

    def run(*command: str) -> subprocess.Popen[bytes]:
        folder = lab.root / "clusters" / "cw"
        arguments = ["--home", str(home_of(lab)), "--folder", str(folder), "--", *command]
        process = subprocess.Popen([sys.executable, "-c", SUPERVISE, *arguments], env=lab.environment())
        write_atomically(folder / "supervisor.pid", str(process.pid))
        begun.append(process)
        return process

    yield run
    for process in begun:
        process.kill()
        process.wait(timeout=30)
    for left in lab.processes():
        left.kill()


def pid_of(lab: Lab, program: str) -> int:
    file = home_of(lab) / "pids" / f"{program}.pid"
    return int(file.read_text()) if file.exists() else 0


def test_a_program_that_ends_is_started_again_and_its_end_is_kept(lab: Lab, start: Start) -> None:
    write_programs(lab, component(home_of(lab), "etcd", "echo up; exec sleep 600"))
    start()
    first = wait_until(lambda: pid_of(lab, "etcd"))
    wait_until(lambda: "up" in log_of(lab, "cw", "etcd").read_text())
    os.kill(first, signal.SIGKILL)
    second = wait_until(lambda: pid_of(lab, "etcd") if pid_of(lab, "etcd") != first else 0)
    assert psutil.Process(second).is_running()
    [ending] = endings(lab, "cw")
    assert (ending.program, ending.how, ending.last_words, ending.restarted) == (
        "etcd",
        "killed by SIGKILL",
        "up",
        True,
    )
    wait_until(lambda: log_of(lab, "cw", "etcd").read_text().splitlines().count("up") == 2)  # the log goes on
    [plane] = [each for each in states(lab) if each.name == "cw"]
    assert plane.up
    first_line, restarted = lines(plane)
    assert first_line == "up    cw"
    assert restarted.strip().startswith("started again: etcd, killed by SIGKILL at ")


def test_a_program_that_ends_again_and_again_is_given_up_and_named(lab: Lab, start: Start) -> None:
    write_programs(lab, component(home_of(lab), "etcd", "echo 'Error: no space left' >&2; echo bye; exit 3"))
    start()
    wait_until(lambda: any(not each.restarted for each in endings(lab, "cw")))
    assert [each.restarted for each in endings(lab, "cw")] == [True] * MOST + [False]
    [plane] = [each for each in states(lab) if each.name == "cw"]
    [dead] = plane.dead
    assert "etcd, exit 3 at " in str(dead)
    assert ": Error: no space left (log: " in str(dead)
    assert dead.log == log_of(lab, "cw", "etcd")


def test_what_a_program_needs_is_waited_for(lab: Lab, start: Start) -> None:
    write_programs(
        lab,
        component(home_of(lab), "etcd", "exec sleep 600", ports=[{"name": "http", "port": 1}]),  # never answers
        component(home_of(lab), "kube-apiserver", "exec sleep 600", links=["etcd"]),
    )
    start()
    wait_until(lambda: pid_of(lab, "etcd"))
    assert not pid_of(lab, "kube-apiserver")


def test_what_a_command_started_and_left_is_supervised(lab: Lab, start: Start) -> None:
    home = home_of(lab)
    write_programs(lab, component(home, "etcd", "exec sleep 600"))
    left = f"(exec sleep 600) & echo $! > {home / 'pids' / 'etcd.pid'}"
    start("/bin/sh", "-c", left)
    wait_until((lab.root / "clusters" / "cw" / "created").exists)
    first = pid_of(lab, "etcd")
    os.kill(first, signal.SIGTERM)
    wait_until(lambda: pid_of(lab, "etcd") not in {0, first})
    assert [each.how for each in endings(lab, "cw")] == ["killed by SIGTERM"]


def test_a_control_plane_that_can_not_be_made_ends_its_supervisor(lab: Lab, start: Start) -> None:
    assert start("/bin/sh", "-c", "exit 4").wait(60) == 4


def test_a_part_that_ended_unseen_is_named_with_its_log(lab: Lab) -> None:
    (lab.logs / "network.log").write_text("I serve\nOSError: address in use\n")
    [network] = [each for each in states(lab) if each.name == "network"]
    assert str(network.dead[0]) == f"meshctl.lab.network, ended: OSError: address in use (log: {lab.logs}/network.log)"
