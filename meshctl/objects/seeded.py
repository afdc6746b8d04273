"""Remembers which multipart uploads a seed has copied, so that the sync need not copy them again. PURE.

The ETag of a multipart upload is not a checksum that two stores share, so rclone compares only size and time. An object
that was rewritten with the same content, or whose time can't be read, would be copied again in the sync, while the
workloads are stopped. The seed therefore records the ETags on both sides: as long as both are unchanged, the target has
the source's content. The comparison after the sync reads these objects anyway. Used by `sync`; the ETags are in the
journal, in the seed's `done` record.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from meshctl.objects.listing import MD5, Listing

ETags = Mapping[str, tuple[str, str]]  # key -> ETag at the source, ETag at the target
MOST = 20_000  # recorded objects (the largest ones): each takes about 150 bytes of the journal
# keys that contain no character with a meaning in rclone's patterns
_PLAIN = re.compile(r"[A-Za-z0-9._=+@~-]+(/[A-Za-z0-9._=+@~-]+)*")


def proven_etags(source_before: Listing, source: Listing, target: Listing) -> dict[str, tuple[str, str]]:
    """ETags on both sides of the objects that the copy has proven to be equal. `source_before` and `source` are the
    source's listings before and after the copy: an object that was written in between is left out.
    """
    keys = [
        key
        for key, item in source.items()
        if not MD5.fullmatch(item.etag)
        and source_before.get(key) == item
        and key in target
        and target[key].size == item.size
        and _PLAIN.fullmatch(key)
    ]
    largest = sorted(keys, key=lambda key: (-source[key].size, key))[:MOST]
    return {key: (source[key].etag, target[key].etag) for key in largest}


def keys_unchanged_since_seed(seeded: ETags, source: Listing, target: Listing) -> list[str]:
    """Keys whose ETags on both sides are the ones recorded by the seed."""
    return sorted(
        key
        for key, etags in seeded.items()
        if key in source
        and key in target
        and source[key].size == target[key].size
        and (source[key].etag, target[key].etag) == tuple(etags)
    )
