"""No name, docstring or message has a word that docs/glossary.md sets aside; `nox -s lint` runs this file.

The column "not" of the glossary says which: in code font as a name, in italics in a text. What Python or a persisted
document prescribes is allowed below.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PRODUCT = ("meshctl", "meshwire", "meshrag", "providers", "stacks", "templates", "tools")
FILES = [path for folder in PRODUCT for path in sorted((ROOT / folder).rglob("*.py"))]
PAGES = [
    path for path in sorted((ROOT / "docs").rglob("*.md")) if path.name != "glossary.md" and "adr" not in path.parts
]
GLOSSARY = (ROOT / "docs" / "glossary.md").read_text()

# (file, word) -> why it stands there.
IN_PODS = "a part of the objects that are up: another text would change them with the next `up`"
ALLOWED = {
    ("templates/gang_hold/gang_hold.py", "said"): IN_PODS,
    ("templates/gang_hold/gangs.py", "held"): IN_PODS,
    ("templates/gang_hold/gangs.py", "there"): IN_PODS,
    ("templates/scaler/scaler.py", "said"): IN_PODS,
}


@dataclass(frozen=True)
class Words:
    """What is used for nothing: names as they are, words of a text in lower case."""

    names: frozenset[str]
    texts: frozenset[str]


def words_of(glossary: str) -> Words:
    """The words of the column "not" of each table, and of the first rule of the names in code."""
    columns = [row.split(" | ")[2].removesuffix("|") for row in glossary.splitlines() if row.count(" | ") == 2]
    rule = re.search(r"^- A variable is called after what it holds: .*; not (.*)\.$", glossary, re.MULTILINE)
    assert rule, "the glossary has no longer the rule for variables"
    marked = " ".join([*columns, rule[1]])
    return Words(frozenset(re.findall(r"`([^`]+)`", marked)), frozenset(re.findall(r"\*([^*]+)\*", marked)))


WORDS = words_of(GLOSSARY)


def findings(source: str, words: Words) -> list[tuple[int, str]]:
    """The line and the word of each name that is bound, and of each docstring or other string, with such a word."""
    tree = ast.parse(source)
    names = [(line, name.strip("_")) for line, name in bound_names(tree) if name.strip("_") in words.names]
    texts = [(line, word) for line, text in strings(tree) for word in words_in(text, words)]
    return sorted([*names, *texts])


def bound_names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name


def strings(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Docstrings, messages, and the fixed parts of formatted ones."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def words_in(text: str, words: Words) -> list[str]:
    """In singular, plural, or the form in -d or -ing, also across the end of a line."""
    plain = re.sub(r"\s+", " ", text)
    return [
        word
        for word in sorted(words.texts)
        if re.search(rf"(?<![\w-])({word}|{word.capitalize()})(s|d|ing)?(?![\w-])", plain)
    ]


def test_names_and_texts_use_the_words_of_the_glossary() -> None:
    problems = []
    for path in FILES:
        file = str(path.relative_to(ROOT))
        if path.stem in WORDS.names:
            problems.append(f"{file}: the module's name")
        seen = findings(path.read_text(), WORDS)
        problems += [f"{file}:{line}: {word}" for line, word in seen if (file, word) not in ALLOWED]
    assert problems == [], "see docs/glossary.md"


def test_pages_use_the_words_of_the_glossary() -> None:
    problems = [
        f"{path.relative_to(ROOT)}: {word}"
        for path in PAGES
        for word in words_in(path.read_text(), WORDS)
        if (str(path.relative_to(ROOT)), word) not in ALLOWED
    ]
    assert problems == [], "see docs/glossary.md"


def test_everything_allowed_is_still_used() -> None:
    used = {
        (str(path.relative_to(ROOT)), word)
        for path in [*FILES, *PAGES]
        for word in (
            words_in(path.read_text(), WORDS)
            if path.suffix == ".md"
            else [word for _, word in findings(path.read_text(), WORDS)]
        )
    }
    assert set(ALLOWED) - used == set()


def test_the_glossary_says_which_words() -> None:
    text = """
| term | meaning | not |
|---|---|---|
| excluded | left alone | `spared`, *spared* |
| lock | a file | held |
| row | one resource | |
- A variable is called after what it holds: `pods`; not `found`, `told`.
"""
    assert words_of(text) == Words(frozenset({"spared", "found", "told"}), frozenset({"spared"}))
    assert {"found", "let_go", "here"} <= WORDS.names
    assert {"late value", "let go"} <= WORDS.texts


def test_a_word_is_seen_wherever_a_name_is_bound() -> None:
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
    assert [word for _, word in findings(source, WORDS)] == [
        "told", "found", "said", "there", "held", "kept", "known", "here", "asked"
    ]  # fmt: skip


@pytest.mark.parametrize(
    "source",
    [
        '"""Gives the late value."""',
        '"""Gives the late\n    values."""',
        'raise ValueError("the late value is missing")',
        'print(f"{name}: late values {count}")',
    ],
)
def test_a_word_is_seen_in_every_text(source: str) -> None:
    assert [word for _, word in findings(source, WORDS)] == ["late value"]


def test_other_words_are_not_taken_for_it() -> None:
    assert findings('"""Later values; translate values; late-value; let Go build it."""', WORDS) == []
