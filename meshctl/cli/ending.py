"""What is outside of the errors of `meshctl.errors` when a command ends: Ctrl-C, files, output that nobody reads. EDGE.

Used by `cli.main`. Inside of the command, since Typer itself ends the program without a word at some of these.
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
_WRITING = (*_FULL, errno.EROFS, errno.EIO)  # told of a file that is open already, without its name


class Group(TyperGroup):
    """Commands below one word, which shows its help when it stands alone."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, args or ["--help"])


class Commands(Group):
    """The commands. Raises: FileError, InterruptedByUserError beside what they raise."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise InterruptedByUserError("interrupted") from error
        except OSError as error:
            if _is_gone(sys.stdout):
                discard(sys.stdout)
                raise typer.Exit from error  # a closed reader is no error
            found = file_error(error)
            if found is None:
                raise RuntimeError(f"{type(error).__name__}: {error}") from error  # Typer would take it for its own
            raise found from error


def file_error(error: OSError) -> FileError | None:
    """The error of a file or folder; None for one of another kind, such as a network's."""
    if error.filename is None and error.errno not in _WRITING:
        return None
    what = f"can't use {error.filename}" if error.filename is not None else "the output can't be written"
    hint = "make room" if error.errno in _FULL else "check that it is there, and who may read and write it"
    return FileError(f"{what}: {error.strerror}", hint=f"{hint}; then run the command again")


def flushed(code: int) -> int:
    """The exit code, once all output is written: another one where that fails."""
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
    """Whether a pipe or terminal has nobody at its other end any more."""
    poll = select.poll()
    poll.register(stream.fileno(), 0)
    return bool(poll.poll(0))
