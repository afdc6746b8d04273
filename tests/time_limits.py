"""Every test ends: it has a time limit, and a test that reaches it leaves none of its processes behind.

A plugin of `tests/conftest.py`, on top of pytest-timeout with its signal method: the limit is raised inside the test,
so that fixtures are still torn down (the thread method ends the whole run and leaves the lab running). A test that
needs longer than its folder says so with `@pytest.mark.timeout(seconds)`. If not even the signal gets through, because
a C library doesn't return, `faulthandler_timeout` in pyproject.toml ends the run and shows where it stood.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

import psutil
import pytest

HERE = Path(__file__).parent
# Limits for hangs, not for slowness: a multiple of what the slowest test of the folder takes on a busy machine. A
# fixture counts as part of the first test that needs it, and those of the last two folders take minutes.
LIMIT_S = {"unit": 120, "contract": 300, "integration": 900, "faults": 900}
EXHAUSTIVE_S = 3600  # of what `nox -s faults` runs: dozens of stops and repairs in one test
_SETTINGS = pytest.StashKey[Any]()
_OLDER_CHILDREN = pytest.StashKey[set[int]]()


def pytest_configure() -> None:
    """Take Ctrl-C as in a terminal, and let child processes do so.

    A shell that isn't interactive starts background jobs with SIGINT ignored, and every child inherits that: a test
    that interrupts a child would wait for ever.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("timeout") is None and item.path.is_relative_to(HERE):
            is_exhaustive = item.get_closest_marker("exhaustive") is not None
            item.add_marker(pytest.mark.timeout(limit_s(item.path, is_exhaustive=is_exhaustive)))


def limit_s(path: Path, *, is_exhaustive: bool) -> int:
    """Of a test of this file, unless it has a limit of its own."""
    folder = path.relative_to(HERE).parts[0]
    return EXHAUSTIVE_S if is_exhaustive else LIMIT_S.get(folder, LIMIT_S["unit"])


@pytest.hookimpl(wrapper=True)
def pytest_timeout_set_timer(item: pytest.Item, settings: Any) -> Generator[None, object, object]:
    """At the limit, first end the processes that the test started: cleaning up after it may wait for them."""
    item.stash[_SETTINGS] = settings
    item.stash.setdefault(_OLDER_CHILDREN, children())
    result = yield
    fail = signal.getsignal(signal.SIGALRM)

    def at_the_limit(number: int, frame: FrameType | None) -> None:
        end_children(older=item.stash[_OLDER_CHILDREN])
        assert callable(fail)
        fail(number, frame)

    if callable(fail):
        signal.signal(signal.SIGALRM, at_the_limit)
    return result


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """What fixtures started by now is theirs to end."""
    item.stash[_OLDER_CHILDREN] = children()
    yield


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, None, None]:
    """Tearing down has a limit of its own: pytest-timeout stops its timer when a test has failed."""
    if _SETTINGS in item.stash:
        item.ihook.pytest_timeout_set_timer(item=item, settings=item.stash[_SETTINGS])
    yield


def children() -> set[int]:
    """The process ids of this process's direct children."""
    if sys.platform != "linux":
        return {child.pid for child in psutil.Process().children()}
    found: set[int] = set()
    for file in Path("/proc/self/task").glob("*/children"):  # a hundredth of the time that psutil takes to look at all
        with suppress(OSError):  # the thread has ended
            found.update(map(int, file.read_text().split()))
    return found


def end_children(*, older: set[int]) -> None:
    """Kill the children that are not among the older ones, with all that those started."""
    for pid in children() - older:
        try:
            newer = psutil.Process(pid)
            family = [newer, *newer.children(recursive=True)]
        except psutil.NoSuchProcess:
            continue
        for process in family:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
