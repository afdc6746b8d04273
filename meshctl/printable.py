"""Text with nothing in it that a terminal would act on, or that a person can't see. PURE.

Names, values, paths and what a cluster says come from others: a control character can move the cursor over what was
printed before it, and a mark of right-to-left writing shows a name as another one. Such characters are shown as their
number, `\\u202e`, which is how JSON writes them too. Used by `cli.streams` for all output, and wherever a text of
others becomes a part of one line of ours.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_ASCII_ELSE: Final = re.compile(r"[^\n\x20-\x7e]")
_LINE_ELSE: Final = re.compile(r"[^\x20-\x7e]")
# control, format (bidirectional marks, zero width), surrogate, private, unassigned; separators of lines and paragraphs
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def escaped(text: str) -> str:
    """The text with its line ends, and all else that can't be printed as a number."""
    return _ASCII_ELSE.sub(_shown, text)


def one_line(text: str) -> str:
    """As `escaped`, in one line: line ends are shown as numbers too, since they are not ours."""
    return _LINE_ELSE.sub(_shown, text)


def _shown(found: re.Match[str]) -> str:
    character = found[0]
    if unicodedata.category(character) not in _UNSEEN:
        return character
    number = ord(character)
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"
