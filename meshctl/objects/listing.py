"""Full listings of object stores, and what two of them have in common. EDGE, but for `compare`'s set arithmetic.

Used by `sync` (what to copy again), by `verify`, and by migrations for their plans. A listing is held in memory: about
200 bytes for each object. Keys that end in "/" and hold nothing are folder markers of consoles, and no data: left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import botocore.exceptions

from meshctl.clients import aws_errors
from meshctl.clients.aws_errors import Asked
from meshctl.clients.aws_session import Keys, s3_client_with_keys
from meshctl.errors import CredentialsError, MigrationError
from meshctl.objects.store import ObjectAccess

RCLONE_PART = 16 << 20  # bytes, as `sync` tells it
RCLONE_PARTS_FROM = 200 << 20  # its own default (https://rclone.org/s3/#s3-upload-cutoff)
MD5 = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Item:
    """One object: `etag` without quotes, as the store gives it; `modified` in seconds since the epoch, by its clock."""

    size: int
    etag: str
    modified: float = 0.0


Listing = dict[str, Item]  # key below the prefix -> item
Access = Callable[[], ObjectAccess]  # asked anew for each attempt: session tokens expire


def s3_client(access: ObjectAccess, *, connections: int = 16) -> Any:
    keys = Keys(access.access_key, access.secret_key, access.session_token)
    return s3_client_with_keys(
        keys, endpoint=access.endpoint, region=access.region, addressing=access.addressing, connections=connections
    )


def folder(access: ObjectAccess) -> str:
    """The prefix as it stands before every key: empty, or ending in "/"."""
    prefix = access.prefix.strip("/")
    return f"{prefix}/" if prefix else ""


def url(access: ObjectAccess) -> str:
    return f"s3://{access.bucket}/{folder(access)}".removesuffix("/")


def list_objects(access: ObjectAccess) -> Listing:
    """Every object below the prefix. Raises: MigrationError when there is no such bucket."""
    found: Listing = {}
    start = folder(access)
    with named(access):
        pages = s3_client(access).get_paginator("list_objects_v2").paginate(Bucket=access.bucket, Prefix=start)
        for page in pages:
            for item in page.get("Contents", ()):
                key = item["Key"][len(start) :]
                if key and not (key.endswith("/") and item["Size"] == 0):
                    found[key] = Item(item["Size"], item["ETag"].strip('"'), item["LastModified"].timestamp())
    return found


def reach(access: ObjectAccess) -> None:
    """Whether the store answers. Raises: NoBucketError, UnreachableError, CredentialsError, MigrationError."""
    with named(access):
        s3_client(access).list_objects_v2(Bucket=access.bucket, MaxKeys=1)


def list_if_there(access: ObjectAccess) -> Listing:
    """As `list_objects`; empty while the bucket does not exist yet."""
    try:
        return list_objects(access)
    except NoBucketError:
        return {}


def delete_objects(access: ObjectAccess, keys: Iterable[str]) -> None:
    client, start = s3_client(access), folder(access)
    with named(access):
        for key in keys:
            client.delete_object(Bucket=access.bucket, Key=start + key)


def overlooked(source: Listing, target: Listing) -> list[str]:
    """Keys of equal size whose MD5 ETags differ: written twice within the second that time stamps can tell."""
    return sorted(
        key
        for key in source.keys() & target.keys()
        if source[key].size == target[key].size
        and source[key].etag != target[key].etag
        and MD5.fullmatch(source[key].etag)
        and MD5.fullmatch(target[key].etag)
    )


def newest(listing: Listing) -> float:
    """When the last of the objects was written, by the store's own clock; 0 of an empty store."""
    return max((item.modified for item in listing.values()), default=0.0)


class NoBucketError(MigrationError):
    """The bucket does not exist."""


@contextmanager
def named(access: ObjectAccess) -> Iterator[None]:
    """botocore's errors as ours. Raises: CredentialsError, UnreachableError, BusyError, NoBucketError, or another
    MigrationError."""
    where = f"s3://{access.bucket}" + (f" at {access.endpoint}" if access.endpoint else "")
    hint = "check the profile's keys and rights, and the store"
    with aws_errors.translate_errors(Asked(where, None, hint, denied=CredentialsError, failure=MigrationError)):
        try:
            yield
        except botocore.exceptions.ClientError as error:
            if error.response["Error"]["Code"] in ("NoSuchBucket", "404"):
                raise NoBucketError(f"{where} does not exist", hint="`meshctl up` makes it") from error
            raise
