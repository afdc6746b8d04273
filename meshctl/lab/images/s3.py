"""S3 as a container of the portable contract sees it: `MESH_<NAME>_URL` plus the standard AWS SDK variables. EDGE.

Used by the trainer and the inference server. Every setting comes from the environment, as on a real cluster.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError


@dataclass(frozen=True)
class Store:
    """One bucket and prefix. `client` is a boto3 S3 client."""

    client: Any
    bucket: str
    prefix: str

    def key(self, name: str) -> str:
        return f"{self.prefix}/{name}" if self.prefix else name

    def put(self, name: str, data: bytes) -> None:
        self.client.put_object(Bucket=self.bucket, Key=self.key(name), Body=data)

    def get(self, name: str) -> bytes | None:
        """The object's bytes, or None when there is no such object. Raises ClientError for all else."""
        try:
            return bytes(self.client.get_object(Bucket=self.bucket, Key=self.key(name))["Body"].read())
        except ClientError as error:
            if error.response["Error"]["Code"] in {"NoSuchKey", "404"}:
                return None
            raise

    def names(self) -> list[str]:
        """Names below the prefix, sorted."""
        start = f"{self.prefix}/" if self.prefix else ""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=start)
        return sorted(each["Key"][len(start) :] for page in pages for each in page.get("Contents", []))


def open_store(url: str) -> Store:
    """The store behind `s3://bucket/prefix`. Addressing is by path unless AWS_S3_ADDRESSING_STYLE says otherwise."""
    parts = urlsplit(url)
    style = os.environ.get("AWS_S3_ADDRESSING_STYLE", "path" if _endpoint() else "auto")
    s3: Any = {"addressing_style": style}
    config = Config(s3=s3, retries={"total_max_attempts": 5}, connect_timeout=3, read_timeout=20)
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    return Store(boto3.client("s3", region_name=region, config=config), parts.netloc, parts.path.strip("/"))


def _endpoint() -> str:
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
