"""Which object keys rclone can copy, and which options it needs for them. PURE.

Used while planning and by `sync`. Verified with rclone 1.75: without its own encoding of names (see the options in
`sync`), a copy of a whole store includes every key except those that begin with "/".
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from meshctl.errors import MigrationError
from meshctl.words import pluralize

_MAX_SHOWN = 5
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_PATTERN_SIGNS = frozenset("\\*?[]{}")  # with a meaning in rclone's filters
# rclone cleans the names in a list of files as if they were paths, and takes these characters for its own escapes
_NOT_LISTABLE = re.compile(r"//|/$|(^|/)\.\.?(/|$)|[\u201b\uff0e\uff0f]")


def check_copyable(store_url: str, keys: Iterable[str]) -> None:
    """Raises: MigrationError naming some of the keys that rclone would silently leave out."""
    not_copyable = sorted(key for key in keys if key.startswith("/"))
    if not_copyable:
        raise MigrationError(
            f"{store_url} has {pluralize(len(not_copyable), 'key')} that can't be copied",
            why=f'rclone can\'t copy keys that begin with "/": {quoted_sample(not_copyable)}',
            hint="rename these objects, or delete them",
        )


def rclone_options(keys: Iterable[str]) -> list[str]:
    """Extra rclone options that these keys need. A listing in XML can't contain control characters, so keys with such
    characters need URL-encoded listings. Others don't get them, because not every store supports the encoding.
    """
    return ["--s3-list-url-encode=true"] if any(_CONTROL.search(key) for key in keys) else []


def is_listable(key: str) -> bool:
    """Whether rclone accepts the key in a list of files to copy."""
    return not _NOT_LISTABLE.search(key)


def exclude_patterns(keys: Iterable[str]) -> list[str]:
    """The lines of rclone's filters that leave out these keys and no others; but for those with control characters,
    which its filters can't name."""
    return [f"/{''.join(map(_escaped, key))}" for key in sorted(keys) if not _CONTROL.search(key)]


def _escaped(character: str) -> str:
    if character in _PATTERN_SIGNS:
        return f"\\{character}"
    return f"[{character}]" if character.isspace() else character  # spaces at the end of a line do not count


def quoted_sample(keys: Iterable[str]) -> str:
    """The first few keys for a message, quoted because a key may contain any character."""
    all_keys = list(keys)
    more = f" and {len(all_keys) - _MAX_SHOWN} more" if len(all_keys) > _MAX_SHOWN else ""
    return ", ".join(repr(key) for key in all_keys[:_MAX_SHOWN]) + more
