"""What a bucket holds, in words: objects, old versions, unfinished uploads, and the bytes of what was listed."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from meshctl.model.deployment import ObjectStore, Price
from meshctl.objects import object_access

STORE = ObjectStore(
    name="weights",
    bucket="b-1",
    size_gib=1,
    region="us-east-1",
    price=Price(subject="storage/weights", usd_per_hour=None, source="unknown"),
)


class Bucket:
    """An S3 client of one bucket. `versions`: None where the store has none."""

    def __init__(
        self, versions: dict[str, Any] | None, *, uploads: int = 0, listed: dict[str, Any] | None = None
    ) -> None:
        self.versions, self.uploads, self.listed = versions, uploads, listed or {}

    def list_object_versions(self, **_: str) -> dict[str, Any]:
        if self.versions is None:
            raise ClientError({"Error": {"Code": "NotImplemented"}}, "ListObjectVersions")
        return self.versions

    def list_objects_v2(self, **_: str) -> dict[str, Any]:
        return self.listed

    def list_multipart_uploads(self, **_: str) -> dict[str, Any]:
        return {"Uploads": [{}] * self.uploads}


def version(size: int, *, latest: bool = True) -> dict[str, Any]:
    return {"IsLatest": latest, "Size": size}


@pytest.mark.parametrize(
    ("bucket", "words"),
    [
        (Bucket({}), ""),
        (Bucket({"Versions": [version(7)]}), "1 object, 7 B"),
        (Bucket({"Versions": [version(3 * 2**20), version(2**20, latest=False)]}), "1 object, 1 old version, 4.0 MiB"),
        (Bucket({"DeleteMarkers": [{}]}, uploads=1), "1 delete marker, 1 unfinished upload"),
        (Bucket({"Versions": [version(1)] * 1000, "IsTruncated": True}), "at least 1000 objects, 1000 B"),
        (Bucket(None, listed={"KeyCount": 2, "Contents": [{"Size": 1}, {"Size": 2}]}), "2 objects, 3 B"),
        (Bucket(None), ""),
    ],
)
def test_what_a_bucket_holds(bucket: Bucket, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_access, "client", lambda _: bucket)
    assert object_access.content_summary(STORE) == words
