"""What meshctl and its providers must agree on is written once, in `meshwire`, and both sides take it from there."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from meshwire import marks, versions

ROOT = Path(__file__).parents[3]
OURS = ("meshctl", "stacks")
THEIRS = ("providers",)
MARKS = {name: value for name, value in vars(marks).items() if name.isupper()}
# Words that are also used for other things; of these the imports below must do.
COMMON_WORDS = {marks.UNANSWERED, marks.OTHER_ID}
SPELLED_ONCE = sorted({*MARKS.values(), versions.PULUMI, versions.KUBERNETES_PLUGIN} - COMMON_WORDS)


def syntax_trees(folders: tuple[str, ...]) -> dict[str, ast.Module]:
    return {name: tree for folder in folders for name, tree in _trees_of(folder).items()}


@cache
def _trees_of(folder: str) -> dict[str, ast.Module]:
    files = sorted((ROOT / folder).rglob("*.py"))
    return {str(path.relative_to(ROOT)): ast.parse(path.read_text()) for path in files}


def docstrings(tree: ast.Module) -> set[int]:
    """The ids of the nodes of bare strings: docstrings, of modules and functions as of constants."""
    return {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}


def literals(tree: ast.Module) -> Iterator[ast.Constant]:
    skipped = docstrings(tree)
    return (
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped
    )


@cache
def texts() -> list[tuple[str, str]]:
    """Each string of the code, after its place."""
    trees = syntax_trees(OURS + THEIRS)
    return [(f"{file}:{node.lineno}", str(node.value)) for file, tree in trees.items() for node in literals(tree)]


@cache
def imported(folders: tuple[str, ...]) -> set[str]:
    """The names that modules below the folders take from `meshwire`, like `marks.OWNER_TAG`."""
    names: set[str] = set()
    for tree in syntax_trees(folders).values():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "meshwire":
                module = (node.module or "").removeprefix("meshwire").lstrip(".")
                names |= {f"{module}.{alias.name}".lstrip(".") for alias in node.names}
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                names.add(f"{node.value.id}.{node.attr}")
    return names


@pytest.mark.parametrize("value", SPELLED_ONCE)
def test_an_agreed_value_is_spelled_in_meshwire_only(value: str) -> None:
    spelled_again = [place for place, text in texts() if value in text]
    assert not spelled_again, "import it from meshwire"


@pytest.mark.parametrize("name", [*(f"marks.{name}" for name in MARKS), "versions.KUBERNETES_PLUGIN"])
def test_both_sides_take_an_agreed_value_from_meshwire(name: str) -> None:
    assert name in imported(OURS)
    assert name in imported(THEIRS)


def test_what_cannot_import_names_the_same_versions() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert f"pulumi=={versions.PULUMI}" in project["project"]["dependencies"]
    assert f"pulumi-kubernetes=={versions.KUBERNETES_PLUGIN}" in project["dependency-groups"]["dev"]
    required = re.findall(r"pulumi/(?:sdk|pkg)/v3 v(\S+)", (ROOT / "tools" / "pulumi" / "go.mod").read_text())
    assert set(required) == {versions.PULUMI}
    assert f"pulumi-v{versions.PULUMI}-" in (ROOT / "docs" / "cli.md").read_text()


def test_every_package_of_the_product_is_in_the_wheel() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packaged = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert {"meshctl", "stacks", "providers", "meshwire"} <= set(packaged)
