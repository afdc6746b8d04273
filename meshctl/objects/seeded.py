"""What a seed proves of objects whose ETag is no checksum that two stores share: uploads in parts. PURE.

rclone knows nothing of such an object but size and time, so one that was written anew with the very same content, or
whose time can't be read at the moment, is copied once more, while what writes there is stopped. The seed notes the
ETags of both sides: as long as both are what they were then, the target has the source's content. The comparison reads
these objects all the same. Used by `sync`; the notes are in the journal, with the seed's `done`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from meshctl.objects.listing import MD5, Listing

ETags = Mapping[str, tuple[str, str]]  # key -> ETag at the source, ETag at the target
MOST = 20_000  # a note takes about 150 bytes of the journal; of more objects, the largest
_PLAIN = re.compile(r"[A-Za-z0-9._=+@~-]+(/[A-Za-z0-9._=+@~-]+)*")  # keys that mean themselves in a list of patterns


def noted(before: Listing, here: Listing, there: Listing) -> dict[str, tuple[str, str]]:
    """What a copy has shown: `before` and `here` are the source around it. An object that was written meanwhile shows
    nothing.
    """
    keys = [
        key
        for key, item in here.items()
        if not MD5.fullmatch(item.etag)
        and before.get(key) == item
        and key in there
        and there[key].size == item.size
        and _PLAIN.fullmatch(key)
    ]
    largest = sorted(keys, key=lambda key: (-here[key].size, key))[:MOST]
    return {key: (here[key].etag, there[key].etag) for key in largest}


def unchanged(seeded: ETags, here: Listing, there: Listing) -> list[str]:
    """Keys that are on both sides what they were after the seed."""
    return sorted(
        key
        for key, etags in seeded.items()
        if key in here
        and key in there
        and here[key].size == there[key].size
        and (here[key].etag, there[key].etag) == tuple(etags)
    )
