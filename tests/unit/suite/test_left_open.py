"""What a test leaves open fails the run, also where the test itself goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.suite.pytest_run import run_pytest

LEAVES = {
    "a socket": "import socket\ndef test_it():\n    socket.socket()\n",
    "a file": "def test_it():\n    open(__file__)\n",
    "an event loop": "import asyncio\ndef test_it():\n    asyncio.new_event_loop()\n",
    "what a cycle holds": (
        "import socket\ndef test_it():\n    held = [socket.socket()]\n    held.append(held)\ndef test_another(): ...\n"
    ),
}
CLOSES = "import socket\ndef test_it():\n    socket.socket().close()\n"


@pytest.mark.parametrize("what", LEAVES)
@pytest.mark.parametrize("mode", ["default", "error"])
def test_what_is_left_open_fails_the_run(tmp_path: Path, what: str, mode: str) -> None:
    """`mode`: the filter of warnings, of tests against the lab and of all others."""
    done = run_pytest(tmp_path, LEAVES[what], "tests.left_open", "-W", mode)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "unclosed" in done.stdout
    if mode == "default":
        assert "left open" in done.stdout
        assert " failed" not in done.stdout


def test_what_is_closed_is_nothing(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, CLOSES, "tests.left_open", "-W", "default")
    assert (done.returncode, "left open" in done.stdout) == (0, False), done.stdout
