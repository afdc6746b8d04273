"""What every test can use.

Golden files (`--accept` renews them), the lab and an API server (each started once for a worker), and parts of a run
(`--shard 1/4`).
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from meshctl import secret_variables

pytest_plugins = ["tests.golden_files", "tests.lab_fixture", "tests.plane_fixture", "tests.shards"]


@pytest.fixture(autouse=True)
def _no_secrets_of_another_test() -> Iterator[None]:
    yield
    secret_variables.forget()
