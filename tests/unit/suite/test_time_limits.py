"""A test that hangs ends, with the processes that it started and the clean-up that waits for them."""

from __future__ import annotations

import signal
from pathlib import Path

import psutil
import pytest

from tests import time_limits
from tests.unit.suite.pytest_run import run_pytest

CHILD = """
import pathlib, signal, time
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.SIG_IGN)
pathlib.Path("ready").touch()
time.sleep(3600)
"""
START = f"""
import pathlib, subprocess, sys, time, pytest
def start():
    pathlib.Path("ready").unlink(missing_ok=True)
    child = subprocess.Popen([sys.executable, "-c", {CHILD!r}])
    pathlib.Path("pids").open("a").write(f"{{child.pid}}\\n")
    while not pathlib.Path("ready").exists():
        time.sleep(0.01)
    return child
"""
HANGING = """
def test_hangs():
    with start() as child:  # waits for the child, whatever happens
        child.wait()

@pytest.fixture
def child():
    with start() as child:
        child.wait()
        yield child

def test_hangs_in_a_fixture(child): ...

@pytest.fixture
def late():
    yield
    with start() as child:
        child.wait()

def test_hangs_while_a_failed_test_is_torn_down(late):
    raise ValueError

def test_that_follows(): ...
"""


def test_a_hanging_child_that_ignores_signals_is_ended(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, START + HANGING, "tests.time_limits", "--timeout=1")
    assert "2 failed, 1 passed, 2 errors" in done.stdout, done.stdout + done.stderr
    assert done.stdout.count("Timeout (>1.0s) from pytest-timeout") >= 3
    assert not [pid for pid in map(int, (tmp_path / "pids").read_text().split()) if psutil.pid_exists(pid)]


def test_what_a_fixture_started_outlives_a_test_that_hangs(tmp_path: Path) -> None:
    source = """
@pytest.fixture(scope="module")
def server():
    child = start()
    yield child
    child.kill()
    child.wait()
def test_hangs(server):
    time.sleep(3600)
def test_that_follows(server):
    assert server.poll() is None
"""
    done = run_pytest(tmp_path, START + source, "tests.time_limits", "--timeout=3")
    assert "1 failed, 1 passed" in done.stdout, done.stdout + done.stderr


def test_children_of_a_run_that_ignores_ctrl_c_do_not(tmp_path: Path) -> None:
    source = """
import signal
def test_interrupted():
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
    child.send_signal(signal.SIGINT)
    child.wait()
"""
    ignored = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell does for what it runs in the background
    try:
        done = run_pytest(tmp_path, START + source, "tests.time_limits", "--timeout=20")
    finally:
        signal.signal(signal.SIGINT, ignored)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_test_has_the_limit_of_its_folder(request: pytest.FixtureRequest) -> None:
    marker = request.node.get_closest_marker("timeout")
    assert marker.args == (time_limits.LIMIT_S["unit"],)
    folders = {path.parent.relative_to(time_limits.HERE).parts[0] for path in time_limits.HERE.rglob("test_*.py")}
    assert folders == set(time_limits.LIMIT_S)


def test_what_is_exhaustive_may_take_longer() -> None:
    in_lab = time_limits.HERE / "faults" / "test_shift.py"
    assert time_limits.limit_s(in_lab, is_exhaustive=False) == 900
    assert time_limits.limit_s(in_lab, is_exhaustive=True) == 3600
    assert time_limits.limit_s(time_limits.HERE / "unit" / "test_words.py", is_exhaustive=False) == 120
