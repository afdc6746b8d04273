"""What the checks of mesh.yaml and environments.yaml are made of: problems, and reading files of any shape. PURE.

Used by `references`, `environment_references`, `texts` and `messages`, and by platforms for their own sections. The
checks run on parsed files that may not be valid: a value of the wrong shape reads as empty, since validation reports
it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from typing import Any

Path = tuple[str | int, ...]  # the keys and places in lists that lead to a value of the file
Problem = tuple[Path, str]  # where, and the message


def suggestion(name: object, names: Iterable[str]) -> str:
    """`; did you mean "backend"?`, or nothing when no known name is near."""
    near = difflib.get_close_matches(str(name), list(names), n=1, cutoff=0.6)
    return f'; did you mean "{near[0]}"?' if near else ""


def missing(path: Path, kind: str, name: object, names: Iterable[str]) -> Iterator[Problem]:
    """A problem at `path` if `name` is none of `names`, with the nearest of them. `kind`: what they are names of."""
    names = [str(item) for item in names]
    if isinstance(name, str) and name not in names:
        yield path, f'no {kind} named "{name}"{suggestion(name, names)}'


def items(document: dict[str, Any], section: str) -> list[tuple[str, dict[str, Any]]]:
    """The entries of a section that are mappings themselves, with their names."""
    entries = mapping(document.get(section)).items()
    return [(name, entry) for name, entry in entries if isinstance(name, str) and isinstance(entry, dict)]


def mapping(value: object) -> dict[str, Any]:
    """The value if it is a mapping, else an empty one."""
    return value if isinstance(value, dict) else {}
