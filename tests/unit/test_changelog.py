"""The fragments of changelog.d are named so that towncrier takes them all."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["towncrier"]
KINDS = [kind["directory"] for kind in SETTINGS["type"]]
NAME = re.compile(rf"(\+[a-z0-9-]+|\d+)\.({'|'.join(KINDS)})(\.\d+)?\.md")


def wrong_names(names: list[str]) -> list[str]:
    return [name for name in names if name not in SETTINGS["ignore"] and not NAME.fullmatch(name)]


def test_every_fragment_has_a_topic_and_a_kind() -> None:
    assert wrong_names([path.name for path in (ROOT / "changelog.d").iterdir()]) == []


def test_a_wrong_name_is_seen() -> None:
    wrong = ["setup.added.md", "+setup.improved.md", "+setup.md", "+set up.added.md", "+setup.added.txt"]
    assert wrong_names([*wrong, "README.md", "+setup.added.md", "12.fixed.1.md"]) == wrong


def test_every_fragment_says_something_in_plain_sentences() -> None:
    for path in (ROOT / "changelog.d").glob("*.*.md"):
        text = path.read_text()
        assert text.strip()
        assert not text.startswith(("-", "*", "#")), f"{path.name}: no list marks, no heading"
