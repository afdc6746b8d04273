"""Functions have at most 40 lines and files at most 400; files that are longer are listed with their lengths.

A function is counted from its docstring on: the options of a command are in its signature.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
PRODUCT = ("meshctl", "meshwire", "meshrag", "providers", "stacks", "templates", "examples", "tools")
MOST_LINES_OF_A_FUNCTION = 40
MOST_LINES_OF_A_FILE = 400

# How long they are today. When one gets shorter, its number is lowered; a change that raises or adds one says why.
LONG_FILES: Mapping[str, int] = {
    "meshctl/platforms/interface.py": 445,
    "meshctl/render/cluster/platform.py": 434,
    "meshctl/resolve/placement/machine_types/machines.py": 403,
    "meshctl/resolve/work/workloads.py": 416,
    "templates/gang_hold/gangs.py": 415,
    "tests/contract/test_aws_provider.py": 430,
    "tests/contract/test_kubernetes_provider.py": 416,
    "tests/integration/test_lab_eks_refusals.py": 582,
    "tests/unit/meshwire/test_kubernetes_client.py": 560,
    "tests/unit/migrate/fake_gateway.py": 538,
    "tests/unit/migrate/test_expansion.py": 422,
    "tests/unit/migrate/test_expansion_by_gateway.py": 508,
    "tests/unit/migrate/test_migration.py": 439,
    "tests/unit/platforms/test_contract.py": 402,
    "tests/unit/providers/test_kubernetes.py": 498,
    "tests/unit/render/test_gang_program.py": 401,
    "tests/unit/render/test_render_platform.py": 416,
    "tests/unit/resolve/test_resolve_rules.py": 523,
    "tests/unit/shift/test_shift.py": 596,
}


def function_lengths(source: str) -> dict[str, int]:
    """By name, with the names of the classes and functions around it."""
    return dict(_lengths(ast.parse(source), ""))


def _lengths(node: ast.AST, prefix: str) -> list[tuple[str, int]]:
    lengths = []
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            lengths += _lengths(child, prefix)
            continue
        name = f"{prefix}{child.name}"
        if not isinstance(child, ast.ClassDef):
            lengths.append((name, (child.end_lineno or 0) - child.body[0].lineno + 1))
        lengths += _lengths(child, f"{name}.")
    return lengths


def differences(lengths: Mapping[str, int], listed: Mapping[str, int], most: int) -> list[str]:
    """What is longer than it may be, and what has got shorter than the list says."""
    too_long = [
        f"{name} has {lines} lines, {listed.get(name, most)} are allowed: split it"
        for name, lines in lengths.items()
        if lines > max(most, listed.get(name, most))
    ]
    shorter = [
        f"{name} has {lengths.get(name, 0)} lines, {lines} are listed: {_instead(lengths.get(name, 0), most)}"
        for name, lines in listed.items()
        if lengths.get(name, 0) < lines
    ]
    return too_long + shorter


def _instead(lines: int, most: int) -> str:
    return "lower the number" if lines > most else "remove it from the list"


def sources(*folders: str) -> dict[str, str]:
    paths = (path for folder in folders for path in sorted((ROOT / folder).rglob("*.py")))
    return {str(path.relative_to(ROOT)): path.read_text() for path in paths}


def test_functions_are_short() -> None:
    """Of the product. A test may be a long story."""
    lengths = {
        f"{file}:{name}": lines
        for file, source in sources(*PRODUCT).items()
        for name, lines in function_lengths(source).items()
    }
    assert differences(lengths, {}, MOST_LINES_OF_A_FUNCTION) == []


def test_files_are_short() -> None:
    lengths = {file: len(source.splitlines()) for file, source in sources(*PRODUCT, "tests").items()}
    assert differences(lengths, LONG_FILES, MOST_LINES_OF_A_FILE) == []


def test_a_function_is_counted_without_its_signature() -> None:
    source = '''
class Pod:
    def start(
        self,
        name: str,
    ) -> None:
        """Starts."""

        def inner():
            return 1
        inner()
if True:
    async def run():
        pass
'''
    assert function_lengths(source) == {"Pod.start": 5, "Pod.start.inner": 1, "run": 1}


def test_what_grows_or_shrinks_is_seen() -> None:
    assert differences({"a": 40, "b": 45}, {"b": 45}, 40) == []
    assert differences({"a": 41}, {}, 40) == ["a has 41 lines, 40 are allowed: split it"]
    assert differences({"b": 46}, {"b": 45}, 40) == ["b has 46 lines, 45 are allowed: split it"]
    assert differences({"b": 44}, {"b": 45}, 40) == ["b has 44 lines, 45 are listed: lower the number"]
    assert differences({}, {"b": 45}, 40) == ["b has 0 lines, 45 are listed: remove it from the list"]
