"""How a command ends on what is no `MeshError`: Ctrl-C, file errors, and output that nobody reads any more. EDGE.

Used by `cli.main`. This is handled inside the command, because Typer ends the program silently on some of these.
"""

from __future__ import annotations

import errno
import select
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from meshctl.cli.context import discard, say
from meshctl.errors import FileError, InterruptedByUserError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_WRITING = (*_FULL, errno.EROFS, errno.EIO)  # errors of a file that is open already come without its name


class Group(TyperGroup):
    """A group of subcommands, which shows its help when no subcommand is given."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, args or ["--help"])


class Commands(Group):
    """The top-level commands. Raises: FileError, InterruptedByUserError, and what the commands raise."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise InterruptedByUserError("interrupted") from error
        except OSError as error:
            if _is_gone(sys.stdout):
                discard(sys.stdout)
                raise typer.Exit from error  # it is no error when the reader has closed the pipe
            translated = file_error(error)
            if translated is None:
                # Typer would handle an OSError itself
                raise RuntimeError(f"{type(error).__name__}: {error}") from error
            raise translated from error


def file_error(error: OSError) -> FileError | None:
    """The FileError for an error of a file or folder; None for another kind, such as an error of the network."""
    if error.filename is None and error.errno not in _WRITING:
        return None
    what = f"can't use {error.filename}" if error.filename is not None else "the output can't be written"
    hint = "free some space" if error.errno in _FULL else "check that it exists, and its permissions"
    return FileError(f"{what}: {error.strerror}", hint=f"{hint}; then run the command again")


def flushed(code: int) -> int:
    """Write all pending output; the exit code, or that of FileError if writing fails."""
    try:
        sys.stdout.flush()
    except OSError as error:
        gone = _is_gone(sys.stdout)
        discard(sys.stdout)
        if gone:
            return code
        say(f"error: the output can't be written: {error.strerror}")
        return code or FileError.exit_code
    return code


def _is_gone(stream: Any) -> bool:
    """Whether the other end of the pipe or terminal is closed."""
    poll = select.poll()
    poll.register(stream.fileno(), 0)
    return bool(poll.poll(0))
