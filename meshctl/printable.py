"""Escapes characters that a terminal would interpret, or that a person can't see. PURE.

Names, values, paths and messages of clusters come from others. A control character can move the cursor over text that
was printed before it, and a right-to-left mark can make a name look like another one. Such characters are printed as
`\\u202e`, as in JSON. Used by `cli.streams` for all output, and wherever text of others becomes a part of one line.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_NOT_ASCII_OR_NEWLINE: Final = re.compile(r"[^\n\x20-\x7e]")
_NOT_ASCII: Final = re.compile(r"[^\x20-\x7e]")
# control, format (bidirectional marks, zero width), surrogate, private, unassigned; separators of lines and paragraphs
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def escaped(text: str) -> str:
    """The text with its line ends, in which every other unprintable character is escaped."""
    return _NOT_ASCII_OR_NEWLINE.sub(_shown, text)


def one_line(text: str) -> str:
    """As `escaped`, but line ends are escaped, too, so that the text stays one line."""
    return _NOT_ASCII.sub(_shown, text)


def _shown(match: re.Match[str]) -> str:
    character = match[0]
    if unicodedata.category(character) not in _UNSEEN:
        return character
    number = ord(character)
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"
