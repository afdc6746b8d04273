"""A module that says PURE in its first lines imports nothing that asks: no clock, randomness, environment or network.

Without exceptions of its own ("PURE but for …"), that is. The packages of the core are held to it as a whole, also
through what they import, by a contract of import-linter ("the core is pure").
"""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import Final

ROOT = Path(__file__).parents[3]
PACKAGES: Final = ("meshctl", "stacks", "providers", "meshwire", "meshrag")
ASKING: Final = frozenset(
    {
        *("boto3", "botocore", "obstore", "pulumi", "grpc", "httpx2"),
        *("os", "secrets", "random", "socket", "subprocess", "threading", "time", "uuid"),
    }
)
CLOCK: Final = frozenset({"now", "today", "utcnow"})  # of `datetime`, whose types ask nothing
# What these import is a type, or a function from values to values.
ONLY_TYPES: Final = {
    "meshctl/clients/aws/aws_errors.py": "botocore",  # the classes of its errors
    "meshctl/lab/images/foreign_registries.py": "botocore",  # the models of its package
    "meshctl/lab/load_failures.py": "httpx2",  # the classes of its errors
    "meshctl/migrate/views/summary.py": "time",  # seconds since 1970 as text
    "meshctl/shift/views.py": "time",  # the same
    "providers/aws/rows_engine/checks.py": "botocore",  # its validation of parameters
    "providers/aws/rows_engine/lint.py": "botocore",  # the models of its package
}
_PURE: Final = re.compile(r"\bPURE\b(?!,?\s+(?:but|apart|except)\b)")


@cache
def pure_modules() -> dict[str, str]:
    """The source of each, by its path."""
    paths = (path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py")))
    sources = {path.relative_to(ROOT).as_posix(): path.read_text() for path in paths}
    return {name: source for name, source in sources.items() if says_pure(ast.get_docstring(ast.parse(source)) or "")}


def says_pure(docstring: str) -> bool:
    beginning = docstring.partition("\n\n")[0]
    return bool(_PURE.search(beginning)) and "EDGE" not in beginning


def asked_by(source: str) -> set[str]:
    """What of ASKING the source imports, and `datetime` where it reads the clock."""
    asked: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            asked |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            asked.add(node.module.partition(".")[0])
        elif isinstance(node, ast.Attribute) and node.attr in CLOCK and _is_datetime(node.value):
            asked.add("datetime.now")
    return asked & {*ASKING, "datetime.now"}


def _is_datetime(node: ast.expr) -> bool:
    return (isinstance(node, ast.Name) and node.id in ("datetime", "date")) or (
        isinstance(node, ast.Attribute) and node.attr in ("datetime", "date")
    )


def test_what_says_pure_asks_nothing() -> None:
    wrong = {}
    for name, source in pure_modules().items():
        asked = asked_by(source) - {ONLY_TYPES.get(name)}
        if asked:
            wrong[name] = sorted(asked)
    assert wrong == {}, "say `EDGE` or `PURE but for …` in its first lines, or give it what it asks for as an argument"


def test_the_exceptions_are_pure_modules_that_import_it() -> None:
    assert ONLY_TYPES.keys() <= pure_modules().keys()
    assert all(asked in asked_by(pure_modules()[name]) for name, asked in ONLY_TYPES.items())


def test_what_is_looked_for() -> None:
    assert asked_by("import os.path\nfrom time import sleep\nimport datetime") == {"os", "time"}
    assert asked_by("from datetime import datetime\ndef f(): return datetime.now()") == {"datetime.now"}
    assert asked_by("import datetime\ndatetime.date.today()") == {"datetime.now"}
    assert not asked_by("from . import time\nimport timeit\nclock.now()")
    for line, is_pure in {
        "Words. PURE.": True,
        "Words (PURE).": True,
        "A type. PURE: no library.": True,
        "Reads. PURE but for the clock.": False,
        "Reads. PURE, but\nfor the clock.": False,
        "Reads. EDGE.": False,
        "Reads. EDGE but for `text` (PURE).": False,
    }.items():
        assert says_pure(f"{line}\n\nMore.") is is_pure
