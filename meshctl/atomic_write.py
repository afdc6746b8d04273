"""Replaces a small file atomically: when writing fails (a full disk), the old file stays, and no partial one. EDGE."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def write(path: Path, text: str, mode: int = 0o666) -> None:
    """Create or replace the file. Raises: OSError."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(descriptor, "w") as stream:
            stream.write(text)
        partial.replace(path)
    except OSError as error:
        error.filename = error.filename or str(path)  # the error of a failed write() names no file
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise
