"""A command that runs in a child of the preloaded process is like one in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.preloaded import CommandLine


@pytest.fixture(scope="module")
def commands() -> Iterator[CommandLine]:
    made = CommandLine()
    yield made
    made.close()


def run(commands: CommandLine, folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return commands.run(arguments, folder=folder, env={**os.environ, **variables}, timeout_s=60)


@pytest.mark.parametrize("arguments", [("--version",), ("nonsense",), ("check",), ("--output", "json", "status")])
def test_it_says_and_returns_the_same(commands: CommandLine, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "meshctl.cli.main", *arguments]
    alone = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    done = run(commands, tmp_path, *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (alone.returncode, alone.stdout, alone.stderr)


def test_each_has_its_own_folder_and_variables(commands: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "mesh.yaml").write_text("kind: Mesh\n")
    said = run(commands, tmp_path, "check").stderr
    assert "mesh.yaml:1:1: no such file" not in said
    assert "mesh.yaml:1:1: no such file" in run(commands, tmp_path.parent, "check").stderr
    assert "MISSING etcd" in run(commands, tmp_path, "doctor", MESHCTL_CACHE=str(tmp_path), PATH="/usr/bin").stdout


def test_one_that_takes_too_long_is_killed(commands: CommandLine, tmp_path: Path) -> None:
    pipe = tmp_path / "mesh.yaml"
    os.mkfifo(pipe)  # nobody ever writes to it
    with pytest.raises(subprocess.TimeoutExpired):
        commands.run(["check"], folder=tmp_path, env=os.environ, timeout_s=1)
    waiting = [p for p in psutil.process_iter() if p.ppid() != 1 and _folder(p) == str(tmp_path)]
    assert [p for p in waiting if p.status() != psutil.STATUS_ZOMBIE] == []
    assert run(commands, tmp_path, "--version").returncode == 0


def _folder(process: psutil.Process) -> str:
    try:
        return process.cwd()
    except psutil.Error:
        return ""


def test_it_ends_when_nobody_can_ask_it_any_more() -> None:
    made = CommandLine()
    made.close()
    assert made._process.returncode == 0
