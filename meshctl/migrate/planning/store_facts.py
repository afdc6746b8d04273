"""Sizes and differences of a pair of stores, for the plan. EDGE: lists both.

Called by `meshctl.migrate.data`.
"""

from __future__ import annotations

import math
from urllib.parse import urlsplit

from meshctl.migrate.planning.inputs import StoreFacts
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
from meshctl.objects.verify import proves_equal


def facts(store: str, source: ObjectAccess, target: ObjectAccess, *, is_target_adopted: bool = False) -> StoreFacts:
    """`is_target_adopted`: the target's bucket is somebody else's. Objects there that the source does not have are left
    alone, and those that would be overwritten with other content count as foreign.

    Raises: MigrationError if the source has keys that can't be copied, or if a store can't be listed.
    """
    at_source = list_objects(source)
    if _location(source) == _location(target):
        return StoreFacts(store=store, objects=len(at_source), total_bytes=_total(at_source), shared=True)
    check_copyable(url(source), at_source)
    at_target = list_if_bucket_exists(target)
    return StoreFacts(
        store=store,
        objects=len(at_source),
        total_bytes=_total(at_source),
        target_objects=len(at_target),
        read_bytes=sum(item.size for item in at_source.values() if not _gets_equal_etag(item)),
        foreign_objects=len(
            _overwritten(at_source, at_target) if is_target_adopted else at_target.keys() - at_source.keys()
        ),
    )


def _location(access: ObjectAccess) -> tuple[str, int, str, str]:
    """Where the objects are; two spellings of one endpoint are one place."""
    endpoint = urlsplit(access.endpoint)
    port = endpoint.port or (80 if endpoint.scheme == "http" else 443)
    return (endpoint.hostname or "", port, access.bucket, key_prefix(access))


def _overwritten(source: Listing, target: Listing) -> list[str]:
    return [key for key, item in target.items() if key in source and not proves_equal(source[key], item)]


def _gets_equal_etag(item: Item) -> bool:
    """Whether rclone's copy of the object will have the same ETag. rclone uploads large objects in parts of its own
    size, so their ETags are equal only if the object was uploaded in parts of that size.
    """
    if MD5.fullmatch(item.etag):
        return item.size < RCLONE_PARTS_FROM
    parts = item.etag.partition("-")[2]
    return item.size >= RCLONE_PARTS_FROM and parts == str(math.ceil(item.size / RCLONE_PART))


def _total(listing: Listing) -> int:
    return sum(item.size for item in listing.values())
