"""A command for the case that the tests are killed, so that no lab of theirs goes on running.

`python -m tests.when_killed PID COMMAND…` waits for the end of the process PID and runs the command then. Workers of
pytest-xdist are killed where their run is interrupted, without the end of any fixture.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.waiting import end

ROOT = Path(__file__).parents[1]


@contextmanager
def when_killed(command: Sequence[str], env: Mapping[str, str]) -> Iterator[None]:
    """Run `command` if this process ends inside of the `with` block; not where the block is left, even by an error."""
    waiting = subprocess.Popen(
        [sys.executable, "-m", "tests.when_killed", str(os.getpid()), *command],
        cwd=ROOT,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C in the terminal is not for it
    )
    try:
        yield
    finally:
        end(waiting)


def wait_for_end(pid: int) -> None:
    with suppress(ProcessLookupError):
        process = os.pidfd_open(pid)
        select.select([process], [], [])
        os.close(process)


if __name__ == "__main__":
    wait_for_end(int(sys.argv[1]))
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606 (there is none to wait for it)
