"""One bucket with everything that a client needs to reach it. PURE: only a type, no client library."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class ObjectAccess:
    """Bucket, prefix, endpoint and credentials. `endpoint` is empty for AWS S3."""

    bucket: str
    prefix: str
    endpoint: str
    region: str
    access_key: str
    secret_key: str = field(repr=False)
    session_token: str = field(repr=False, default="")
    addressing: str = "auto"
