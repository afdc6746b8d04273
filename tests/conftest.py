"""What every test can use, and what holds for every test.

Golden files (`--accept` renews them), the lab and an API server (each started once for a worker), and parts of a run
(`--shard 1/4`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from meshctl import secret_variables

pytest_plugins = ["tests.golden_files", "tests.lab_fixture", "tests.plane_fixture", "tests.shards"]
_PYTESTS_OWN = ("PYTEST_CURRENT_TEST",)


@pytest.fixture(autouse=True)
def _no_secrets_of_another_test() -> Iterator[None]:
    yield
    secret_variables.forget()


@pytest.fixture(autouse=True)
def _environment_of_each_test() -> Iterator[None]:
    """What the program itself sets in its process (`PATH`) or takes out of it (secrets) is gone with the test."""
    before = _environment()
    yield
    _put_back(before)


@pytest.fixture(autouse=True, scope="module")
def _environment_of_each_file() -> Iterator[None]:
    """A fixture that several tests share may not set variables either: the next file's tests would see them."""
    before = _environment()
    yield
    after = _environment()
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    _put_back(before)
    assert not changed, f"the tests of this file leave other variables behind: {sorted(changed)}"


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in _PYTESTS_OWN}


def _put_back(variables: dict[str, str]) -> None:
    for name in _environment().keys() - variables.keys():
        del os.environ[name]
    os.environ.update(variables)
