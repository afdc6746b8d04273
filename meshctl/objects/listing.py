"""Full listings of object stores. EDGE but for the functions that compare two listings (PURE).

Used by `sync` (which objects to copy again), by `verify`, and by migrations for their plans. A listing is kept in
memory: about 200 bytes for each object. Empty objects whose key ends in "/" are the folder markers that consoles
create; they are not data and are left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import botocore.exceptions

from meshctl.clients.aws import aws_errors
from meshctl.clients.aws.aws_errors import AwsRequest
from meshctl.clients.aws.aws_session import Keys, s3_client_with_keys
from meshctl.errors import CredentialsError, MigrationError
from meshctl.objects.store import ObjectAccess

RCLONE_PART = 16 << 20  # size in bytes of the parts of a multipart upload, as set by `sync`
RCLONE_PARTS_FROM = (
    200 << 20
)  # objects from this size on are uploaded in parts: https://rclone.org/s3/#s3-upload-cutoff
MD5 = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Item:
    """One object: its `etag` without quotes, and `modified` in seconds since the epoch, by the store's clock."""

    size: int
    etag: str
    modified: float = 0.0


Listing = dict[str, Item]  # key below the prefix -> item
Access = Callable[[], ObjectAccess]  # called again for each attempt, because session tokens expire


def s3_client(access: ObjectAccess, *, connections: int = 16) -> Any:
    keys = Keys(access.access_key, access.secret_key, access.session_token)
    return s3_client_with_keys(
        keys, endpoint=access.endpoint, region=access.region, addressing=access.addressing, connections=connections
    )


def key_prefix(access: ObjectAccess) -> str:
    """The prefix of every key of the store: empty, or ending in "/"."""
    prefix = access.prefix.strip("/")
    return f"{prefix}/" if prefix else ""


def url(access: ObjectAccess) -> str:
    return f"s3://{access.bucket}/{key_prefix(access)}".removesuffix("/")


def list_objects(access: ObjectAccess) -> Listing:
    """Every object below the prefix. Raises: NoBucketError, UnreachableError, CredentialsError, MigrationError."""
    objects: Listing = {}
    start = key_prefix(access)
    with translate_errors(access):
        pages = s3_client(access).get_paginator("list_objects_v2").paginate(Bucket=access.bucket, Prefix=start)
        for page in pages:
            for item in page.get("Contents", ()):
                key = item["Key"][len(start) :]
                if key and not (key.endswith("/") and item["Size"] == 0):
                    objects[key] = Item(item["Size"], item["ETag"].strip('"'), item["LastModified"].timestamp())
    return objects


def check_reachable(access: ObjectAccess) -> None:
    """List one object. Raises: NoBucketError, UnreachableError, CredentialsError, MigrationError."""
    with translate_errors(access):
        s3_client(access).list_objects_v2(Bucket=access.bucket, MaxKeys=1)


def list_if_bucket_exists(access: ObjectAccess) -> Listing:
    """As `list_objects`, but an empty listing for a bucket that does not exist yet."""
    try:
        return list_objects(access)
    except NoBucketError:
        return {}


def delete_objects(access: ObjectAccess, keys: Iterable[str]) -> None:
    client, start = s3_client(access), key_prefix(access)
    with translate_errors(access):
        for key in keys:
            client.delete_object(Bucket=access.bucket, Key=start + key)


def keys_with_other_md5(source: Listing, target: Listing) -> list[str]:
    """Keys with equal sizes and different MD5 ETags. rclone misses such an object if it was written twice within one
    second, the resolution of the time stamps.
    """
    return sorted(
        key
        for key in source.keys() & target.keys()
        if source[key].size == target[key].size
        and source[key].etag != target[key].etag
        and MD5.fullmatch(source[key].etag)
        and MD5.fullmatch(target[key].etag)
    )


def of_others(source: Listing, target: Listing, until_s: float) -> frozenset[str]:
    """The keys at the source that the target lacks, and that were written by `until_s` (by the source's clock), when
    the migration had compared both: then they are in a bucket that is shared with others, and not of the mesh."""
    return frozenset(key for key, item in source.items() if key not in target and item.modified <= until_s)


def newest(listing: Listing) -> float:
    """When the newest object was written, by the store's clock; 0 for an empty store."""
    return max((item.modified for item in listing.values()), default=0.0)


class NoBucketError(MigrationError):
    """The bucket does not exist."""


@contextmanager
def translate_errors(access: ObjectAccess) -> Iterator[None]:
    """Turns botocore's exceptions into ours. Raises: CredentialsError, UnreachableError, BusyError, NoBucketError, or
    another MigrationError."""
    store_url = f"s3://{access.bucket}" + (f" at {access.endpoint}" if access.endpoint else "")
    hint = "check the profile's credentials and permissions, and that the store is up"
    with aws_errors.translate_errors(
        AwsRequest(store_url, None, hint, denied=CredentialsError, failure=MigrationError)
    ):
        try:
            yield
        except botocore.exceptions.ClientError as error:
            if error.response["Error"]["Code"] in ("NoSuchBucket", "404"):
                raise NoBucketError(f"{store_url} does not exist", hint="`meshctl up` creates it") from error
            raise
