"""Every test leaves this process as it found it: its environment variables, working folder and child processes.

A plugin of `tests/conftest.py`. What a test left is put back and fails that test, not one of those that follow: those
would pass or fail by the order in which they run. Fixtures of a module or of the session may change things for as long
as they live; what they leave fails their last test. Tests against the lab may leave
processes: the lab ends its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.folders import in_a_lab
from tests.time_limits import children, end_children

_OWN = {"PYTEST_CURRENT_TEST"}  # pytest's, of the phase that a test is in


@pytest.fixture(autouse=True)
def _nothing_of_a_test_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    older, folder = children(), Path.cwd()
    yield from _same_environment()
    if Path.cwd() != folder:
        os.chdir(folder)
        pytest.fail("the test left another working folder; use monkeypatch.chdir")
    if not in_a_lab(request.path) and (newer := children() - older):
        end_children(older=older)
        pytest.fail(f"the test left processes running: {sorted(newer)}")


@pytest.fixture(autouse=True, scope="module")
def _nothing_of_a_module_is_left() -> Iterator[None]:
    yield from _same_environment()


@pytest.fixture(autouse=True, scope="session")
def _nothing_of_the_session_is_left() -> Iterator[None]:
    yield from _same_environment()


def _same_environment() -> Iterator[None]:
    before = dict(os.environ)
    yield
    if changes := changed(before, os.environ):
        os.environ.clear()
        os.environ.update(before)
        pytest.fail(f"environment variables were changed and not put back: {', '.join(changes)}; use monkeypatch")


def changed(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    names = (before.keys() | after.keys()) - _OWN
    return sorted(name for name in names if before.get(name) != after.get(name))
