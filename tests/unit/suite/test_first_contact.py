"""Each finding of `first_contact` has tests, and they are there and say which finding they are for."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.unit.suite.first_contact import FAULTS, FINDINGS, REFUSALS

ROOT = Path(__file__).parents[3]


@cache
def texts_of_tests(path: str) -> dict[str, str]:
    """Test's name, with its class -> its name and what its own docstring says."""
    module = ast.parse((ROOT / path).read_text())
    texts = {}
    owners: list[ast.Module | ast.ClassDef] = [
        module,
        *(node for node in module.body if isinstance(node, ast.ClassDef)),
    ]
    for owner in owners:
        prefix = f"{owner.name}::" if isinstance(owner, ast.ClassDef) else ""
        for node in owner.body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                words = (node.name.replace("_", " "), ast.get_docstring(node) or "")
                texts[prefix + node.name] = " ".join(words)
    return texts


@pytest.mark.parametrize(
    ("finding", "test_id"), [(finding, test_id) for finding, ids in FINDINGS.items() for test_id in ids]
)
def test_a_test_of_a_finding_is_there_and_names_it(finding: str, test_id: str) -> None:
    path, _, name = test_id.partition("::")
    assert name in texts_of_tests(path)
    assert re.search(rf"\b{finding}\b", texts_of_tests(path)[name], re.IGNORECASE)


@pytest.mark.parametrize("test_id", sorted({each for ids in (*REFUSALS.values(), *FAULTS.values()) for each in ids}))
def test_a_test_of_a_refusal_or_a_fault_is_there(test_id: str) -> None:
    path, _, name = test_id.partition("::")
    assert name in texts_of_tests(path)


def test_no_finding_and_no_refusal_is_without_tests() -> None:
    assert {*FINDINGS} == {*(f"A{number}" for number in range(1, 15)), *(f"B{number}" for number in range(2, 12))}
    assert all(FINDINGS.values())
    assert len(REFUSALS) == 9
    assert all(REFUSALS.values())
    assert all(FAULTS.values())
