"""Finds objects whose content type or user metadata changed after they were copied, and nothing else. EDGE but for
`candidates` (PURE).

Called by `sync`: rclone compares size, time and checksum, and passes such an object over.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from meshctl.objects.listing import Listing, NoBucketError, folder, named, s3_client
from meshctl.objects.progress import Stop
from meshctl.objects.store import ObjectAccess

_SKEW_S = 900.0  # between the clocks of two stores; S3 refuses requests that are further off
_OF_RCLONE = ("mtime", "btime", "md5chksum")  # what it adds to what it copies
_READERS = 16


def candidates(source: Listing, target: Listing, sent: Container[str], since: float) -> list[str]:
    """Keys written at the source after `since` and after they were copied, as far as different clocks can tell; not
    those that were just sent.
    """
    return sorted(
        key
        for key in source.keys() & target.keys()
        if key not in sent and source[key].modified + _SKEW_S > max(since, target[key].modified)
    )


def changed(source: ObjectAccess, target: ObjectAccess, keys: Sequence[str], stop: Stop) -> list[str]:
    """Those of `keys` that are described differently on both sides. Raises: UnreachableError, CredentialsError."""
    if not keys:
        return []
    sides = [(s3_client(access, connections=_READERS), access) for access in (source, target)]

    def differs(key: str) -> bool:
        stop.check()
        here, there = (_described(*side, key) for side in sides)
        return None not in (here, there) and here != there

    with ThreadPoolExecutor(_READERS) as pool:
        return [key for key, differing in zip(keys, pool.map(differs, keys), strict=True) if differing]


def _described(client: Any, access: ObjectAccess, key: str) -> tuple[str, dict[str, str]] | None:
    """Content type and user metadata; None when the object is gone."""
    try:
        with named(access):
            head = client.head_object(Bucket=access.bucket, Key=folder(access) + key)
    except NoBucketError:  # HEAD says no more than 404; the bucket was listed just now
        return None
    described = {name.lower(): value for name, value in head["Metadata"].items()}
    return head.get("ContentType", ""), {n: v for n, v in described.items() if n not in _OF_RCLONE}
