"""What a plan must know of a pair of stores before anything is copied. EDGE: lists both.

Called by `meshctl.migrate.data`, for `plan`.
"""

from __future__ import annotations

import math

from meshctl.migrate.planning.plan import StoreFacts
from meshctl.objects.keys import check_copyable
from meshctl.objects.listing import (
    MD5,
    RCLONE_PART,
    RCLONE_PARTS_FROM,
    Item,
    Listing,
    key_prefix,
    list_if_bucket_exists,
    list_objects,
    url,
)
from meshctl.objects.store import ObjectAccess


def facts(store: str, source: ObjectAccess, target: ObjectAccess) -> StoreFacts:
    """What the plan must know of a store. Raises: MigrationError when it has keys that can't be copied."""
    here = list_objects(source)
    place = (source.endpoint, source.bucket, key_prefix(source))
    if place == (target.endpoint, target.bucket, key_prefix(target)):
        return StoreFacts(store=store, objects=len(here), total_bytes=_total(here), shared=True)
    check_copyable(url(source), here)
    there = list_if_bucket_exists(target)
    return StoreFacts(
        store=store,
        objects=len(here),
        total_bytes=_total(here),
        target_objects=len(there),
        read_bytes=sum(item.size for item in here.values() if not _gets_equal_etag(item)),
        foreign_objects=len(there.keys() - here.keys()),
    )


def _gets_equal_etag(item: Item) -> bool:
    """Whether the copy that rclone makes can have the same ETag: it uploads large objects in parts of its own size."""
    if MD5.fullmatch(item.etag):
        return item.size < RCLONE_PARTS_FROM
    parts = item.etag.partition("-")[2]
    return item.size >= RCLONE_PARTS_FROM and parts == str(math.ceil(item.size / RCLONE_PART))


def _total(listing: Listing) -> int:
    return sum(item.size for item in listing.values())
