"""What every test can use or is held to: time limits, nothing left behind, golden files (`--accept` renews them), and
the lab, started once for a run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from meshctl import secret_variables

pytest_plugins = ["tests.time_limits", "tests.left_behind", "tests.golden_files", "tests.lab_fixture"]

LAB_FOLDERS = tuple(Path(__file__).parent / name for name in ("integration", "faults"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Warnings are errors (pyproject.toml) where a test fails in seconds. A warning of the Pulumi or AWS SDK, on some
    interpreter to come, does not end a test that takes minutes: it is listed."""
    for item in items:
        if any(item.path.is_relative_to(folder) for folder in LAB_FOLDERS):
            item.add_marker(pytest.mark.filterwarnings("default"))


@pytest.fixture(autouse=True)
def _path_of_a_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each `Session` puts this installation's programs first in PATH, as a process that works on one mesh may."""
    monkeypatch.setenv("PATH", os.environ.get("PATH", os.defpath))


@pytest.fixture(autouse=True)
def _no_secrets_of_another_test() -> Iterator[None]:
    yield
    secret_variables.forget()
