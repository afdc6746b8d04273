"""What kind of tests a folder has: asked by the plugins that hold all tests to something, or only the quick ones."""

from __future__ import annotations

from pathlib import Path

TESTS = Path(__file__).parent
_WITH_A_LAB = (TESTS / "integration", TESTS / "faults")


def in_a_lab(test_file: Path) -> bool:
    """Whether the file's tests run against the lab, and take minutes."""
    return any(test_file.is_relative_to(folder) for folder in _WITH_A_LAB)
