"""Expands paths that users write, including `~` and `~name`. EDGE.

Called wherever a path comes from a file or a variable. Python raises RuntimeError for an unknown user or home folder;
here that becomes an error with a hint.
"""

from __future__ import annotations

from pathlib import Path

from meshctl.errors import UsageError


class NoHomeError(UsageError):
    """The folder of `~` or `~name` is unknown."""


def expanded(path: str | Path) -> Path:
    """The path with its `~` replaced. Raises: NoHomeError."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        user = Path(path).parts[0]
        whose = (
            f"there is no user {user[1:]} on this machine" if user != "~" else "this user has none, and HOME is not set"
        )
        raise NoHomeError(
            f"{path}: no home folder for {user}", why=whose, hint="write an absolute path, or set HOME"
        ) from error


def home() -> Path:
    """The user's home folder. Raises: NoHomeError."""
    return expanded("~")
