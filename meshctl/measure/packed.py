"""What the Jobs of `meshctl.bench` leave as their termination message: a program's output, packed. PURE.

A message has at most 4096 bytes, where an output of fio has twelve thousand: gzip, then base64.
"""

from __future__ import annotations

import base64
import gzip
import zlib
from typing import Final

from meshctl.errors import ForeignOutputError

_RECORDING: Final = "# replayed"


def unpacked(message: str) -> str:
    """Raises: ForeignOutputError for a message that is cut off or no packed text."""
    try:
        return gzip.decompress(base64.b64decode(message, validate=True)).decode("utf-8", errors="replace")
    except (ValueError, OSError, EOFError, zlib.error) as error:
        raise ForeignOutputError(
            "the measurement ran, and what it left can't be read",
            why=f"its termination message of {len(message)} characters is no packed output: {error}",
            hint="run the command again; an image of another make under the name of meshctl's may write something else",
        ) from error


def is_recording(text: str) -> bool:
    """Whether the program says, by a line of its own, that it has printed what another one has measured."""
    return any(line.startswith(_RECORDING) for line in text.splitlines())
