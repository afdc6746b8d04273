"""Snapshots of the lab's WEKA in an object store that speaks S3: written, read by another cluster, taken away."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import boto3
import pytest

from meshctl.lab.weka.api import uploads
from meshctl.lab.weka.api.system import Bucket
from meshctl.lab.weka.api.uploads import S3, Described, ObjectStoreError


def bucket(endpoint: str, name: str) -> Bucket:
    parts = urlsplit(endpoint)
    return Bucket("u", "shared", "local", str(parts.hostname), int(parts.port or 80), name, "HTTP", "", "key", "secret")


def described(folder: Path) -> Described:
    return Described(
        name="first",
        created="2026-11-29",
        version="4.4.21.2",
        kms="",
        guid="g",
        total_bytes=1,
        **uploads.contents(folder),
    )


def test_a_snapshot_is_a_copy_in_the_bucket(endpoint: str, tmp_path: Path) -> None:
    """Below the prefix that the bucket is registered with, beside what others have there."""
    client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
    client.create_bucket(Bucket="moves")
    client.put_object(Bucket="moves", Key="other", Body=b"x")
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "deep").mkdir(parents=True)
    (source / "deep" / "a b").write_bytes(b"\0\xff" * 1000)
    (source / "link").symlink_to("deep/a b")
    (source / "empty").mkdir()
    store = S3(bucket(endpoint, "moves/weka"))
    store.check()
    uploads.upload(store, "g/d/s/1", source, described(source))
    keys = [each["Key"] for each in client.list_objects_v2(Bucket="moves")["Contents"]]
    assert keys == ["other", "weka/g/d/s/1/data/deep/a b", "weka/g/d/s/1/snapshot.json"]

    about = uploads.describe(store, "g/d/s/1")
    uploads.download(store, "g/d/s/1", target, about)
    assert (target / "deep" / "a b").read_bytes() == b"\0\xff" * 1000
    assert (target / "link").readlink() == Path("deep/a b")
    assert (target / "empty").is_dir()
    assert uploads.contents(target) == uploads.contents(source)

    uploads.remove(store, "g/d/s/1")
    assert [each["Key"] for each in client.list_objects_v2(Bucket="moves")["Contents"]] == ["other"]


def test_what_the_store_refuses_says_why(endpoint: str) -> None:
    with pytest.raises(ObjectStoreError, match="404"):
        S3(bucket(endpoint, "none")).check()
    with pytest.raises(ObjectStoreError):
        uploads.describe(S3(bucket(endpoint, "none")), "g")
