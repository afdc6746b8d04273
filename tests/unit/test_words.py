"""Names say what they hold: no variable, parameter, field or function has one of the words that say nothing.

docs/glossary.md has the terms. A name that is made of several words may hold one of these (`kept_buckets`).
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PRODUCT = ("meshctl", "meshwire", "providers", "stacks")
EMPTY_WORDS = {
    "asked",
    "found",
    "here",
    "held",
    "kept",
    "known",
    "let_go",
    "said",
    "saved",
    "settled",
    "spared",
    "there",
    "told",
}
FILES = [path for folder in PRODUCT for path in sorted((ROOT / folder).rglob("*.py"))]


def empty_names(source: str) -> list[str]:
    """`LINE: NAME` for each name that is bound in the source and says nothing."""
    return [
        f"{line}: {name}" for line, name in sorted(bound_names(ast.parse(source))) if name.strip("_") in EMPTY_WORDS
    ]


def bound_names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_names_say_what_they_hold(path: Path) -> None:
    assert empty_names(path.read_text()) == [], "see docs/glossary.md, names in code"


def test_an_empty_name_is_seen_wherever_it_is_bound() -> None:
    source = """
class Pod:
    told: str
def found(there, *, said=1):
    kept, _held = there
    for known in kept: pass
    with open(there) as here: pass
    return [asked for asked in kept]
found_pods = kept_buckets = 1
"""
    assert [name.split()[1] for name in empty_names(source)] == [
        "told", "found", "said", "there", "_held", "kept", "known", "here", "asked"
    ]  # fmt: skip
