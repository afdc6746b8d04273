"""What is to be done when the tests are killed is done then, and only then."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.waiting import wait_until
from tests.when_killed import when_killed

ROOT = Path(__file__).parents[3]
TOUCH = "import pathlib, sys; pathlib.Path(sys.argv[1]).touch()"
RUN = f"""
import os, sys, time
from tests.when_killed import when_killed
with when_killed([sys.executable, "-c", {TOUCH!r}, sys.argv[1]], os.environ):
    print("within", flush=True)
    time.sleep(3600)
"""


def test_it_is_done_where_the_process_is_killed(tmp_path: Path) -> None:
    mark = tmp_path / "done"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    command = [sys.executable, "-c", RUN, str(mark)]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as run:
        try:
            assert run.stdout
            assert run.stdout.readline() == "within\n"
            assert not mark.exists()
        finally:
            run.kill()
        wait_until(mark.exists)


def test_it_is_not_done_where_the_process_gets_to_its_end(tmp_path: Path) -> None:
    mark = tmp_path / "done"
    with when_killed([sys.executable, "-c", TOUCH, str(mark)], dict(os.environ)):
        pass
    assert not mark.exists()
