"""Golden files: what a command prints, kept beside the tests. `pytest --accept` rewrites them; review the difference.

Use as a plugin (`pytest_plugins = ["tests.golden_files"]` in conftest.py) and call `assert_golden` from tests.
"""

from __future__ import annotations

from pathlib import Path

import pytest

GOLDEN = Path(__file__).parent / "golden"
_state = {"accept": False}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--accept", action="store_true", default=False, help="rewrite golden files with what was made")


def pytest_configure(config: pytest.Config) -> None:
    _state["accept"] = bool(config.getoption("--accept", default=False))


def assert_golden(path: str | Path, text: str) -> None:
    """Compare `text` with tests/golden/`path`; with --accept write it there instead."""
    file = GOLDEN / path
    if _state["accept"]:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return
    assert file.exists(), f"{file} is missing; run pytest --accept"
    assert text == file.read_text(encoding="utf-8"), f"{file} differs; run pytest --accept and review the difference"
