"""How the objects of one provider differ from another's: what is read in tests/golden/render instead of all of them."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping

CONTEXT_LINES = 3


def differences(base: Mapping[str, str], other: Mapping[str, str]) -> str:
    """Both map an object's name to its text. In the order of `other`: what is new in whole, what changed as a unified
    diff; at the end the names of those that `other` lacks. Objects that are equal are left out."""
    parts = [part for name, text in other.items() for part in _difference(name, base.get(name, ""), text)]
    missing = [f"\n=== {name}: only in the other\n" for name in base if name not in other]
    return "".join([*parts, *missing])


def _difference(name: str, base: str, text: str) -> Iterator[str]:
    if text == base:
        return
    yield f"\n=== {name}{'' if base else ': new'}\n"
    if not base:
        yield text
        return
    lines = difflib.unified_diff(base.splitlines(), text.splitlines(), n=CONTEXT_LINES, lineterm="")
    for line in list(lines)[2:]:  # the two lines that would name the files
        yield f"{'@@' if line.startswith('@@') else line}\n"
