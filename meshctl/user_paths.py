"""Paths as people write them, `~` and `~name` among them, and where the caches of this user lie. EDGE.

Called wherever a path comes from a file or a variable. Python answers a user who does not exist, and a home folder that
can't be told, with a RuntimeError: here it is an error with a way out.
"""

from __future__ import annotations

from pathlib import Path

from meshctl.errors import UsageError


class NoHomeError(UsageError):
    """Nobody can say which folder `~` or `~name` is."""


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
            f"{path}: no home folder for {user}", why=whose, hint="write the whole path, beginning with /, or set HOME"
        ) from error


def home() -> Path:
    """The user's home folder. Raises: NoHomeError."""
    return expanded("~")
