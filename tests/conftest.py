"""What every test can use or is held to.

Time limits, nothing left behind, golden files (`--accept` renews them), the lab and an API server (each started once
for a worker), parts of a run (`--shard 1/4`), and what runs on which worker.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from meshctl import secret_variables
from tests.folders import in_a_lab

pytest_plugins = [
    "tests.time_limits",
    "tests.left_behind",
    "tests.left_open",
    "tests.order",
    "tests.shards",
    "tests.spread",
    "tests.golden_files",
    "tests.lab_fixture",
    "tests.plane_fixture",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Warnings are errors (pyproject.toml) where a test fails in seconds. A warning of the Pulumi or AWS SDK, on some
    interpreter to come, does not end a test that takes minutes: it is listed. What was left open is a failure of the
    whole run there (`tests.left_open`).
    """
    for item in items:
        if in_a_lab(item.path):
            item.add_marker(pytest.mark.filterwarnings("default"))


@pytest.fixture(autouse=True)
def _path_of_a_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each `Session` puts this installation's programs first in PATH, as a process that works on one mesh may."""
    monkeypatch.setenv("PATH", os.environ.get("PATH", os.defpath))


@pytest.fixture(autouse=True)
def _no_secrets_of_another_test() -> Iterator[None]:
    yield
    secret_variables.forget()
