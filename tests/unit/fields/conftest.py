"""What the tests of this folder share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of all cases: `sample.unchanged` reads the sample once for each folder."""
    return tmp_path_factory.mktemp("fields")
