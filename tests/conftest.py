"""What every test can use or is held to: time limits, golden files (`--accept` renews them), and the lab, started once
for a run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from meshctl import secret_variables

pytest_plugins = ["tests.time_limits", "tests.golden_files", "tests.lab_fixture"]


@pytest.fixture(autouse=True)
def _no_secrets_of_another_test() -> Iterator[None]:
    yield
    secret_variables.forget()
