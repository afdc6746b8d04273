"""Standard output and standard error of the command line, through which all text passes. EDGE.

Opened by `cli.main` before anything is read. Characters that a terminal would interpret are escaped (`printable`) in
everything that any module or library writes, so that no text of a file, a cluster or an argument can control the
terminal. Only `write_own`, for meshctl's own colours, bypasses that.
"""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Any, TextIO

from meshctl import printable


class PrintableStream(io.TextIOWrapper):
    """A text stream that replaces `given` and escapes what is written to it."""

    def __init__(self, given: Any) -> None:
        super().__init__(
            given.buffer,
            encoding=given.encoding,
            errors="backslashreplace",
            line_buffering=given.line_buffering,
            write_through=given.write_through,
        )
        self._given = given  # keeps a reference: the original stream would close the buffer when it is deleted

    def write(self, text: str) -> int:
        super().write(printable.escaped(text))
        return len(text)

    def write_own(self, text: str) -> int:
        """Write without escaping: only for text of meshctl itself, and for colours around escaped text."""
        return super().write(text)


def open_streams() -> None:
    """Replace stdout and stderr. A stream that the shell has closed (`>&-`) is None in Python, and every print would
    fail; it becomes /dev/null. A character that the stream's encoding lacks is escaped, too.
    """
    for name in ("stdout", "stderr"):
        given: Any = getattr(sys, name) or Path(os.devnull).open("w")  # noqa: SIM115 (open to the end)
        setattr(sys, name, PrintableStream(given))


def write_styled(stream: TextIO, text: str, style: str) -> None:
    """Write text in a colour. `style`: the number of the colour; "" for none. Without `open_streams` there is no
    colour.
    """
    write_own = getattr(stream, "write_own", None)
    if style and write_own is not None:
        write_own(f"\x1b[{style}m{printable.escaped(text)}\x1b[0m")
    else:
        stream.write(text)
