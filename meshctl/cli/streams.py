"""Standard output and standard error of the command line: the one place that all text passes on its way out. EDGE.

Opened by `cli.main` before anything is read. Whatever is written, by whichever module or library, loses the characters
that a terminal would act on (`printable`), so that nothing of a file, a cluster or an argument can slip by. The colours
that meshctl chooses itself are written past that, by `write_own` alone.
"""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Any, TextIO

from meshctl import printable


class PrintableStream(io.TextIOWrapper):
    """A text stream in place of `given`, whose text can be printed."""

    def __init__(self, given: Any) -> None:
        super().__init__(
            given.buffer,
            encoding=given.encoding,
            errors="backslashreplace",
            line_buffering=given.line_buffering,
            write_through=given.write_through,
        )
        self._given = given  # closes the buffer when it is let go

    def write(self, text: str) -> int:
        super().write(printable.escaped(text))
        return len(text)

    def write_own(self, text: str) -> int:
        """Write as it is: only for what holds no text of others, and for colours around escaped text."""
        return super().write(text)


def open_streams() -> None:
    """Put the streams in place, also those that the shell has closed (`>&-`): Python has none then, and every print
    would fail.

    A letter that the stream's encoding lacks is written as its number, too.
    """
    for name in ("stdout", "stderr"):
        given: Any = getattr(sys, name) or Path(os.devnull).open("w")  # noqa: SIM115 (open to the end)
        setattr(sys, name, PrintableStream(given))


def write_styled(stream: TextIO, text: str, style: str) -> None:
    """`style`: the number of a colour; "" for none, and where the stream is not `open_streams`'."""
    write_own = getattr(stream, "write_own", None)
    if style and write_own is not None:
        write_own(f"\x1b[{style}m{printable.escaped(text)}\x1b[0m")
    else:
        stream.write(text)
