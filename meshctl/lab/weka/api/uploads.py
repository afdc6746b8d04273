"""Snapshots in object stores: what an upload writes, a download reads, and a deletion takes away. EDGE: S3.

Called by `rest_api`. A snapshot is a real copy: its files, and last a description with their hashes, the version of
WEKA and the key (docs.weka.io, "Snap-To-Object").
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from meshctl.lab.pods import identity
from meshctl.lab.weka.api.system import Bucket, files_of

DESCRIPTION = "snapshot.json"


class ObjectStoreError(Exception):
    """Why an object store did not do what it was asked for."""


class Store(Protocol):
    """One bucket, or a prefix of it."""

    def check(self) -> None: ...
    def put_file(self, key: str, path: Path) -> None: ...
    def get_file(self, key: str, path: Path) -> None: ...
    def put(self, key: str, data: bytes) -> None: ...
    def get(self, key: str) -> bytes: ...
    def keys(self, prefix: str) -> list[str]: ...
    def delete(self, keys: Iterable[str]) -> None: ...


@dataclass(frozen=True)
class Described:
    """What is known of an uploaded snapshot. `files`: path -> SHA-256, `links`: path -> target."""

    name: str
    created: str
    version: str
    kms: str
    guid: str
    total_bytes: int
    files: dict[str, str]
    links: dict[str, str]
    folders: list[str]


def upload(store: Store, locator: str, folder: Path, described: Described) -> None:
    """Raises: ObjectStoreError."""
    for path in files_of(folder):
        if not path.is_symlink():
            store.put_file(f"{locator}/data/{path.relative_to(folder)}", path)
    store.put(f"{locator}/{DESCRIPTION}", json.dumps(asdict(described)).encode())


def contents(folder: Path) -> dict[str, Any]:
    """The fields of `Described` that say what is in the folder."""
    paths = list(files_of(folder))
    return {
        "files": {
            str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in paths
            if not path.is_symlink()
        },
        "links": {str(path.relative_to(folder)): str(path.readlink()) for path in paths if path.is_symlink()},
        "folders": sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_dir()),
    }


def describe(store: Store, locator: str) -> Described:
    """Raises: ObjectStoreError, also when there is no such snapshot."""
    return Described(**json.loads(store.get(f"{locator}/{DESCRIPTION}")))


def download(store: Store, locator: str, folder: Path, described: Described) -> None:
    """Put the snapshot's files into an empty folder. Raises: ObjectStoreError."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in described.folders:
        (folder / name).mkdir(parents=True, exist_ok=True)
    for name in described.files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        store.get_file(f"{locator}/data/{name}", folder / name)
    for name, target in described.links.items():
        (folder / name).symlink_to(target)


def remove(store: Store, locator: str) -> None:
    """Raises: ObjectStoreError."""
    store.delete(store.keys(f"{locator}/"))


class S3:
    """A bucket by boto3, with the keys that the cluster was given and nothing of this machine's user. One of AWS is in
    the lab's, at `aws_url`; there a cluster without keys has the role of its nodes."""

    def __init__(self, bucket: Bucket, aws_url: str = "") -> None:
        has_role = bool(aws_url) and not bucket.access_key
        self.bucket, _, prefix = bucket.bucket.partition("/")
        self.prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        scheme = "http" if bucket.protocol == "HTTP" else "https"
        self.client: Any = boto3.client(
            "s3",
            endpoint_url=aws_url or f"{scheme}://{bucket.hostname}:{bucket.port}",
            region_name=bucket.region or "us-east-1",
            aws_access_key_id=identity.ACCESS_KEY if has_role else bucket.access_key,
            aws_secret_access_key=identity.SECRET_KEY if has_role else bucket.secret_key,
            config=Config(
                s3={"addressing_style": "path"},
                connect_timeout=5,
                retries={"max_attempts": 2},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )

    def check(self) -> None:
        with _named():
            self.client.head_bucket(Bucket=self.bucket)

    def put_file(self, key: str, path: Path) -> None:
        with _named():
            self.client.upload_file(str(path), self.bucket, self.prefix + key)

    def get_file(self, key: str, path: Path) -> None:
        with _named():
            self.client.download_file(self.bucket, self.prefix + key, str(path))

    def put(self, key: str, data: bytes) -> None:
        with _named():
            self.client.put_object(Bucket=self.bucket, Key=self.prefix + key, Body=data)

    def get(self, key: str) -> bytes:
        with _named():
            return bytes(self.client.get_object(Bucket=self.bucket, Key=self.prefix + key)["Body"].read())

    def keys(self, prefix: str) -> list[str]:
        with _named():
            paginator = self.client.get_paginator("list_objects_v2")
            pages = paginator.paginate(Bucket=self.bucket, Prefix=self.prefix + prefix)
            listed = [each["Key"] for page in pages for each in page.get("Contents", [])]
        return [key.removeprefix(self.prefix) for key in listed]

    def delete(self, keys: Iterable[str]) -> None:
        with _named():
            for key in keys:
                self.client.delete_object(Bucket=self.bucket, Key=self.prefix + key)


@contextlib.contextmanager
def _named() -> Any:
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise ObjectStoreError(str(error)) from error
