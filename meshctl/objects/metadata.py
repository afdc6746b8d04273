"""Finds objects of which only the content type or the user metadata changed after they were copied. EDGE but for
`keys_to_inspect` (PURE).

Called by `sync`: rclone compares size, time and checksum, and therefore skips such objects.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from meshctl.objects.listing import Listing, NoBucketError, key_prefix, s3_client, translate_errors
from meshctl.objects.progress import Stop
from meshctl.objects.store import ObjectAccess

_SKEW_S = 900.0  # largest difference between the clocks of two stores: S3 rejects requests that are further off
_ADDED_BY_RCLONE = ("mtime", "btime", "md5chksum")  # metadata that rclone adds to the copies
_READERS = 16


def keys_to_inspect(source: Listing, target: Listing, sent: Container[str], since_s: float) -> list[str]:
    """Keys that were written at the source after `since_s` and after they were copied. Both stores have clocks of their
    own, so a key within `_SKEW_S` of the limit is included. Keys that this run has copied (`sent`) are not.
    """
    return sorted(
        key
        for key in source.keys() & target.keys()
        if key not in sent and source[key].modified + _SKEW_S > max(since_s, target[key].modified)
    )


def keys_with_other_metadata(source: ObjectAccess, target: ObjectAccess, keys: Sequence[str], stop: Stop) -> list[str]:
    """Those of `keys` whose metadata differs between the stores. Raises: UnreachableError, CredentialsError."""
    if not keys:
        return []
    sides = [(s3_client(access, connections=_READERS), access) for access in (source, target)]

    def differs(key: str) -> bool:
        stop.check()
        at_source, at_target = (_read_metadata(*side, key) for side in sides)
        return None not in (at_source, at_target) and at_source != at_target

    with ThreadPoolExecutor(_READERS) as pool:
        return [key for key, is_different in zip(keys, pool.map(differs, keys), strict=True) if is_different]


def _read_metadata(client: Any, access: ObjectAccess, key: str) -> tuple[str, dict[str, str]] | None:
    """Content type and user metadata; None when the object is gone."""
    try:
        with translate_errors(access):
            head = client.head_object(Bucket=access.bucket, Key=key_prefix(access) + key)
    except NoBucketError:  # a HEAD returns a bare 404; the bucket was listed a moment ago, so the object is missing
        return None
    metadata = {name.lower(): value for name, value in head["Metadata"].items()}
    return head.get("ContentType", ""), {n: v for n, v in metadata.items() if n not in _ADDED_BY_RCLONE}
