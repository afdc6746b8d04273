"""Every controller of the lab is started, is checked for being idle, and is in the docs."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "meshctl" / "lab" / "controllers"


def functions(path: Path) -> set[str]:
    return {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.AsyncFunctionDef)}


CONTROLLERS = sorted(path.stem for path in FOLDER.glob("*.py") if "play" in functions(path))


def test_the_controllers_are_seen() -> None:
    assert {"eks", "coreweave", "onprem", "volumes"} <= set(CONTROLLERS)


@pytest.mark.parametrize("name", CONTROLLERS)
def test_a_controller_is_started(name: str) -> None:
    assert f"{name}.play" in (FOLDER / "__main__.py").read_text(), f"nothing in controllers/__main__.py starts {name}"


@pytest.mark.parametrize("name", CONTROLLERS)
def test_a_controller_is_checked_for_being_idle(name: str) -> None:
    text = Path(__file__).with_name("test_controllers_idle.py").read_text()
    assert f"{name}.play(" in text, f"{name} is missing in test_controllers_idle.py"


@pytest.mark.parametrize("name", CONTROLLERS)
def test_a_controller_is_in_the_docs(name: str) -> None:
    assert f"`{name}`" in (ROOT / "docs" / "lab.md").read_text(), f"docs/lab.md has no row for the controller {name}"
