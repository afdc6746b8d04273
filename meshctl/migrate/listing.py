"""Full listings of object stores, and what two of them have in common. EDGE, but for `compare`'s set arithmetic.

Used by `migration` (facts for the plan), `sync` (what to copy again) and `verify`. A listing is held in memory: about
200 bytes for each object. Keys that end in "/" and hold nothing are folder markers of consoles, and no data: left out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import botocore.exceptions
import botocore.loaders
import botocore.session
from botocore.config import Config

from meshctl.engine import certificates
from meshctl.engine.object_access import BUSY_HINT, NO_ANSWER, ObjectAccess, is_busy
from meshctl.errors import BusyError, CredentialsError, MigrationError, UnreachableError
from meshctl.migrate.keys import check_carried
from meshctl.migrate.plan import StoreFacts

_REFUSED = ("ExpiredToken", "InvalidToken", "InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied", "403")
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
    style: Any = {"addressing_style": access.addressing}
    config = Config(
        connect_timeout=5,
        read_timeout=120,
        max_pool_connections=connections,
        retries={"mode": "standard", "max_attempts": 5},
        s3=style,
    )
    session = botocore.session.Session()
    session.register_component("data_loader", _models())
    return session.create_client(
        "s3",
        endpoint_url=access.endpoint or None,
        region_name=access.region,
        aws_access_key_id=access.access_key,
        aws_secret_access_key=access.secret_key,
        aws_session_token=access.session_token or None,
        config=config,
    )


@cache
def _models() -> botocore.loaders.Loader:
    """The service models, read once: a copy makes several clients, each with fresh credentials."""
    return botocore.loaders.create_loader()


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


def facts(store: str, source: ObjectAccess, target: ObjectAccess) -> StoreFacts:
    """What the plan must know of a store. Raises: MigrationError when it has keys that can't be copied."""
    here = list_objects(source)
    place = (source.endpoint, source.bucket, folder(source))
    if place == (target.endpoint, target.bucket, folder(target)):
        return StoreFacts(store=store, objects=len(here), total_bytes=_total(here), shared=True)
    check_carried(url(source), here)
    there = list_if_there(target)
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
    try:
        yield
    except NO_ANSWER as error:
        certificates.refuse(where, error)
        raise UnreachableError(f"{where} does not answer", why=str(error), hint="check the network") from error
    except botocore.exceptions.IncompleteReadError as error:
        raise UnreachableError(f"{where} broke off an answer", why=str(error), hint="check the network") from error
    except botocore.exceptions.ClientError as error:
        code = error.response["Error"]["Code"]
        if code in ("NoSuchBucket", "404"):
            raise NoBucketError(f"{where} does not exist", hint="`meshctl up` makes it") from error
        if code in _REFUSED:
            hint = "renew the profile's keys, or check its rights"
            raise CredentialsError(f"{where} refused", why=f"[{code}] {error}", hint=hint) from error
        if is_busy(error):
            raise BusyError(f"{where}: {error}", why=f"[{code}]", hint=BUSY_HINT) from error
        raise MigrationError(f"{where}: {error}", why=f"[{code}]", hint="check the store") from error
    except botocore.exceptions.BotoCoreError as error:
        raise MigrationError(f"{where}: {error}", hint="check the store") from error
