"""Which object keys rclone carries, and with what options. PURE.

Used by `listing` (while planning) and `sync`. What is said here of rclone was tried with 1.75: with its own encoding of
names off (`sync`), a copy of a whole store carries every key but those that begin with "/".
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from meshctl.errors import MigrationError
from meshctl.words import pluralize

_SHOWN = 5
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# rclone cleans the names in a list of files as if they were paths, and takes these characters for its own escapes
_NOT_LISTABLE = re.compile(r"//|/$|(^|/)\.\.?(/|$)|[\u201b\uff0e\uff0f]")


def check_carried(place: str, keys: Iterable[str]) -> None:
    """Raises: MigrationError that names some of the keys which a copy would leave out without a word."""
    lost = sorted(key for key in keys if key.startswith("/"))
    if lost:
        raise MigrationError(
            f"{place} has {pluralize(len(lost), 'key')} that can't be copied",
            why=f'rclone drops a "/" at the beginning: {shown(lost)}',
            hint="give these objects other keys, or delete them",
        )


def options(keys: Iterable[str]) -> list[str]:
    """What rclone needs for these keys. XML can't hold control characters: only then are listings asked for in another
    form, which not every store knows.
    """
    return ["--s3-list-url-encode=true"] if any(_CONTROL.search(key) for key in keys) else []


def listable(key: str) -> bool:
    """Whether the key can stand in a list of files to copy."""
    return not _NOT_LISTABLE.search(key)


def shown(keys: Iterable[str]) -> str:
    """Some of the keys, quoted: they may hold anything."""
    found = list(keys)
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return ", ".join(repr(key) for key in found[:_SHOWN]) + more
