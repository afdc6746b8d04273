"""A run fails when a test leaves a socket, a file, an event loop or a process open.

A plugin of `tests/conftest.py`. Python warns of them when they are thrown away, which may be in a later test. In quick
tests that warning is an error (pyproject.toml). Tests against the lab go on, so that a test of minutes is not lost, and
the run as a whole fails at its end. `python -X tracemalloc=20 -m pytest` says where each was opened; by its variable it
would slow down every process of the lab, too.
"""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator

import pytest

_OPEN = "unclosed "  # how Python's own warnings about sockets, files and event loops begin
_RUNNING = "is still running"  # about a process
_seen: list[str] = []


@pytest.fixture(autouse=True, scope="session")
def _nothing_is_open_at_the_end() -> Iterator[None]:
    """What the last tests left is thrown away while there is still a test that can fail."""
    yield
    gc.collect()


def pytest_warning_recorded(warning_message: warnings.WarningMessage, nodeid: str) -> None:
    """With several workers, in the process that reads their reports."""
    text = str(warning_message.message)
    is_left = issubclass(warning_message.category, ResourceWarning)
    if is_left or (issubclass(warning_message.category, pytest.PytestUnraisableExceptionWarning) and _is_open(text)):
        what = next((line.strip() for line in text.splitlines() if _is_open(line)), text)
        _seen.append(f"{nodeid or 'after the last test'}: {what}")


def _is_open(text: str) -> bool:
    return _OPEN in text or _RUNNING in text


def pytest_sessionfinish(session: pytest.Session) -> None:
    if _seen and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not _seen:
        return
    terminalreporter.section("left open", red=True)
    terminalreporter.line("Noticed during these tests, and left by them or by earlier ones of the same worker:")
    for line in _seen:
        terminalreporter.line(f"  {line}")
    terminalreporter.line("`python -X tracemalloc=20 -m pytest …` says where each was opened. This fails the run.")
