"""Golden files: what a command prints, kept beside the tests. `pytest -m golden --accept` renews them all; read the
difference before you commit it.

A plugin of `tests/conftest.py`. A test asks for the fixture `golden` and calls it: `golden("check/example.txt", text)`,
or `golden.json(path, document)`. That gives it the marker `golden`, by which `nox -s golden` finds it.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "golden"
JSON_WIDTH = 120


class Golden:
    """Compares texts with the files of a folder, or writes them there."""

    def __init__(self, folder: Path, *, accept: bool) -> None:
        self._folder = folder
        self._accept = accept

    def __call__(self, path: str | Path, text: str) -> None:
        """Compare `text` with the golden file at `path`; with --accept write it there instead."""
        file = self._folder / path
        if self._accept:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
            return
        assert file.exists(), f"{file} is missing; run `nox -s golden -- --accept`"
        same = text == file.read_text(encoding="utf-8")
        assert same, f"{file} differs; run `nox -s golden -- --accept` and read the difference"

    def json(self, path: str | Path, document: object) -> None:
        """The same for a JSON document, laid out to be read: whatever fits into a line stands in one."""
        self(path, _laid_out(document, "") + "\n")


def _laid_out(value: object, indent: str) -> str:
    in_one_line = json.dumps(value)
    if len(indent) + len(in_one_line) <= JSON_WIDTH or not isinstance(value, dict | list) or not value:
        return in_one_line
    deeper = indent + "  "
    if isinstance(value, dict):
        entries = [f"{deeper}{json.dumps(key)}: {_laid_out(entry, deeper)}" for key, entry in value.items()]
    else:
        entries = [f"{deeper}{_laid_out(entry, deeper)}" for entry in value]
    opened, closed = "{}" if isinstance(value, dict) else "[]"
    return f"{opened}\n" + ",\n".join(entries) + f"\n{indent}{closed}"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--accept", action="store_true", default=False, help="rewrite golden files with what was made")
    parser.addoption("--golden-folder", type=Path, default=FOLDER, help="where golden files are; default: tests/golden")


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses by marker
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "golden" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.golden)


@pytest.fixture(scope="session")
def golden(request: pytest.FixtureRequest) -> Golden:
    return Golden(request.config.getoption("--golden-folder"), accept=request.config.getoption("--accept"))
