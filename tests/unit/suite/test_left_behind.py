"""What a test leaves behind fails that test, and not one that follows."""

from __future__ import annotations

from pathlib import Path

import psutil

from tests.unit.suite.pytest_run import run_pytest
from tests.waiting import wait_until

LEAVING = """
import os, subprocess, sys, pytest

def test_a_variable():
    os.environ["LEFT"] = "1"

def test_a_folder(tmp_path):
    os.chdir(tmp_path)

def test_a_process():
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
    open("pid", "w").write(str(child.pid))

def test_nothing(tmp_path, monkeypatch):
    assert "LEFT" not in os.environ
    monkeypatch.setenv("LEFT", "1")
    monkeypatch.chdir(tmp_path)
    subprocess.run(["true"])

@pytest.fixture(scope="module")
def module():
    os.environ["LEFT_BY_A_FIXTURE"] = "1"

def test_a_fixture(module): ...
"""


def test_what_is_left_fails_the_test_that_left_it(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, LEAVING, "tests.left_behind")
    assert "5 passed, 4 errors" in done.stdout, done.stdout + done.stderr
    for said in (
        "not put back: LEFT;",
        "another working folder",
        "left processes running",
        "not put back: LEFT_BY_A_FIXTURE;",
    ):
        assert done.stdout.count(f"Failed: {said}") or said in done.stdout
    wait_until(lambda: not psutil.pid_exists(int((tmp_path / "pid").read_text())))
