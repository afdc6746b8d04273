"""The how-tos of docs/contributing name a test for each step, and what no other test sees is looked at here."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import typer.main

from meshctl.cli.main import app
from meshctl.migrate.steps.order.step_plan import forward
from meshctl.model.pods import pod_variables
from meshctl.tools.table import TOOLS
from tests.faults.moved_mesh import POINTS
from tests.unit.migrate.fake_gateway import FakeGateway
from tests.unit.migrate.moves import OPTIONS, migrations_of

ROOT = Path(__file__).parents[3]
HOW_TOS = sorted((ROOT / "docs" / "contributing").glob("*.md"))


def steps_of(page: str) -> list[list[str]]:
    """The cells of each numbered row."""
    rows = [re.split(r"(?<!\\) \| ", row.strip("| ")) for row in re.findall(r"^\| \d+ \|.*$", page, re.MULTILINE)]
    return [[*row, ""][:4] for row in rows]


@pytest.mark.parametrize("page", HOW_TOS, ids=lambda page: page.stem)
def test_each_step_says_what_goes_red(page: Path) -> None:
    steps = steps_of(page.read_text())
    assert [" ".join(step[:2]) for step in steps if not step[3] and not step[1].startswith("`changelog.d")] == []


@pytest.mark.parametrize("page", HOW_TOS, ids=lambda page: page.stem)
def test_the_tests_that_it_names_are_there(page: Path) -> None:
    files = set(re.findall(r"tests/[\w/]+\.py", page.read_text()))
    assert [file for file in sorted(files) if not (ROOT / file).is_file()] == []


def test_a_step_without_a_test_is_seen() -> None:
    page = "| | file | what | red |\n| 1 | `a.py` | a row | `tests/a.py` |\n| 2 | `b.py` | a test | |\n"
    assert [step[3] for step in steps_of(page)] == ["`tests/a.py`", ""]


# commands ---------------------------------------------------------------------------------------------------------
def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        yield from commands(command, (*path, name)) if hasattr(command, "commands") else [(*path, name)]


@cache
def argument_lists(*folders: str, in_every_round: bool = False) -> frozenset[tuple[str, ...]]:
    """The texts that stand side by side in a call, list or tuple of any test of the folders.

    `in_every_round`: without what only `nox -s faults` runs.
    """
    trees = [ast.parse(file.read_text()) for folder in folders for file in (ROOT / folder).rglob("*.py")]
    nodes = chain.from_iterable(map(nodes_of_every_round if in_every_round else ast.walk, trees))
    return frozenset(texts for node in nodes for texts in argument_lists_of(node))


def argument_lists_of(node: ast.AST) -> Iterator[tuple[str, ...]]:
    parts = node.args if isinstance(node, ast.Call) else getattr(node, "elts", [])
    texts = [each.value for each in parts if isinstance(each, ast.Constant) and isinstance(each.value, str)]
    yield tuple(texts)
    yield from (tuple(text.split()) for text in texts if " " in text)


def nodes_of_every_round(node: ast.AST) -> Iterator[ast.AST]:
    """The node and all below it, but for what is marked `exhaustive`."""
    if is_exhaustive(node):
        return
    yield node
    for child in ast.iter_child_nodes(node):
        yield from nodes_of_every_round(child)


def is_exhaustive(node: ast.AST) -> bool:
    """By a decorator, or by the `pytestmark` of a file."""
    if isinstance(node, ast.Module):
        return any(isinstance(each, ast.Assign) and "mark.exhaustive" in ast.unparse(each.value) for each in node.body)
    return isinstance(node, ast.FunctionDef) and any("mark.exhaustive" in ast.unparse(m) for m in node.decorator_list)


def is_run(path: tuple[str, ...], lists: frozenset[tuple[str, ...]]) -> bool:
    return any(texts[start : start + len(path)] == path for texts in lists for start in range(len(texts)))


COMMANDS = list(commands(typer.main.get_command(app)))
# `lab` is what the lab's fixture runs, with arguments that it puts together
WITHOUT_ENVIRONMENT = {
    tuple(command.split())
    for command in ("schema", "blueprint list", "blueprint show", "lab up", "lab down", "lab status", "lab env")
}


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_is_run_by_a_test(path: tuple[str, ...]) -> None:
    assert is_run(path, argument_lists("tests")), f"no test runs `meshctl {' '.join(path)}`"


@pytest.mark.parametrize("path", sorted({*COMMANDS} - WITHOUT_ENVIRONMENT), ids=" ".join)
def test_every_command_is_run_against_the_lab_in_every_round(path: tuple[str, ...]) -> None:
    lists = argument_lists("tests/faults", "tests/integration", in_every_round=True)
    assert is_run(path, lists), f"only `nox -s faults` runs `meshctl {' '.join(path)}` against the lab, or nothing"


def test_what_only_the_exhaustive_round_runs_is_left_out() -> None:
    source = 'def test_a(): run("up")\n@pytest.mark.exhaustive\ndef test_b(): run("bench")\n'
    for source_of_file, expected in ((source, {("up",)}), (f"pytestmark = pytest.mark.exhaustive\n{source}", set())):
        nodes = nodes_of_every_round(ast.parse(source_of_file))
        assert {texts for node in nodes for texts in argument_lists_of(node) if texts} == expected


# external programs, steps of migrations, what containers can rely on -------------------------------------------------
def test_every_external_program_is_started_somewhere() -> None:
    texts = {
        node.value
        for file in (ROOT / "meshctl").rglob("*.py")
        if "tools" not in file.parts
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert [name for name in TOOLS if name not in texts] == []


def test_a_migration_is_killed_in_every_phase() -> None:
    plan = migrations_of(FakeGateway().begin()).plan("east", "west", OPTIONS)
    assert {step.phase for step in forward(plan)} - {point.partition(".")[0] for point in POINTS} == set()


def test_every_variable_of_a_container_is_documented() -> None:
    page = (ROOT / "docs" / "container.md").read_text()
    names = {value for value in vars(pod_variables).values() if isinstance(value, str) and value.startswith("MESH_")}
    assert [name for name in sorted(names - {pod_variables.PREFIX}) if name not in page] == []
